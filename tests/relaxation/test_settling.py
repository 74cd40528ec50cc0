"""Crystals at a saddle settle to the minimum that is known; what fails is named."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import smoacs
from smoacs.errors import InputError
from smoacs.relaxation import SettleSettings
from tests.relaxation.test_structures import Morse
from toys import Bowl

QUICK = SettleSettings(supercell=5.0, starts=1)


def centred(a=2.9, species=("Cu", "Cu")):
    """Body-centred cubic."""
    return Structure(Lattice.cubic(a), list(species), [[0, 0, 0], [0.5, 0.5, 0.5]])


def close_packed(a=3.5):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Cu"], [[0, 0, 0]])


def test_a_saddle_settles_to_close_packing_and_a_minimum_stays():
    left, stayed = smoacs.settle([centred(), close_packed()], Morse(), settings=QUICK)
    assert (left.failure, stayed.failure) == ("", "")
    assert left.parent_space_group == 229
    shell = left.structure.get_neighbors(left.structure[0], 3.0)
    assert len(shell) == 12  # which stacking it finds is chance
    assert left.parent_frequency < -1
    assert left.lowest_frequency > -0.1
    assert left.converged
    assert left.energy_gain > 0.01
    assert left.energy == pytest.approx(stayed.energy, abs=5e-3)
    assert stayed.parent_space_group == stayed.space_group == 225
    assert stayed.energy_gain == 0
    assert len(stayed.structure) == 1
    assert stayed.lowest_frequency == stayed.parent_frequency > -0.05


def same(one, two):
    return one.structure == two.structure and np.array_equal(
        [one.energy, one.parent_energy, one.lowest_frequency, one.parent_frequency],
        [two.energy, two.parent_energy, two.lowest_frequency, two.parent_frequency],
    )


def test_the_seed_decides_and_company_does_not():
    (alone,) = smoacs.settle([centred()], Morse(), settings=QUICK, seed=3)
    (again,) = smoacs.settle([centred()], Morse(), settings=QUICK, seed=3)
    assert same(alone, again)
    _, company = smoacs.settle([close_packed(), centred()], Morse(), settings=QUICK, seed=3)
    assert company.space_group == alone.space_group
    assert company.energy == pytest.approx(alone.energy, abs=1e-5)


def test_oxidation_states_are_carried_along():
    states = centred(species=("Cu+", "Cu2+"))
    (found,) = smoacs.settle([states], Morse(), settings=QUICK)
    assert found.parent_space_group == 221
    assert {str(kind) for kind in found.structure.species} == {"Cu+", "Cu2+"}


def test_a_crystal_that_cannot_be_settled_is_named_and_holds_up_none():
    disordered = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    tight = centred(1.0)
    unknown = centred(species=("Cu", "U"))
    found = smoacs.settle([disordered, tight, unknown, close_packed()], Morse(), settings=QUICK)
    assert [item.structure is None for item in found] == [True, True, True, False]
    assert "partially occupied" in found[0].failure
    assert "too close" in found[1].failure
    assert "U, which the predictor does not know" in found[2].failure
    assert math.isnan(found[0].energy)
    assert not found[0].converged


def test_a_predictor_without_energy_is_refused():
    with pytest.raises(InputError, match="settling needs a predictor of formation_energy"):
        smoacs.settle([centred()], Bowl())


def test_progress_is_told():
    told = []
    smoacs.settle([close_packed()] * 2, Morse(), settings=QUICK, progress=lambda *x: told.append(x))
    assert told[-1] == (2, 2)
