"""The quasi-Newton descent ends where FIRE ends, keeps symmetry, and leaves saddles downhill."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals
from smoacs.relaxation import Response, descend, relax
from smoacs.relaxation.structures import symmetry_of
from tests.relaxation.test_fire import AsePotential, batch, group


def copper(lattice, coords):
    return Structure(lattice, ["Cu"] * len(coords), coords)


class Shoved(AsePotential):
    """The same with forces that no symmetry keeps."""

    def __call__(self, crystals):
        response = super().__call__(crystals)
        shove = torch.linspace(-0.8, 0.8, 3 * crystals.n_atoms, dtype=torch.float64)
        return Response(response.energy, response.forces + shove.view(-1, 3), response.stress)


def test_ends_where_fire_ends_in_fewer_calls():
    newton, fire = AsePotential(), AsePotential()
    result = descend(batch([0, 1, 2]), newton, fmax=0.003)
    expected = relax(batch([0, 1, 2]), fire, fmax=0.003)
    assert result.converged.all()
    assert not result.refused.any()
    assert (result.max_force < 0.003).all()
    torch.testing.assert_close(result.energy, expected.energy, rtol=0, atol=1e-4)
    torch.testing.assert_close(result.crystals.volume, expected.crystals.volume, rtol=2e-3, atol=0)
    assert sum(newton.batches) < sum(fire.batches) / 2
    assert sum(newton.batches) == int(result.steps.sum()) + 3


def test_the_largest_force_is_that_of_fire():
    one, other = (way(batch([0, 2]), AsePotential(), max_steps=0) for way in (descend, relax))
    torch.testing.assert_close(one.max_force, other.max_force, rtol=1e-9, atol=0)
    torch.testing.assert_close(one.energy, other.energy, rtol=0, atol=0)


def test_alone_as_in_company():
    together = descend(batch([0, 1, 2]), AsePotential(), max_steps=20)
    alone = descend(batch([1]), AsePotential(), max_steps=20)
    own = together.crystals.select(torch.tensor([1]))
    torch.testing.assert_close(own.cell, alone.crystals.cell, rtol=0, atol=1e-10)
    torch.testing.assert_close(own.frac_coords, alone.crystals.frac_coords, rtol=0, atol=1e-10)


def test_energy_never_rises():
    energies = [
        descend(batch([2]), AsePotential(), fmax=1e-6, max_steps=n).energy.item()
        for n in range(0, 40, 3)
    ]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] - energies[-1] > 0.1


def test_a_crystal_that_is_refused_holds_up_none():
    crystals = batch([0, 1, 2])
    limit = float(crystals.volume[:2].max()) * 1.5
    told = []
    result = descend(
        crystals, AsePotential(largest=limit), progress=lambda *counts: told.append(counts)
    )
    assert result.refused.tolist() == [False, False, True]
    assert result.converged.tolist() == [True, True, False]
    assert torch.isnan(result.energy[2])
    assert told[0] == (1, 3)
    assert told[-1] == (3, 3)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
def test_symmetry_is_kept_or_free():
    structures = [
        copper(Lattice.tetragonal(2.5, 4.1), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        copper(Lattice.hexagonal(2.6, 4.6), [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
    ]
    crystals = Crystals.from_structures(structures)
    groups = [group(crystals, number) for number in range(2)]
    kept = descend(crystals, Shoved(), symmetry=symmetry_of(structures), max_steps=2)
    assert [group(kept.crystals, number) for number in range(2)] == groups
    free = descend(crystals, Shoved(), max_steps=2)
    assert group(free.crystals, 1) < groups[1]


def test_a_saddle_is_left_downhill():
    """Body-centred cubic is a saddle of Bain's way; a nudge is enough."""
    nudged = copper(Lattice.tetragonal(2.85, 2.9), [[0, 0, 0], [0.5, 0.5, 0.5]])
    result = descend(Crystals.from_structures([nudged]), AsePotential(), fmax=0.003)
    assert result.converged.all()
    a, b, c = result.crystals.cell[0].norm(dim=1).tolist()
    assert a == pytest.approx(b, rel=1e-3)
    assert max(c / a, a / c) == pytest.approx(np.sqrt(2), rel=5e-3)
