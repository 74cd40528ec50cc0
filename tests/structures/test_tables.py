"""Crystals in rows of tables."""

import pytest

from smoacs.errors import InputError
from smoacs.structures import structure_of_row

SALT = {
    "numbers": [11, 17],
    "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5],
    "lattice": [4, 4, 4, 60, 60, 60],
}


@pytest.mark.parametrize("as_text", [False, True])
def test_a_row_is_a_crystal(as_text):
    structure = structure_of_row({k: str(v) for k, v in SALT.items()} if as_text else SALT)
    assert structure.formula == "Na1 Cl1"
    assert structure.lattice.parameters == pytest.approx(SALT["lattice"])
    assert structure.frac_coords[1] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": [11, 0]}, "no atomic number"),
        ({"numbers": [11]}, "frac_coords must be 3 numbers"),
        ({"lattice": [4, 4, 4, 60, 60]}, "three lengths"),
        ({"lattice": [4, 4, 4, 60, 60, 180]}, "three lengths"),
        ({"lattice": [4, 4, -4, 60, 60, 60]}, "three lengths"),
    ],
)
def test_a_row_that_is_none(change, message):
    with pytest.raises(InputError, match=message):
        structure_of_row(SALT | change)
