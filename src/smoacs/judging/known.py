"""Crystals that are known: those of the Materials Project of 2018, by formula and by structure.

A file of the package (`known_crystals.npy`, by `scripts/make_known_crystals.py`) has a number for
each crystal of all splits of the data that the built-in weights were trained and tested on:
a hash of its reduced formula in the upper bits, a hash of its space group and of the atoms in its
primitive cell in the lower ones. Two crystals of one formula are of one structure here if these
agree.
"""

import hashlib
import warnings
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from smoacs.judging.criteria import has_finite_cell, reduced_formula
from smoacs.structures import symbol

FILE = "known_crystals.npy"

FORMULA_BITS, STRUCTURE_BITS = 40, 23
"""Of a number; one bit is the sign."""

_LOOSE = 0.1
"""Å. Tolerance by which two crystals are of one kind."""


def crystal_key(formula: str, space_group: int, n_primitive: int) -> int:
    """The number of a crystal.

    Args:
        formula: Reduced.
        space_group: Number of the space group.
        n_primitive: Atoms in the primitive cell.
    """
    kind = _hash(f"{space_group}/{n_primitive}", STRUCTURE_BITS)
    return (_hash(formula, FORMULA_BITS) << STRUCTURE_BITS) | kind


def is_known_formula(formula: str) -> bool:
    """Whether the list has a crystal of a reduced formula."""
    first = _hash(formula, FORMULA_BITS) << STRUCTURE_BITS
    low, high = np.searchsorted(_known(), [first, first + (1 << STRUCTURE_BITS)])
    return bool(low < high)


def is_known_structure(structure: Structure) -> bool | None:
    """Whether the list has a crystal of the same formula and structure; None if it has no symmetry.

    Without the formula there is nothing to look up: symmetry is not searched for then.
    """
    formula = reduced_formula(structure)
    if not is_known_formula(formula):
        return False
    kind = primitive_kind(structure)
    if kind is None:
        return None
    key = crystal_key(formula, *kind)
    place = int(np.searchsorted(_known(), key))
    return bool(place < len(_known()) and _known()[place] == key)


def primitive_kind(structure: Structure) -> tuple[int, int] | None:
    """Number of the space group at 0.1 Å and atoms in the primitive cell; None if there is none.

    The tolerance is loose, so that cells relaxed by different energies are of one kind.
    """
    if not has_finite_cell(structure):
        return None
    numbers = [Element(symbol(species)).Z for species in structure.species]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        found = spglib.get_symmetry_dataset(cell, symprec=_LOOSE)
    if found is None:
        return None
    return int(found.number), len(set(found.mapping_to_primitive.tolist()))


def _hash(text: str, bits: int) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - bits)


@cache
def _known() -> NDArray[np.int64]:
    with as_file(files("smoacs.judging") / FILE) as path:
        numbers: NDArray[np.int64] = np.load(path, allow_pickle=False)
    return numbers
