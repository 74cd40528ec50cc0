"""All ways of finding pairs, against each other and against ASE, in any cell."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from smoacs.crystals import Crystals, pair_search
from smoacs.crystals.pair_search import close_pairs, volumes_and_heights
from toys import random_structures

SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def any_crystal(seed, n_atoms, flatness):
    """A crystal in a random cell, possibly very flat and skewed, with atoms in and out of it."""
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * rng.uniform(1, 5)
    cell[2] = flatness * cell[2] + rng.normal() * cell[0] + rng.normal() * cell[1]
    frac = rng.uniform(-3, 3, size=(n_atoms, 3))
    return Crystals(
        species_probs=torch.nn.functional.one_hot(torch.zeros(n_atoms).long(), 98).double(),
        frac_coords=torch.as_tensor(frac),
        cell=torch.as_tensor(cell)[None],
        system_idx=torch.zeros(n_atoms, dtype=torch.int64),
    )


def by(limits, crystals, reach):
    """Pairs by one of the ways: the limits say which."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_search, "SMALL_ATOMS", limits[0])
        patch.setattr(pair_search, "SMALL_IMAGES", limits[1])
        patch.setattr(pair_search, "WIDE_ATOMS", limits[2])
        return close_pairs(crystals, reach)


def as_set(edges):
    index, shifts = edges
    found = list(zip(*index.tolist(), *shifts.T.tolist(), strict=True))
    directed = {*found, *((j, i, -a, -b, -c) for i, j, a, b, c in found)}
    assert len(directed) == 2 * len(found)  # every pair once
    assert index.tolist() == index[:, np.lexsort(index.flip(0).numpy())].tolist()
    assert (index[0] <= index[1]).all()
    return directed


ALL_AT_ONCE = (10**6, 10**6, 0)
NEAREST_IMAGES = (0, 0, 10**6)
CELL_LISTS = (0, 0, 0)


def of_ase(crystals, reach):
    atoms = Atoms(
        numbers=[1] * crystals.n_atoms,
        cell=crystals.cell[0].numpy(),
        scaled_positions=crystals.frac_coords.numpy(),
        pbc=True,
    )
    i, j, shifts = ase_neighbor_list("ijS", atoms, reach)
    return set(zip(i.tolist(), j.tolist(), *shifts.T.tolist(), strict=True))


@settings(max_examples=50)
@given(
    seed=SEEDS, n_atoms=st.integers(1, 6), reach=st.floats(0.5, 6.0), flatness=st.floats(0.05, 1.0)
)
@example(seed=1, n_atoms=6, reach=6.0, flatness=0.05)
def test_all_at_once_and_cell_lists_find_the_pairs_of_ase(seed, n_atoms, reach, flatness):
    crystals = any_crystal(seed, n_atoms, flatness)
    volume, heights = volumes_and_heights(crystals.cell)
    assume(float(heights.min()) > 0.3)
    assume(float(volume) > 0.5)
    expected = of_ase(crystals, reach)
    assert as_set(by(ALL_AT_ONCE, crystals, reach)) == expected
    assert as_set(by(CELL_LISTS, crystals, reach)) == expected


@settings(max_examples=50)
@given(
    seed=SEEDS, n_atoms=st.integers(1, 40), share=st.floats(0.1, 0.49), flatness=st.floats(0.05, 1)
)
@example(seed=5, n_atoms=40, share=0.49, flatness=0.5)
def test_wide_cells_have_the_pairs_of_ase_by_nearest_images(seed, n_atoms, share, flatness):
    crystals = any_crystal(seed, n_atoms, flatness)
    reach = share * float(volumes_and_heights(crystals.cell)[1].min())
    assume(reach > 0.05)
    calls = []

    def counted(*args):
        calls.append(args)
        return pair_search._pairs_of_nearest_images(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pair_search._ONE_BY_ONE, pair_search._Way.NEAREST_IMAGES, counted)
        found = by(NEAREST_IMAGES, crystals, reach)
    assert len(calls) == 1
    assert as_set(found) == of_ase(crystals, reach)
    for one, other in zip(found, by(CELL_LISTS, crystals, reach), strict=True):
        assert torch.equal(one, other)


@settings(max_examples=20)
@given(seed=SEEDS, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6))
@example(seed=0, sizes=[1, 25, 3])
@example(seed=0, sizes=[1, 60, 3, 60])
def test_a_mixed_batch_is_its_crystals_one_by_one(seed, sizes):
    crystals = Crystals.from_structures(random_structures(seed, sizes))
    expected, first = set(), 0
    for b, n in enumerate(sizes):
        single = as_set(close_pairs(crystals.select(torch.tensor([b])), 4.0))
        expected |= {(i + first, j + first, *s) for i, j, *s in single}
        first += n
    assert as_set(close_pairs(crystals, 4.0)) == expected


def test_order_of_the_images_does_not_depend_on_the_batch():
    """Sums over the edges keep their order, so that their last digits do not change."""
    small, large = any_crystal(3, 4, 1.0), any_crystal(4, 4, 0.6)
    alone = by(ALL_AT_ONCE, small, 5.0)
    both = Crystals(
        species_probs=torch.cat([small.species_probs, large.species_probs]),
        frac_coords=torch.cat([small.frac_coords, large.frac_coords]),
        cell=torch.cat([small.cell, large.cell]),
        system_idx=torch.arange(2).repeat_interleave(4),
    )
    index, shifts = by(ALL_AT_ONCE, both, 5.0)
    own = index[0] < 4
    assert len(alone[1]) > 20
    assert torch.equal(index[:, own], alone[0])
    assert torch.equal(shifts[own], alone[1])


def test_volumes_and_heights_of_a_skewed_cell():
    cell = torch.tensor([[[3.0, 0, 0], [1.0, 4.0, 0], [2.0, 1.0, 5.0]]], dtype=torch.float64)
    volume, heights = volumes_and_heights(cell)
    assert float(volume) == pytest.approx(60.0)
    inverse = torch.linalg.inv(cell)[0]
    torch.testing.assert_close(heights[0], 1 / inverse.norm(dim=0))
