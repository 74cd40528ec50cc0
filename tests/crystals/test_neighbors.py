import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import example, given
from hypothesis import strategies as st

from smoacs.crystals import Crystals, neighbor_list
from toys import random_structures

SEEDS = st.integers(0, 2**31)


def edges(neighbors):
    """All pairs, both directions, sorted."""
    index, shifts = neighbors.full()
    return sorted(zip(*index.tolist(), *shifts.T.tolist(), strict=True))


def pymatgen_edges(structure, cutoff):
    i, j, images, _ = structure.get_neighbor_list(cutoff)
    return sorted(zip(i.tolist(), j.tolist(), *images.astype(int).T.tolist(), strict=True))


def ase_edges(structure, cutoff):
    atoms = Atoms(
        [site.specie.symbol for site in structure],
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
        pbc=True,
    )
    i, j, images = ase_neighbor_list("ijS", atoms, cutoff)
    return sorted(zip(i.tolist(), j.tolist(), *images.T.tolist(), strict=True))


@given(seed=SEEDS, n_atoms=st.integers(1, 9), cutoff=st.floats(1.5, 6.0))
@example(seed=0, n_atoms=1, cutoff=6.0)
def test_pairs_are_those_of_pymatgen_and_ase(seed, n_atoms, cutoff):
    (structure,) = random_structures(seed, [n_atoms])
    ours = edges(neighbor_list(Crystals.from_structures([structure]), cutoff))
    assert ours == pymatgen_edges(structure, cutoff)
    assert ours == ase_edges(structure, cutoff)


@pytest.mark.parametrize("seed", range(3))
def test_cells_much_smaller_than_the_cutoff(seed):
    (structure,) = random_structures(seed, [2], low=1.2, high=1.8)
    ours = edges(neighbor_list(Crystals.from_structures([structure]), 5.0))
    assert ours == pymatgen_edges(structure, 5.0)
    assert len(ours) > 100


def test_coordinates_outside_the_cell():
    (structure,) = random_structures(1, [5])
    crystals = Crystals.from_structures([structure])
    whole = torch.tensor([[1, 0, 0], [0, -2, 0], [0, 0, 0], [3, 1, -1], [0, 0, 1]])
    moved = crystals.replace(frac_coords=crystals.frac_coords + whole)
    distances = [neighbor_list(c, 5.0).vectors(c).norm(dim=1) for c in (crystals, moved)]
    assert len(distances[0]) > 50
    torch.testing.assert_close(distances[0].sort().values, distances[1].sort().values)


def test_layout():
    crystals = Crystals.from_structures(random_structures(2, (3, 1, 6)))
    neighbors = neighbor_list(crystals, 4.5, skin=0.5)
    i, j = neighbors.edge_index
    assert (i <= j).all()
    assert edges(neighbors) == sorted(set(edges(neighbors)))
    order = i * crystals.n_atoms + j
    assert (order.diff() >= 0).all()
    assert torch.equal(crystals.system_idx[i], crystals.system_idx[j])
    index, pair = neighbors.pairs
    assert torch.equal(index[:, pair], neighbors.edge_index)
    assert len(set(zip(*index.tolist(), strict=True))) == index.shape[1]
    assert neighbors.vectors(crystals).norm(dim=1).max() <= 5.0
    assert neighbors.n_edges == len(i)


def test_batch_is_its_crystals_side_by_side():
    crystals = Crystals.from_structures(random_structures(3, (3, 1, 6)))
    expected, first = [], 0
    for b, n in enumerate((3, 1, 6)):
        single = neighbor_list(crystals.select(torch.tensor([b])), 4.0)
        expected += [(i + first, j + first, *s) for i, j, *s in edges(single)]
        first += n
    assert edges(neighbor_list(crystals, 4.0)) == sorted(expected)


def test_vectors_are_differentiable():
    crystals = Crystals.from_structures(random_structures(4, (2, 3)))
    neighbors = neighbor_list(crystals, 4.0)

    def distances(frac_coords, cell):
        moved = crystals.replace(frac_coords=frac_coords, cell=cell)
        return neighbors.vectors(moved).square().sum(1)

    inputs = (crystals.frac_coords.requires_grad_(), crystals.cell.requires_grad_())
    assert neighbors.n_edges > 5
    assert torch.autograd.gradcheck(distances, inputs)


@pytest.mark.parametrize("broken", ["nan", "infinite", "flat"])
def test_broken_crystal_has_no_pairs_and_leaves_the_others_theirs(broken):
    crystals = Crystals.from_structures(random_structures(5, (3, 3, 3)))
    whole = edges(neighbor_list(crystals, 4.0))
    cell, frac = crystals.cell.clone(), crystals.frac_coords.clone()
    if broken == "nan":
        frac[4] = torch.nan
    elif broken == "infinite":
        cell[1, 0, 0] = torch.inf
    else:
        cell[1, 2] = cell[1, 0] + cell[1, 1]
    found = edges(neighbor_list(crystals.replace(cell=cell, frac_coords=frac), 4.0))
    assert found == [edge for edge in whole if not 3 <= edge[0] < 6]


def test_list_on_another_device():
    neighbors = neighbor_list(Crystals.from_structures(random_structures(6, (2, 2))), 4.0, 0.3)
    moved = neighbors.to("meta")
    tensors = (moved.edge_index, moved.shifts)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (moved.cutoff, moved.skin) == (4.0, 0.3)


def test_no_cutoff_no_pairs():
    crystals = Crystals.from_structures(random_structures(6, (2, 2)))
    neighbors = neighbor_list(crystals, 0.0)
    assert neighbors.n_edges == 0
    assert neighbors.vectors(crystals).shape == (0, 3)
    assert neighbors.pairs[0].shape == (2, 0)
