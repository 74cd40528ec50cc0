"""Crystals in rows of tables: the training layout."""

import json
from collections.abc import Mapping
from typing import Final

import numpy as np
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.errors import InputError

LAYOUT: Final = ("numbers", "frac_coords", "lattice")
"""Columns of the training layout that make a crystal (docs/training.md)."""

_MAX_ANGLE: Final = 180.0


def structure_of_row(row: Mapping[str, object]) -> Structure:
    """The crystal of a row of the training layout; lists may be JSON texts, as in CSV files.

    Raises:
        InputError: It is none.
    """
    numbers, frac, lattice = (
        np.asarray(json.loads(value) if isinstance(value, str) else value, dtype=float)
        for value in (row[name] for name in LAYOUT)
    )
    if not np.isin(numbers, np.arange(1, N_ELEMENTS + 1)).all():
        raise InputError(f"numbers holds what is no atomic number from 1 to {N_ELEMENTS}")
    if lattice.shape != (6,) or not ((lattice > 0).all() and (lattice[3:] < _MAX_ANGLE).all()):
        raise InputError(
            "lattice must be three lengths (Å) and three angles (degrees), all positive"
        )
    if frac.size != 3 * numbers.size:
        raise InputError(f"frac_coords must be {3 * numbers.size} numbers, three for each atom")
    elements = [ELEMENTS[int(z) - 1] for z in numbers]
    return Structure(Lattice.from_parameters(*lattice.tolist()), elements, frac.reshape(-1, 3))
