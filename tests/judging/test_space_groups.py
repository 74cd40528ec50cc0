"""Space groups are those that pymatgen finds with spglib, and spglib is asked for few of them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

from smoacs.judging import space_group, space_groups
from smoacs.judging.space_groups import Group, group_of
from smoacs.templates import reference_structure
from smoacs.templates.prototypes import PROTOTYPES


def by_pymatgen(structure):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        try:
            return SpacegroupAnalyzer(structure).get_space_group_symbol()
        except SymmetryUndeterminedError:
            return ""


def moved(structure, distance, rng):
    """The crystal with its atoms displaced by about so much, Å, and its lattice bent as much."""
    lattice = Lattice(structure.lattice.matrix * (1 + distance * 0.1 * rng.normal(size=(3, 3))))
    shifts = distance * rng.normal(size=(len(structure), 3)) / np.array(lattice.abc)
    return Structure(lattice, structure.species, structure.frac_coords + shifts)


@pytest.mark.parametrize("name", PROTOTYPES)
def test_prototypes_have_the_group_that_pymatgen_finds(name):
    rng = np.random.default_rng(0)
    crystal = reference_structure(name)
    for distance in (0.0, 1e-6, 1e-4, 1e-3, 5e-3, 2e-2, 0.1):
        for other in (crystal, crystal * (1, 1, 2) if len(crystal) < 8 else crystal):
            changed = moved(other, distance, rng)
            turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            rotated = Structure(
                Lattice(changed.lattice.matrix @ turn), changed.species, changed.frac_coords + 0.37
            )
            for structure in (changed, rotated):
                assert space_group(structure) == by_pymatgen(structure)


def test_strained_cells_lose_the_operations_that_pymatgen_says():
    crystal = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    seen = set()
    for a, b, c in ((4, 4, 4.2), (4, 4.1, 4.2), (4, 4, 4.005), (4, 4.02, 4)):
        for alpha, beta, gamma in ((90, 90, 90), (90, 90, 93), (88, 88, 88), (85, 91, 94)):
            lattice = Lattice.from_parameters(a, b, c, alpha, beta, gamma)
            structure = Structure(lattice, crystal.species, crystal.frac_coords)
            assert space_group(structure) == by_pymatgen(structure)
            seen.add(space_group(structure))
    assert len(seen) > 4


def test_measured_and_relaxed_crystals_have_the_group_that_pymatgen_finds(shared_data):
    table = pd.read_parquet(shared_data / "perov5.parquet").sample(200, random_state=0)
    for _, row in table.iterrows():
        coords = np.concatenate(list(row["frac_coords"]), axis=None).reshape(-1, 3)
        structure = Structure(Lattice.from_parameters(*row["lattice"]), row["numbers"], coords)
        assert space_group(structure) == by_pymatgen(structure)


def test_spglib_is_asked_once_for_a_thousand_crystals_alike(monkeypatch):
    asked = []
    for name in ("get_symmetry_dataset", "get_spacegroup_type_from_symmetry"):
        ask = getattr(space_groups.spglib, name)
        monkeypatch.setattr(
            space_groups.spglib,
            name,
            lambda *args, _ask=ask, **kwargs: asked.append(0) or _ask(*args, **kwargs),
        )
    space_groups._groups.clear()
    crystal = reference_structure("spinel")
    for length in np.linspace(7.5, 9.5, 200):
        crystal.scale_lattice(float(length) ** 3)
        assert space_group(crystal) == "Fd-3m"
    assert len(asked) == 1


def test_what_is_in_doubt_goes_to_spglib(monkeypatch):
    asked = []
    whole = space_groups.dataset
    monkeypatch.setattr(space_groups, "dataset", lambda *args: asked.append(0) or whole(*args))
    crystal = reference_structure("rutile")
    for distance, n in ((1e-5, 0), (4e-3, 1), (1.0, 0)):
        asked.clear()
        shifted = crystal.copy()
        shifted.translate_sites([0], [distance, 0.3 * distance, 0], frac_coords=False)
        space_group(shifted)
        assert len(asked) == n


def test_of_a_cell_the_operations_are_counted():
    lattice = Lattice.cubic(5.64)
    coords = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    coords = np.array(coords + [[x + 0.5, y, z] for x, y, z in coords])
    kinds = [11] * 4 + [17] * 4
    assert group_of(lattice.matrix, coords, kinds) == Group(225, "Fm-3m", 192)
    primitive = Structure(lattice, kinds, coords).get_primitive_structure()
    zs = [species.Z for species in primitive.species]
    found = group_of(primitive.lattice.matrix, primitive.frac_coords, zs)
    assert found == Group(225, "Fm-3m", 48)


def test_what_is_no_crystal_has_no_group():
    flat = Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 1e-9]]), ["H"], [[0, 0, 0]])
    assert space_group(flat) == ""
