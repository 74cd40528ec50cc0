"""Crystals at a saddle settle to the minimum that is known; what fails is named."""

import math

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure, SymmOp

import smoacs
from smoacs.errors import InputError
from smoacs.relaxation import SettleSettings
from smoacs.relaxation.standard import reduced, space_group_number
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


class Odd(Morse):
    """Morse's crystals, but gold flies apart and silver has no energy."""

    def __call__(self, crystals, neighbors):
        energy = super().__call__(crystals, neighbors)["formation_energy"]
        first = torch.cumsum(crystals.counts, 0) - crystals.counts
        kind = crystals.species_probs[first].argmax(1) + 1
        energy = torch.where(kind == 79, -0.1 * crystals.volume, energy)
        return {"formation_energy": torch.where(kind == 47, torch.nan, energy)}


def test_what_flies_apart_or_has_no_energy_fails_with_a_sentence():
    burst, silent, sound = smoacs.settle(
        [centred(species=("Au",) * 2), centred(species=("Ag",) * 2), close_packed()],
        Odd(),
        settings=QUICK,
    )
    assert burst.failure.endswith("in its own symmetry: the cell collapses or flies apart")
    assert silent.failure.endswith("in its own symmetry: no number is predicted")
    assert burst.structure is None
    assert math.isnan(silent.energy_gain)
    assert sound.failure == ""


def test_origin_rotation_order_and_cell_change_nothing():
    """By the built-in network: a perovskite that tilts."""
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    given = Structure(Lattice.cubic(4.1), ["Sr2+", "Zr4+", *["O2-"] * 3], sites)
    other = given * (1, 2, 1)
    other.translate_sites(range(len(other)), [0.13, 0.22, 0.31])
    other.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 40))
    other = Structure.from_sites([other[int(k)] for k in np.random.default_rng(1).permutation(10)])
    one, two = smoacs.settle([given, other], settings=SettleSettings(starts=1))
    assert one.space_group == two.space_group == 62
    assert one.parent_space_group == two.parent_space_group == 221
    assert one.parent_energy == pytest.approx(two.parent_energy, abs=1e-5)
    assert one.energy == pytest.approx(two.energy, abs=1e-4)
    assert one.parent_frequency == pytest.approx(two.parent_frequency, abs=0.02)
    assert one.lowest_frequency > -0.1
    assert two.lowest_frequency > -0.1
    assert StructureMatcher().fit(one.structure, two.structure)


def test_the_end_is_a_standard_cell_with_exact_symmetry():
    (found,) = smoacs.settle([centred()], Morse(), settings=QUICK)
    assert space_group_number(found.structure, 1e-5) == found.space_group
    again = reduced(found.structure, 1e-3)
    assert len(again) == len(found.structure)
    np.testing.assert_allclose(again.lattice.abc, found.structure.lattice.abc, rtol=1e-6)


def test_a_predictor_without_energy_is_refused():
    with pytest.raises(InputError, match="settling needs a predictor of formation_energy"):
        smoacs.settle([centred()], Bowl())


def test_progress_is_told():
    told = []
    smoacs.settle([close_packed()] * 2, Morse(), settings=QUICK, progress=lambda *x: told.append(x))
    assert told[-1] == (2, 2)
