"""CIF files of the kinds that people have: the right crystal, or one sentence."""

import io
import warnings

import ase.io
import gemmi
import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter

from smoacs.errors import InputError
from smoacs.structures.cif import blocks_of, crystal_of

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
ROCK_SALT = "Mg1 Mg 0 0 0\nO1 O 0.5 0.5 0.5"
DIAMOND = "Si1 Si 0.125 0.125 0.125"
LAYERS = "Li1 Li 0 0 0.5\nCo1 Co 0 0 0\nO1 O 0 0 0.2395"
RHOMB = "Li1 Li 0.5 0.5 0.5\nCo1 Co 0 0 0\nO1 O 0.2395 0.2395 0.2395"
HYDROXIDE = "Mg1 Mg 0 0 0\nO1 O 0.3333 0.6667 0.2216"
FM3M = "_symmetry_space_group_name_H-M 'F m -3 m'"
HEXAGONAL = (3.142, 3.142, 4.766, 90, 90, 120)
RHOMBOHEDRAL = (4.9586, 4.9586, 4.9586, 32.99, 32.99, 32.99)


def cif(sites=ROCK_SALT, *said, cell=(4.212,) * 3, columns=COLUMNS):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = (*cell, 90, 90, 90)[:6]
    lines = ["data_x", *(f"_cell_{n} {v}" for n, v in zip(names, values, strict=True)), *said]
    return "\n".join([*lines, "loop_", *(f"_atom_site_{name}" for name in columns), sites]) + "\n"


def operators(*triplets):
    return "\n".join(["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{t}'" for t in triplets)])


def read(text):
    return crystal_of(blocks_of(text)[0])


