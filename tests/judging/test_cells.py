"""Crystals in other cells than their template's."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.judging.cells import in_cell_of, why_not
from smoacs.judging.matching import match_template
from smoacs.templates import TEMPLATE_NAMES, build_template, reference_structure

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def kept(structure, template):
    cell = in_cell_of(structure, template)
    return match_template(cell, template), why_not(cell, template)


@pytest.mark.parametrize("name", [n for n in TEMPLATE_NAMES if n != "perovskite"])
def test_the_conventional_cell_of_a_reference_keeps_its_template(name):
    conventional = SpacegroupAnalyzer(
        reference_structure(name)
    ).get_conventional_standard_structure()
    match, reason = kept(conventional, build_template(name))
    assert match is not None
    own = match_template(reference_structure(name), build_template(name))
    assert (match.combination is None) == (own.combination is None)
    assert reason == ""


@pytest.mark.parametrize(
    "shape", [[[2, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 0, 1], [1, 1, 0]]]
)
def test_any_other_cell_of_rock_salt_keeps_it(shape):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    salt.make_supercell(shape)
    salt.translate_sites(range(len(salt)), [0.13, 0.4, 0.77])
    match, reason = kept(salt, build_template("rock-salt"))
    assert match is not None
    assert reason == ""


def test_a_larger_template_takes_a_smaller_cell():
    cubic = perovskite(Lattice.cubic(3.905))
    match, reason = kept(cubic, build_template("perovskite", repeat=2))
    assert match is not None
    assert reason == ""


def perovskite(lattice, shift=0.0):
    sites = [[0.5] * 3, [0, 0, 0], [0.5 - shift, shift, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Structure(lattice, ["Sr", "Ti", "O", "O", "O"], sites)


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (perovskite(Lattice.from_parameters(3.9, 3.9, 3.9, 90, 90, 97)), "gamma is 97.0°"),
        (perovskite(Lattice.tetragonal(2.6, 8.5), 0.3), "no cell of its lattice"),
        (perovskite(Lattice.cubic(3.9), 0.25), "not on the template's sites"),
        (Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]),
         "2 atoms in the primitive cell do not fill 5 sites"),
    ],
)  # fmt: skip
def test_what_is_no_perovskite_says_why(structure, words):
    _, reason = kept(structure, build_template("perovskite"))
    assert words in reason


def test_the_crystal_stays_the_same():
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    cell = in_cell_of(salt, build_template("rock-salt"))
    assert len(cell) == 2
    np.testing.assert_allclose(cell.volume * 4, salt.volume)
    np.testing.assert_allclose(cell.get_distance(0, 1), 2.82)
