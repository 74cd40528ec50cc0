import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals
from smoacs.errors import InputError
from toys import random_structures

SIZES = (1, 4, 2, 7)


@pytest.fixture
def structures():
    return random_structures(0, SIZES)


@pytest.fixture
def crystals(structures):
    plain = Crystals.from_structures(structures)
    return plain.replace(
        ionic_radii=torch.rand(plain.n_atoms).double(),
        site_roles=torch.arange(plain.n_atoms) % 3,
    )


def test_sizes(crystals):
    assert crystals.n_atoms == sum(SIZES)
    assert crystals.n_systems == len(SIZES)
    assert crystals.counts.tolist() == list(SIZES)


def test_geometry_is_that_of_pymatgen(crystals, structures):
    positions = np.concatenate([s.cart_coords for s in structures])
    np.testing.assert_allclose(crystals.positions, positions, atol=1e-12)
    np.testing.assert_allclose(crystals.volume, [s.volume for s in structures], rtol=1e-12)


def test_volume_of_a_left_handed_cell_is_positive(crystals):
    mirrored = crystals.replace(cell=crystals.cell * torch.tensor([1.0, 1.0, -1.0]).double())
    torch.testing.assert_close(mirrored.volume, crystals.volume)


def test_species_are_one_hot(crystals, structures):
    species = [site.specie.symbol for s in structures for site in s]
    assert [ELEMENTS[k] for k in crystals.species_probs.argmax(1)] == species
    assert torch.equal(crystals.species_probs.sum(1), torch.ones(sum(SIZES)).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(structures, dtype):
    crystals = Crystals.from_structures(structures, dtype)
    assert crystals.species_probs.dtype == crystals.cell.dtype == dtype
    assert crystals.frac_coords.dtype == dtype
    for back, structure in zip(crystals.to_structures(), structures, strict=True):
        assert back.species == structure.species
        np.testing.assert_allclose(back.lattice.matrix, structure.lattice.matrix, atol=1e-5)
        np.testing.assert_allclose(back.frac_coords, structure.frac_coords, atol=1e-6)


def test_oxidation_states_are_allowed():
    structure = Structure(Lattice.cubic(4.2), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    back = Crystals.from_structures([structure]).to_structures()[0]
    assert back.formula == "Na1 Cl1"


def test_select_takes_whole_crystals_in_increasing_order(crystals, structures):
    chosen = crystals.select(torch.tensor([3, 1]))
    assert chosen.counts.tolist() == [SIZES[1], SIZES[3]]
    assert chosen.system_idx.tolist() == [0] * SIZES[1] + [1] * SIZES[3]
    for back, k in zip(chosen.to_structures(), (1, 3), strict=True):
        assert back.species == structures[k].species
        np.testing.assert_array_equal(back.frac_coords, structures[k].frac_coords)
        np.testing.assert_array_equal(back.lattice.matrix, structures[k].lattice.matrix)
    atoms = torch.isin(crystals.system_idx, torch.tensor([1, 3]))
    assert torch.equal(chosen.ionic_radii, crystals.ionic_radii[atoms])
    assert torch.equal(chosen.site_roles, crystals.site_roles[atoms])


def test_select_without_radii(structures):
    chosen = Crystals.from_structures(structures).select(torch.tensor([0]))
    assert chosen.ionic_radii is None
    assert chosen.site_roles is None


def test_select_passes_gradients_on(crystals):
    cell = crystals.cell.requires_grad_()
    crystals.replace(cell=cell).select(torch.tensor([2])).volume.sum().backward()
    moved = cell.grad.abs().sum((1, 2)) > 0
    assert moved.tolist() == [False, False, True, False]


@pytest.mark.parametrize("sizes", [(4,), (1, 2, 1), (2, 2)])
@pytest.mark.parametrize("with_radii", [True, False])
def test_split_gives_what_select_gives(crystals, sizes, with_radii):
    if not with_radii:
        crystals = crystals.replace(ionic_radii=None, site_roles=None)
    ends = np.cumsum(sizes)
    for part, end, size in zip(crystals.split(sizes), ends, sizes, strict=True):
        selected = crystals.select(torch.arange(end - size, end))
        for name in vars(selected):
            ours, theirs = getattr(part, name), getattr(selected, name)
            assert (ours is None) if theirs is None else torch.equal(ours, theirs)


def test_parts_of_a_split_can_be_leaves(crystals):
    for part in crystals.split([1, 3]):
        part.frac_coords.requires_grad_()
        (grad,) = torch.autograd.grad(part.positions.sum(), part.frac_coords)
        assert grad.shape == part.frac_coords.shape
    assert not crystals.frac_coords.requires_grad


def test_to_copies_only_what_changes(crystals):
    assert crystals.to("cpu", torch.float64) is crystals


def test_to_changes_the_precision_of_floats_only(crystals):
    single = crystals.to("cpu", torch.float32)
    assert single.cell.dtype == single.frac_coords.dtype == torch.float32
    assert single.species_probs.dtype == single.ionic_radii.dtype == torch.float32
    assert single.system_idx.dtype == single.site_roles.dtype == torch.int64
    assert crystals.to("cpu").cell.dtype == torch.float64


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(("field", "row"), [("frac_coords", 3), ("species_probs", 1), ("cell", 1)])
def test_crystals_that_are_not_finite_are_known(crystals, field, row, value):
    assert crystals.finite.tolist() == [True] * 4
    broken = getattr(crystals, field).clone()
    broken.view(len(broken), -1)[row, 1] = value
    assert crystals.replace(**{field: broken}).finite.tolist() == [True, False, True, True]


def test_replace_leaves_the_original_alone(crystals):
    bare = crystals.replace(ionic_radii=None)
    assert bare.ionic_radii is None
    assert crystals.ionic_radii is not None
    assert bare.cell is crystals.cell


CUBE = Lattice.cubic(4.0)


@pytest.mark.parametrize(
    ("structures", "message"),
    [
        ([], "no structures were given"),
        ([Structure(CUBE, [], [])], "structure 0 has no atoms"),
        (
            [
                Structure(CUBE, ["Na"], [[0, 0, 0]]),
                Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]),
            ],
            "structure 1 .* partially occupied",
        ),
        ([Structure(CUBE, ["Es"], [[0, 0, 0]])], "structure 0 .* beyond Cf"),
    ],
)
def test_structures_that_are_no_crystals_of_ours(structures, message):
    with pytest.raises(InputError, match=message):
        Crystals.from_structures(structures)
