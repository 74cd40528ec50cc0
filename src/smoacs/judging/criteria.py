"""Criteria that need the crystal only: is it one, and how close do its atoms come."""

import math
from collections import Counter
from functools import lru_cache

import numpy as np
from pymatgen.core import Composition, Structure
from vesin import NeighborList

from smoacs.judging.space_groups import niggli_reduced
from smoacs.structures import symbols

MIN_DISTANCE = 0.5
"""Å. Atoms closer than this are no crystal (method.md, "How results are judged")."""

MAX_LENGTH = 1e4
"""Å. No lattice vector is longer."""

MIN_VOLUME = 0.1
"""Å³ per atom. Flatter cells are no crystal; hydrogen in metals takes about 2."""

_CLOSEST_PACKING = math.sqrt(2)
"""Cube of the distance of the nearest of equal spheres, packed as close as can be, over the volume
of each (T. C. Hales, Ann. Math. 162, 1065 (2005)): in no crystal are all atoms farther apart."""


def has_finite_cell(structure: Structure) -> bool:
    """Whether all numbers are finite, there are atoms, and the cell has a size that cells have."""
    matrix = structure.lattice.matrix
    if len(structure) == 0 or not (
        np.isfinite(matrix).all() and np.isfinite(structure.frac_coords).all()
    ):
        return False
    if np.abs(matrix).max() > MAX_LENGTH:
        return False
    return bool(abs(np.linalg.det(matrix)) >= MIN_VOLUME * len(structure))


def min_distance(structure: Structure) -> float:
    """Shortest distance between two atoms, images of the same atom included, Å.

    NaN for a crystal without a finite cell. The time that it takes grows as the number of atoms.
    """
    if not has_finite_cell(structure):
        return float("nan")
    given = np.asarray(structure.lattice.matrix, dtype=float)
    reduced = niggli_reduced(given)
    lattice = given if reduced is None else reduced  # a reduced cell is nowhere thin
    coords = structure.frac_coords @ given @ np.linalg.inv(lattice)
    volume = abs(np.linalg.det(lattice)) / len(structure)
    reach = 1.001 * (_CLOSEST_PACKING * volume) ** (1 / 3)
    finder = NeighborList(cutoff=reach, full_list=False, n_threads=1)
    points = np.mod(coords, 1.0) @ lattice
    (distances,) = finder.compute(points, lattice, periodic=True, quantities="d")
    return float(distances.min())


def is_crystal(structure: Structure) -> bool:
    """Whether the structure has a finite cell and no two atoms closer than 0.5 Å."""
    return min_distance(structure) >= MIN_DISTANCE


def reduced_formula(structure: Structure) -> str:
    """Reduced formula of the elements, such as SrTiO3."""
    return _reduced_formula(tuple(element_counts(structure).items()))


@lru_cache(maxsize=4_096)
def _reduced_formula(counts: tuple[tuple[str, int], ...]) -> str:
    return str(Composition(dict(counts)).reduced_formula)


def element_counts(structure: Structure) -> dict[str, int]:
    """Number of atoms of each element."""
    return dict(Counter(symbols(structure)))
