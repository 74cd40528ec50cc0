"""How many cells a check looks at."""

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.checking.supercells import cells_to_reach


@pytest.mark.parametrize(
    ("lengths", "length", "options", "expected"),
    [
        ((3.8, 4.5, 8.1), 7.5, {}, (2, 2, 1)),
        ((3.7, 3.7, 3.7), 7.5, {}, (4, 4, 4)),
        ((3.7, 3.7, 3.7), 7.5, {"short": 0.05}, (2, 2, 2)),
        ((3.9, 3.9, 3.9), 10.0, {}, (4, 4, 4)),
        ((5.0, 5.0, 10.0), 10.0, {}, (2, 2, 1)),
        ((3.0, 3.0, 3.0), 7.5, {"most_atoms": 20}, (4, 2, 2)),
        ((3.0, 3.0, 9.0), 7.5, {"most_atoms": 1}, (1, 1, 1)),
    ],
)
def test_one_cell_or_an_even_number(lengths, length, options, expected):
    cell = Structure(Lattice.orthorhombic(*lengths), ["Cu"], [[0, 0, 0]])
    assert cells_to_reach(cell, length, **options) == expected
