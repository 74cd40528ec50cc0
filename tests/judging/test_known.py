"""What is known by formula and by structure, and which crystals are one design."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.judging.distinct import distinct_designs
from smoacs.judging.known import is_known_formula, is_known_structure, primitive_kind
from smoacs.templates.prototypes import reference_structure

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


def test_formulas_of_all_splits():
    assert is_known_formula("NaCl")
    assert is_known_formula("SrTiO3")
    assert not is_known_formula("NaClO17")
    assert not is_known_formula("KCaMnAgIBrCl4")


@pytest.mark.parametrize("cell", ["conventional", "primitive", "supercell"])
def test_structure_whatever_the_cell(cell):
    crystal = SALT.copy() if cell == "conventional" else SALT.get_primitive_structure()
    if cell == "supercell":
        crystal.make_supercell([2, 1, 1])
    assert is_known_structure(crystal)


def test_another_structure_of_a_known_formula_is_new():
    other = Structure(Lattice.tetragonal(3.6, 4.4), ["Na", "Cl"], [[0] * 3, [0.5, 0.5, 0.48]])
    assert primitive_kind(other) != primitive_kind(SALT)
    assert not is_known_structure(other)


def test_no_symmetry_without_a_cell():
    flat = Structure(np.zeros((3, 3)) + 1e-9, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    assert is_known_structure(flat) is None


@pytest.mark.slow
def test_test_crystals_are_known_though_relaxed_anew(shared_data):
    rows = pd.read_parquet(shared_data / "megnet_mp2018.parquet")
    rows = rows[(rows["split"] == "test") & (rows["n_atoms"] <= 12)].sample(60, random_state=0)
    rng = np.random.default_rng(0)
    known = []
    for row in rows.itertuples():
        a, b, c, *angles = row.lattice
        lattice = Lattice.from_parameters(1.01 * a, 1.01 * b, 1.01 * c, *angles)
        coords = np.reshape(row.frac_coords, (-1, 3))
        crystal = Structure(lattice, row.numbers.tolist(), coords)
        crystal.perturb(0.01 * rng.random())
        known.append(is_known_structure(crystal))
    assert np.mean([bool(k) for k in known]) > 0.9


def left_and_right():
    """Quartz and its mirror image."""
    quartz = Structure.from_spacegroup(
        "P3_221",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]],
    )
    mirrored = Structure(quartz.lattice, quartz.species, quartz.frac_coords * [1, 1, -1])
    return quartz, mirrored


def test_mirror_images_and_other_cells_are_one_design():
    crystals = [*left_and_right(), SALT, SALT.get_primitive_structure(), SALT.copy()]
    crystals[-1].translate_sites(range(len(SALT)), [0.2, 0.3, 0.1])
    formulas = [crystal.reduced_formula for crystal in crystals]
    assert distinct_designs(crystals, formulas, [True] * 5).tolist() == [1, 1, 2, 2, 2]
    assert distinct_designs(crystals, formulas, [False, True, True, False, True]).tolist() == [
        *(0, 1, 2, 0, 2)
    ]


def test_elements_that_changed_places_on_b_sites_are_one_design():
    one = reference_structure("double-perovskite")
    symbols = [site.specie.symbol for site in one]
    first, second = list(dict.fromkeys(symbols))[1:3]
    swap = {first: second, second: first}
    other = Structure(one.lattice, [swap.get(s, s) for s in symbols], one.frac_coords)
    formulas = [one.reduced_formula, other.reduced_formula]
    assert distinct_designs([one, other], formulas, [True, True]).tolist() == [1, 1]


def test_polymorphs_are_two_designs():
    wurtzite = Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.25, 5.2),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]],
    )
    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.28), ["Zn", "O"], [[0] * 3, [0.5] * 3]
    )
    found = distinct_designs([wurtzite, rock_salt], ["ZnO", "ZnO"], [True, True])
    assert found.tolist() == [1, 2]
