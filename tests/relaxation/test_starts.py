"""Distorted starts: tilts as Glazer's, the cells that hold them, and what draws by chance."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.relaxation.standard import idealised, reduced, space_group_number
from smoacs.relaxation.starts import closest, perovskite_sites, rattled, strained, tilted
from toys import perovskite_crystal

KINDS = ("Sr2+", "Ti4+", "O2-", "O2-", "O2-")


def cubic():
    return perovskite_crystal(KINDS, 3.9)


@pytest.mark.parametrize("shift", [0.0, 0.23])
def test_a_tilted_perovskite_is_pnma_with_stiff_octahedra(shift):
    parent = cubic()
    parent.translate_sites(range(5), [shift] * 3)
    rng = np.random.default_rng(1)
    parent = Structure.from_sites([parent[int(k)] for k in rng.permutation(5)])
    found = tilted(parent, 9.0)
    assert len(found) == 20
    assert space_group_number(found, 1e-3) == 62
    assert found.volume == pytest.approx(4 * parent.volume)
    assert str(found.composition.reduced_formula) == "SrTiO3"
    for site in found:
        if site.specie.symbol == "Ti":
            around = sorted(near.nn_distance for near in found.get_neighbors(site, 3.0))[:6]
            # rigid to second order in the angle: 1.95 Å times a few per cent
            assert around[0] == pytest.approx(1.95, rel=0.04)
            assert around[5] == pytest.approx(1.95, rel=0.04)


def test_what_is_no_cubic_perovskite_is_not_tilted():
    assert tilted(cubic() * (2, 1, 1), 9.0) is None
    moved = cubic()
    moved.translate_sites([2], [0, 0, 0.1])
    assert perovskite_sites(moved) is None
    assert tilted(perovskite_crystal(KINDS, 3.9).apply_strain([0.2, 0, 0]), 9.0) is None
    sheared = Structure(
        Lattice.from_parameters(3.9, 3.9, 3.9, 85, 90, 90), KINDS, cubic().frac_coords
    )
    assert tilted(sheared, 9.0) is None


def test_random_displacements_have_their_size_and_their_seed():
    cell = cubic() * (3, 3, 3)
    moved = rattled(cell, 0.1, np.random.default_rng(0))
    way = np.linalg.norm(moved.cart_coords - cell.cart_coords, axis=1)
    assert way.mean() == pytest.approx(0.1, rel=0.1)
    again = rattled(cell, 0.1, np.random.default_rng(0))
    assert np.array_equal(moved.frac_coords, again.frac_coords)
    bent = strained(cell, 0.01, np.random.default_rng(0))
    change = np.linalg.solve(cell.lattice.matrix, bent.lattice.matrix) - np.eye(3)
    np.testing.assert_allclose(change, change.T, atol=1e-12)
    assert 0.001 < np.abs(change).max() < 0.05
    np.testing.assert_allclose(bent.frac_coords, cell.frac_coords)


def test_cells_are_reduced_and_made_symmetric():
    cell = cubic() * (2, 1, 2)
    cell.perturb(0.02, seed=3)
    assert space_group_number(cell, 1e-3) == 1
    exact = idealised(cell, 0.2)
    assert len(exact) == 5
    assert space_group_number(exact, 1e-5) == 221
    assert sorted(map(str, exact.species)) == sorted(KINDS)
    assert len(reduced(cell, 1e-3)) == 20
    small = reduced(cubic() * (2, 2, 1), 1e-3)
    assert len(small) == 5
    assert small.volume == pytest.approx(3.9**3)


def test_oxidation_states_tell_sites_apart():
    pair = Structure(Lattice.cubic(3.0), ["Fe2+", "Fe3+"], [[0, 0, 0], [0.5] * 3])
    assert space_group_number(pair, 0.01) == 221
    assert len(idealised(pair, 0.01)) == 2
    assert space_group_number(Structure(pair.lattice, ["Fe", "Fe"], pair.frac_coords), 0.01) == 229


def test_shortest_distance_over_radii():
    salt = Structure(Lattice.cubic(4.0), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert closest(salt) == np.inf
    salt = Structure(Lattice.cubic(2.0), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert closest(salt) == pytest.approx(2.0 / (1.41 + 1.41))
