import math

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.chemistry import ELEMENTS, oxidation_table
from smoacs.errors import InputError
from smoacs.templates import from_structure


def rock_salt(cation="Na", anion="Cl"):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def magnetite():
    return Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(8.397), ["Fe", "Fe", "O"], [[0.0] * 3, [0.625] * 3, [0.3799] * 3]
    )


def line(*symbols):
    """Structure without symmetry that matters: atoms on a line."""
    z = (np.arange(len(symbols)) + 0.01 * np.arange(len(symbols)) ** 2) / (2 * len(symbols))
    coords = np.stack([z, 0.3 * z**2, 0.7 * z**3], axis=1)
    return Structure(Lattice.from_parameters(7, 8, 9, 80, 85, 95), symbols, coords)


def test_rock_salt():
    structure = rock_salt()
    template = from_structure(structure)
    assert template.name == "NaCl"
    assert template.combination_names == ("Na+1 Cl-1",)
    assert template.site_labels == ("Na",) * 4 + ("Cl",) * 4
    assert template.combinations.tolist() == [[1] * 4 + [-1] * 4]
    allowed = {ELEMENTS[e] for e in np.flatnonzero(template.allowed[0, 0])}
    assert allowed == {e for e, states in oxidation_table().items() if 1 in states}
    assert template.radii is None
    assert (template.roles == -1).all()
    assert np.isinf(template.coord_box).all()
    assert not template.random_lengths
    assert template.to_structure() == structure


def test_most_common_states_come_first():
    template = from_structure(line("O", "O", "Sn", "Pb", "Mn", "O", "O"))
    assert template.combination_names == (
        "O-2 Sn+4 Pb+2 Mn+2",
        "O-2 Sn+2 Pb+2 Mn+4",
        "O-2 Sn+2 Pb+4 Mn+2",
    )


def test_max_combinations():
    structure = line("O", "O", "Sn", "Pb", "Mn", "O", "O")
    every = from_structure(structure)
    few = from_structure(structure, max_combinations=2)
    assert (few.combinations == every.combinations[:2]).all()


def test_mixed_valence_follows_symmetry_if_it_can():
    template = from_structure(magnetite())
    assert template.combination_names == ("Fe+2x8 Fe+3x16 O-2",)
    assert template.combinations[0, :24].tolist() == [2] * 8 + [3] * 16  # a normal spinel


def test_mixed_valence_is_distributed_otherwise():
    template = from_structure(line("Fe", "Fe", "Fe", "O", "O", "O", "O"))
    assert template.combination_names == tuple(f"Fe+2x1 Fe+3x2 O-2 #{k}" for k in (1, 2, 3))
    assert {tuple(row[:3]) for row in template.combinations.tolist()} == {
        (3, 3, 2),
        (3, 2, 3),
        (2, 3, 3),
    }


def test_mixed_valence_of_many_sites_is_found_by_counting():
    template = from_structure(line(*["Fe"] * 60, *["O"] * 80))
    assert template.n_combinations == 10
    assert (template.combinations.sum(axis=1, dtype=int) == 0).all()
    assert len(np.unique(template.combinations, axis=0)) == 10


def test_states_that_the_file_gives_come_first():
    structure = line("Cu", "Al", "O", "O")
    structure.add_oxidation_state_by_site([1, 3, -2, -2])
    assert from_structure(structure).combination_names[0] == "Cu+1 Al+3 O-2"
    structure.add_oxidation_state_by_site([2, 2, -2, -2])
    assert from_structure(structure).combination_names[0] == "Cu+2 Al+2 O-2"


def test_what_the_table_lacks_is_the_pattern_for_elements_that_it_has():
    template = from_structure(line("Cu", "Al", "O", "O"))
    assert template.combination_names == ("Cu+1 Al+3 O-2",)
    may = {ELEMENTS[k] for k in np.flatnonzero(template.allowed[0, 0])}
    assert {"Na", "Ag"} <= may
    assert "Cu" not in may  # the table's, which is asked for, has Cu2+ alone


def test_repeat_is_the_supercell_of_pymatgen():
    structure = rock_salt()
    template = from_structure(structure, repeat=2)
    assert template.name == "NaCl 2x2x2"
    assert template.n_sites == 64
    assert template.to_structure() == structure.make_supercell([2, 2, 2], in_place=False)
    assert len(structure) == 8
    assert template.length_bounds[:, 0].tolist() == [4.0, 20.0]


def test_bounds_contain_the_structure():
    long = Structure(
        Lattice.from_parameters(2.5, 5, 30, 20, 20, 30), ["Na", "Cl"], [[0, 0, 0], [-1e-17, 0, 0.5]]
    )
    template = from_structure(long)
    assert template.length_bounds[:, 2].tolist() == [2.0, 45.0]
    assert template.length_bounds[0, 0] == pytest.approx(2.5 / 1.5)
    assert (template.angle_bounds[0] <= template.angles).all()
    assert (template.frac_coords < 1.0).all()
    assert from_structure(rock_salt()).angle_bounds.tolist() == [[30.0] * 3, [150.0] * 3]


def test_coord_box_and_table():
    assert (from_structure(rock_salt(), coord_box=0.1).coord_box == 0.1).all()
    template = from_structure(rock_salt("Ti", "N"), table=oxidation_table("smact"))
    assert template.combination_names[0] == "Ti+3 N-3"


def test_decorated_structures_and_deuterium():
    structure = rock_salt("D", "Cl")
    structure.add_oxidation_state_by_element({"H": 1, "Cl": -1})
    assert from_structure(structure).site_labels == ("H",) * 4 + ("Cl",) * 4


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(4), [], []), "has no atoms"),
        (
            line("Na", "Na"),
            r"no neutral .* 'Na' \(Na2\); charges tried: Na \+1; say which",
        ),
        (line("Fe", "Xe"), r"Fe \+3/\+2, Xe none; .* such as oxidation_states = \{ Xe = \["),
        (line("Fe", "O", "O", "O"), r"oxidation_states = \{ O = \[-2, -1\] \} would allow"),
        (line("Es", "Cl"), "'Es' is not the symbol"),
        (Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]), "disordered: site 1"),
        (Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]]), "disordered: site 1 holds Na"),
    ],
)
@pytest.mark.parametrize("repeat", [1, 2])
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_impossible_structures(structure, repeat, message):
    with pytest.raises(InputError, match=message if repeat == 1 else "'|disordered|no atoms"):
        from_structure(structure, repeat=repeat)


@pytest.mark.parametrize(
    "arguments", [{"repeat": 0}, {"max_combinations": 0}, {"coord_box": math.nan}]
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match="must be at least 1"):
        from_structure(rock_salt(), **arguments)