GOOD = {
    "number alone": (cif(ROCK_SALT, "_space_group_IT_number 225"), "Mg4 O4"),
    "Hall symbol alone": (cif(ROCK_SALT, "_space_group_name_Hall '-F 4 2 3'"), "Mg4 O4"),
    "full symbol": (cif(ROCK_SALT, "_space_group_name_H-M_alt 'F 4/m -3 2/m'"), "Mg4 O4"),
    "symbol before 1983": (cif(ROCK_SALT, "_symmetry_space_group_name_H-M 'F m 3 m'"), "Mg4 O4"),
    "symbol without spaces": (cif(ROCK_SALT, "_symmetry_space_group_name_H-M Fm-3m"), "Mg4 O4"),
    "newer dictionary": (
        cif(ROCK_SALT, FM3M).replace("_cell_", "_cell.").replace("_atom_site_", "_atom_site."),
        "Mg4 O4",
    ),
    "origin choice 2": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F d -3 m :2'", cell=(5.431,) * 3), "Si8",
    ),
    "origin as ICSD has it": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F d -3 m Z'", cell=(5.431,) * 3), "Si8",
    ),
    "origin in words": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F 4_1/d -3 2/m (origin choice 2)'",
            cell=(5.431,) * 3), "Si8",
    ),
    "origin in an item of its own": (
        cif(DIAMOND, "_space_group_IT_number 227\n_space_group_IT_coordinate_system_code 2",
            cell=(5.431,) * 3), "Si8",
    ),
    "origin by Z": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F d -3 m'", "_cell_formula_units_Z 8",
            "_chemical_formula_sum Si", cell=(5.431,) * 3), "Si8",
    ),
    "hexagonal axes": (
        cif(LAYERS, "_symmetry_space_group_name_H-M 'R -3 m:H'",
            cell=(2.8166, 2.8166, 14.052, 90, 90, 120)), "Li3 Co3 O6",
    ),
    "hexagonal axes by the cell": (
        cif(LAYERS, "_symmetry_space_group_name_H-M 'R -3 m'",
            cell=(2.8166, 2.8166, 14.052, 90, 90, 120)), "Li3 Co3 O6",
    ),
    "rhombohedral axes by the cell": (
        cif(RHOMB, "_symmetry_space_group_name_H-M 'R -3 m'", cell=RHOMBOHEDRAL), "Li1 Co1 O2",
    ),
    "unique axis c by the cell": (
        cif("Na1 Na 0.1 0.2 0.3\nCl1 Cl 0.6 0.7 0.2", "_symmetry_space_group_name_H-M 'P 2/m'",
            cell=(6.1, 7.2, 8.3, 90, 90, 101)), "Na4 Cl4",
    ),
    "occupancy that is left open": (
        cif("Mg1 Mg 0 0 0 .\nO1 O 0.5 0.5 0.5 ?", FM3M, columns=(*COLUMNS, "occupancy")), "Mg4 O4",
    ),
    "occupancy within 2 %": (
        cif("Mg1 Mg 0 0 0 0.985(3)\nO1 O 0.5 0.5 0.5 1.0(0)", FM3M,
            columns=(*COLUMNS, "occupancy")), "Mg4 O4",
    ),
    "a site that is split": (
        cif("Mg1 Mg 0 0 0 0.5\nMg2 Mg 0 0 0 0.5\nO1 O 0.5 0.5 0.5 1", FM3M,
            columns=(*COLUMNS, "occupancy")), "Mg4 O4",
    ),
    "an empty site": (
        cif("Mg1 Mg 0 0 0 1\nO1 O 0.5 0.5 0.5 1\nLi1 Li 0.25 0.25 0.25 0", FM3M,
            columns=(*COLUMNS, "occupancy")), "Mg4 O4",
    ),
    "ratios as coordinates": (
        cif("Mg1 Mg 1/3 2/3 1/4", "_symmetry_space_group_name_H-M 'P 63/m m c'",
            cell=(3.2, 3.2, 5.2, 90, 90, 120)), "Mg2",
    ),
    "deuterium": (cif("Li1 Li 0 0 0\nD1 D 0.5 0.5 0.5", FM3M), "Li4 H4"),
    "labels of minerals": (
        cif("MgM1 0 0 0\nOxy 0.5 0.5 0.5", FM3M, columns=("label", *COLUMNS[2:])), "Mg4 O4",
    ),
    "formula of the whole cell": (
        cif(ROCK_SALT, FM3M, "_chemical_formula_sum 'Mg4 O4'", "_cell_formula_units_Z 4"), "Mg4 O4",
    ),
    "symbol beside all atoms": (
        cif("Cs1 Cs 0 0 0\nCl1 Cl 0.5 0.5 0.5", "_symmetry_space_group_name_H-M 'P m -3 m'",
            operators("x,y,z")), "Cs1 Cl1",
    ),
    "an origin that is in no table": (
        cif("Na1 Na 0.1 0.2 0.3", "_symmetry_space_group_name_H-M 'P -1'",
            operators("x,y,z", "1/4-x,-y,-z"), cell=(5.1, 6.2, 7.3)), "Na2",
    ),
    "Cartesian positions": (
        cif("1 MG 0 0 0\n2 O 2.106 2.106 2.106", FM3M,
            columns=("id", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")), "Mg4 O4",
    ),
    "magnetic operators": (
        cif("Fe1 Fe 0 0 0", "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1",
            "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y+1/2,z+1/2,-1"), "Fe2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_the_right_crystal(kind):
    text, formula = GOOD[kind]
    structure, _ = read(text)
    assert structure.is_ordered
    assert structure.composition.element_composition == Composition(formula)


BAD = {
    "hydrogen without positions": (
        cif(HYDROXIDE, "_symmetry_space_group_name_H-M 'P -3 m 1'",
            "_chemical_formula_sum 'H2 Mg O2'", cell=HEXAGONAL), "H has no positions",
    ),
    "hydrogen with unknown positions": (
        cif(f"{HYDROXIDE}\nH1 H ? ? ?", "_symmetry_space_group_name_H-M 'P -3 m 1'",
            cell=HEXAGONAL), "site H1 has no position",
    ),
    "a group of atoms on one site": (
        cif("Mg 0 0 0\nOH 0.3333 0.6667 0.2216", "_symmetry_space_group_name_H-M 'P -3 m 1'",
            cell=HEXAGONAL, columns=("label", *COLUMNS[2:])), "H has no positions",
    ),
    "wrong Z": (
        cif(ROCK_SALT, FM3M, "_chemical_formula_sum 'Mg O'", "_cell_formula_units_Z 2"),
        r"Z × formula sum is 2 × \(Mg O\).* give Mg4 O4",
    ),
    "wrong formula": (
        cif(ROCK_SALT, FM3M, "_chemical_formula_sum 'Mg O2'"), "formula sum is Mg O2",
    ),
    "an element that the formula lacks": (
        cif(f"{ROCK_SALT}\nLi1 Li 0.25 0.25 0.25", FM3M, "_chemical_formula_sum 'Mg O'"),
        "a site holds Li, which is not in the formula",
    ),
    "a multiplicity that is none": (
        cif("Mg1 Mg 0 0 0 4\nO1 O 0.5 0.5 0.5 8", FM3M,
            columns=(*COLUMNS, "symmetry_multiplicity")), "site O1 is said to have 8 images",
    ),
    "an open origin": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F d -3 m'", cell=(5.431,) * 3),
        "leaves the origin open",
    ),
    "an unknown group": (
        cif(ROCK_SALT, "_symmetry_space_group_name_H-M 'F q -3 m'"), "'F q -3 m' is unknown",
    ),
    "an unknown setting": (
        cif(ROCK_SALT, "_symmetry_space_group_name_H-M 'F m -3 m :7'"), "has no setting '7'",
    ),
    "a Hall symbol that is none": (
        cif(ROCK_SALT, "_space_group_name_Hall '-F 9 2 3'"), "no Hall symbol",
    ),
    "operators of another group": (
        cif(ROCK_SALT, FM3M, operators("x,y,z", "-x,-y,-z")), "contradict each other",
    ),
    "another Hall symbol": (
        cif(ROCK_SALT, FM3M, "_space_group_name_Hall '-P 4 2 3'"), "contradict each other",
    ),
    "another number": (
        cif(ROCK_SALT, FM3M, "_symmetry_Int_Tables_number 227"), "contradict each other",
    ),
    "another origin": (
        cif(DIAMOND, "_symmetry_space_group_name_H-M 'F d -3 m :1'",
            "_space_group_name_Hall '-F 4vw 2vw 3'", cell=(5.431,) * 3), "contradict each other",
    ),
    "operators that are no group": (
        cif(ROCK_SALT, operators("x,y,z", "-y,x,z")), "2 symmetry operators are no group",
    ),
    "operators that are none": (cif(ROCK_SALT, operators("x,y,z", "x,y,?+1")), "no symmetry oper"),
    "a cell that does not fit": (
        cif(ROCK_SALT, FM3M, cell=(4.2, 4.3, 4.2)), "the cell does not fit",
    ),
    "axes that do not fit": (
        cif(RHOMB, "_symmetry_space_group_name_H-M 'R -3 m :H'", cell=RHOMBOHEDRAL),
        "the cell does not fit",
    ),
    "a label of another element": (
        cif("Na1 K 0 0 0\nCl1 Cl 0.5 0.5 0.5", FM3M), "labelled Na1 has the type symbol of K",
    ),
    "two elements on one spot": (
        cif("Na1 Na 0 0 0\nK1 K 0 0 0", FM3M), "two atoms on one spot: Na1 and K1",
    ),
    "occupancies above one": (
        cif("Mg1 Mg 0 0 0 0.7\nZn1 Zn 0 0 0 0.5", FM3M, columns=(*COLUMNS, "occupancy")),
        "add up to 1.2",
    ),
    "digits that merge nothing": (
        cif("Mo1 Mo 0.34 0.66 0.25", "_symmetry_space_group_name_H-M 'P 63/m m c'",
            cell=(3.16, 3.16, 12.3, 90, 90, 120)), "two images of Mo1 are .* Å apart",
    ),
    "an element that is none": (cif("Xx1 Xx 0 0 0"), "'Xx' names no element"),
    "a coordinate that is none": (cif("Na1 Na here 0 0"), "coordinate 'here' is no number"),
    "no cell": (cif().replace("_cell_length_a", "_cell_width"), "no _cell_length_a"),
    "one item twice": (cif(ROCK_SALT, FM3M, "_cell_length_a 5"), "_cell_length_a has two values"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_one_sentence(kind):
    text, words = BAD[kind]
    with pytest.raises(InputError, match=words) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_rounded_coordinates_are_merged_with_a_word():
    text = cif(
        "Mo1 Mo 0.333 0.667 0.25\nS1 S 0.333 0.667 0.621",
        "_symmetry_space_group_name_H-M 'P 63/m m c'",
        cell=(3.1604, 3.1604, 12.295, 90, 90, 120),
    )
    structure, notes = read(text)
    assert structure.composition.formula == "Mo2 S4"
    assert len(notes) == 2
    assert "(0.333, 0.667, 0.25) was taken to its special position" in notes[0]
    molybdenum = [site.frac_coords[0] for site in structure if site.specie.symbol == "Mo"]
    assert sorted(molybdenum) == pytest.approx([1 / 3, 2 / 3])


def test_the_open_origin_that_fits_comes_with_a_word():
    text, _ = GOOD["origin by Z"]
    assert "the one was taken that fits" in read(text)[1][0]


def test_oxidation_states_of_a_loop_and_of_neutral_type_symbols():
    loop = "loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nMg2+ 2\nO2- -2"
    ions = "Mg1 Mg2+ 0 0 0\nO1 O2- 0.5 0.5 0.5"
    for said in ([FM3M, loop], [FM3M]):
        structure, _ = read(cif(ions, *said))
        assert {str(kind) for kind in structure.species} == {"Mg2+", "O2-"}
    charged = "Mg1 Mg2+ 0 0 0\nO1 O1- 0.5 0.5 0.5"  # scattering factors, no oxidation numbers
    assert {str(kind) for kind in read(cif(charged, FM3M))[0].species} == {"Mg", "O"}


def test_blocks_without_atoms_are_passed_over_and_all_others_are_read():
    text = "data_global\n_journal_name_full 'J. Test'\n" + cif() + cif("Na1 Na 0 0 0")
    crystals = [crystal_of(block)[0] for block in blocks_of(text)]
    assert [crystal.composition.formula for crystal in crystals] == ["Mg1 O1", "Na1"]


def test_what_says_nothing_of_symmetry_is_read_in_p1_with_a_word():
    structure, notes = read(cif())
    assert structure.composition.formula == "Mg1 O1"
    assert notes == ["it says nothing of its symmetry and was read in P 1"]


@pytest.mark.parametrize("symprec", [None, 0.01])
def test_files_of_pymatgen_gemmi_and_ase(symprec):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    buffer = io.BytesIO()
    ase.io.write(buffer, salt.to_ase_atoms(), format="cif")
    texts = [buffer.getvalue().decode()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts.append(str(CifWriter(salt, symprec=symprec)))
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(texts[1]).sole_block())
    texts.append("\n".join(["data_x", *small.make_cif_block().as_string().split("\n")[1:]]))
    for text in texts:
        structure, notes = read(text)
        assert structure.composition.formula == "Na4 Cl4"
        assert notes == []
