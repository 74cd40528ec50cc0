"""Crystals in the smallest cell of a symmetry, by spglib; species are carried along."""

import warnings
from typing import Final

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure

FLAT: Final = 1e-3
"""Å³; spglib's oldest versions do not survive a flatter cell."""


def idealised(structure: Structure, symprec: float) -> Structure | None:
    """The primitive cell with the symmetry that a tolerance (Å) finds, made exact.

    Species with different oxidation states are different. The cell is Niggli-reduced.

    Returns:
        None if spglib finds none.
    """
    return _standardised(structure, symprec, idealise=True)


def reduced(structure: Structure, symprec: float) -> Structure:
    """The smallest cell that repeats, Niggli-reduced, the atoms where they were.

    As it is if spglib finds none.
    """
    found = _standardised(structure, symprec, idealise=False)
    return structure if found is None else found


def space_group_number(structure: Structure, symprec: float) -> int:
    """Number of the space group; 0 if spglib finds none."""
    if structure.volume < FLAT:
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, on its own error handling
        data = spglib.get_symmetry_dataset(_cell_of(structure), symprec=symprec)
    return 0 if data is None else int(data.number)


def _standardised(structure: Structure, symprec: float, *, idealise: bool) -> Structure | None:
    if structure.volume < FLAT:
        return None
    kinds = list(dict.fromkeys(structure.species))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        found = spglib.standardize_cell(
            _cell_of(structure), to_primitive=True, no_idealize=not idealise, symprec=symprec
        )
        if found is None:
            return None
        matrix, coords, numbers = (np.array(part) for part in found)
        compact = spglib.niggli_reduce(matrix)
    lattice = Lattice(matrix)
    if compact is not None:
        # Niggli reduction may change the hand of the axes.
        compact = compact if np.linalg.det(compact) > 0 else -compact
        coords = lattice.get_cartesian_coords(coords) @ np.linalg.inv(compact)
        lattice = Lattice(compact)
    species = [kinds[number - 1] for number in numbers]
    return Structure(lattice, species, coords, to_unit_cell=True)


def _cell_of(
    structure: Structure,
) -> tuple[list[list[float]], list[list[float]], list[int]]:
    """For spglib; kinds are counted from 1."""
    kinds = list(dict.fromkeys(structure.species))
    numbers = [kinds.index(kind) + 1 for kind in structure.species]
    return structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers
