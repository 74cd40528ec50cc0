"""Written CIFs: space group, conventional cell, the same crystal for every reader."""

import io
import warnings

import ase.io
import gemmi
import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifParser

from smoacs.structures import read_cif_text
from smoacs.structures.cif import operators
from smoacs.structures.writing import cif_text
from smoacs.templates import TEMPLATE_NAMES, reference_structure

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

MATCHER = StructureMatcher(ltol=1e-3, stol=0.005, angle_tol=0.1, scale=False)
ROCK_SALT = Structure(
    [[0, 2.82, 2.82000004], [2.82, 0, 2.82], [2.82, 2.82, 0]], ["Na", "Cl"], [[0] * 3, [0.5] * 3]
)


def test_rock_salt_in_a_primitive_cell_is_written_as_people_know_it():
    text = cif_text(ROCK_SALT)
    assert "'F m -3 m'" in text
    assert "_cell_length_a   5.64000" in text
    assert "_cell_angle_alpha   90.00000000" in text
    assert "_cell_formula_units_Z   4" in text
    assert "symmetric within 0.01 Å" in text
    assert len(read_cif_text(text)) == 8


@pytest.mark.parametrize("name", [name for name in TEMPLATE_NAMES if name != "perovskite"])
def test_four_readers_see_the_crystal_that_was_written(name):
    structure = reference_structure(name)
    text = cif_text(structure)
    assert "'P 1'" not in text
    ours = read_cif_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks of other readers
        pymatgen = CifParser.from_str(text).parse_structures(primitive=False)[0]
        frame = ase.io.read(io.StringIO(text), format="cif")
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert len(small.get_all_unit_cell_sites()) == len(ours)
    for other in (ours, pymatgen, AseAtomsAdaptor.get_structure(frame)):
        other.remove_oxidation_states()
        structure.remove_oxidation_states()
        assert MATCHER.fit(structure, other)
        assert len(other) == len(ours)


def test_oxidation_states_come_back_and_break_the_symmetry_where_they_differ():
    salt = ROCK_SALT.copy()
    salt.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert MATCHER.fit(read_cif_text(cif_text(salt)), salt)
    iron = Structure(Lattice.cubic(3.0), ["Fe2+", "Fe3+"], [[0] * 3, [0.5] * 3])
    text = cif_text(iron)
    assert "'P m -3 m'" in text
    assert {str(kind) for kind in read_cif_text(text).species} == {"Fe2+", "Fe3+"}


def test_what_has_no_symmetry_stays_as_it_is():
    rng = np.random.default_rng(0)
    lattice = Lattice.from_parameters(5.1, 6.2, 7.3, 81.2, 93.4, 105.6)
    structure = Structure(lattice, ["Na", "Cl", "K", "Br"], rng.random((4, 3)))
    text = cif_text(structure)
    assert "'P 1'" in text
    read = read_cif_text(text)
    assert read.lattice.parameters == pytest.approx(lattice.parameters, abs=1e-7)
    assert MATCHER.fit(read, structure)


@pytest.mark.parametrize(("shift", "name"), [(0.002, "P m -3 m"), (0.03, "P 4 m m")])
def test_the_tolerance_decides_what_is_symmetric(shift, name):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5 + shift / 4.0]]
    assert f"'{name}'" in cif_text(Structure(Lattice.cubic(4.0), ["Cs", "Cl"], sites))


def test_operators_are_read_once_for_all_crystals_that_share_them(monkeypatch):
    read = []
    as_group = operators._operators
    monkeypatch.setattr(
        operators,
        "_operators",
        lambda pairs, unit: read.append(unit) or as_group(pairs, unit),
    )
    operators._from_triplets.cache_clear()
    operators.from_hall.cache_clear()
    crystal = reference_structure("spinel")
    for volume in (140, 150, 160):
        crystal.scale_lattice(volume)
        assert "'F d -3 m" in cif_text(crystal)
    assert len(read) <= 3  # the triplets, and the Hall symbols of the settings of the group
