"""Criteria that need the crystal only: is it one, is it neutral, how close do its atoms come."""

import math
import re
from collections import Counter

import numpy as np
from pymatgen.core import Composition, Structure
from vesin import NeighborList

from smoacs.chemistry import (
    ELEMENTS,
    OxidationTable,
    assignment_likelihood,
    icsd_reports,
    may_differ,
    neutral_site_charges,
    oxidation_table,
    tables_of_crystals,
)
from smoacs.judging.space_groups import niggli_reduced
from smoacs.structures import charges, symbol, symbols

MIN_DISTANCE = 0.5
"""Å. Atoms closer than this are no crystal (method.md, "How results are judged")."""

MAX_LENGTH = 1e4
"""Å. No lattice vector is longer."""

MIN_VOLUME = 0.1
"""Å³ per atom. Flatter cells are no crystal; hydrogen in metals takes about 2."""

_ROUNDING = 1e-3
"""Charges that add up to less than this are neutral: fractional ones were rounded."""

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
    return str(Composition(element_counts(structure)).reduced_formula)


def element_counts(structure: Structure) -> dict[str, int]:
    """Number of atoms of each element."""
    return dict(Counter(symbols(structure)))


def is_neutral(
    structure: Structure, table: OxidationTable | None = None, *, as_stated: bool = True
) -> bool:
    """Whether a crystal is charge neutral.

    Exact, and independent of how the crystal was made. Oxidation states that it carries count as
    they are: they must add up to zero. Otherwise some choice of the table must make it neutral,
    with atoms that are bonded to their own kind as the bonds have it (peroxides, pyrite).

    Args:
        structure: Any crystal; an element alone is neutral.
        table: Oxidation numbers by element; None is the ICSD's usual ones and, where these have no
            neutral choice, every one that is reported now and then. For numbers that must be in
            a table, it is the default one.
        as_stated: Whether states that the crystal carries need not be in the table, nor be a
            valence mixture that is known, as long as the ICSD has any report of each: those of a
            file that a user wrote.
    """
    states = charges(structure)
    if states is None:
        return site_charges(structure, table) is not None
    if abs(sum(states)) > _ROUNDING:
        return False
    ions: dict[str, set[float]] = {}
    for species, state in zip(structure.species, states, strict=True):
        ions.setdefault(symbol(species), set()).add(state)
    if as_stated:
        return all(_is_known(name, q) for name, found in ions.items() for q in found)
    table = oxidation_table() if table is None else table
    return all(
        set(found) <= set(table.get(name, ())) and may_differ(name, map(round, found))
        for name, found in ions.items()
    )


def _is_known(name: str, state: float) -> bool:
    """Whether the ICSD has any report of an oxidation state; fractions are means of such."""
    return state == 0 or state != round(state) or (name, round(state)) in icsd_reports()


def site_charges(structure: Structure, table: OxidationTable | None = None) -> list[int] | None:
    """Likeliest neutral oxidation number of each site; None if there is none.

    States that the crystal carries do not count.

    Args:
        structure: Any crystal.
        table: As for `is_neutral`.
    """
    elements = symbols(structure)
    if not has_finite_cell(structure) or not set(elements) <= set(ELEMENTS):
        return None
    coords, cell = structure.frac_coords, structure.lattice.matrix
    for states in tables_of_crystals() if table is None else (table,):
        found = neutral_site_charges(elements, coords, cell, states)
        if found:
            return found[0]
    return None


def oxidation_likelihood(structure: Structure, table: OxidationTable | None = None) -> float:
    """How usual the oxidation numbers are, see `chemistry.assignment_likelihood`; NaN if none."""
    states = charges(structure) or site_charges(structure, table)
    if states is None:
        return float("nan")
    ions: dict[str, list[int]] = {}
    for species, state in zip(structure.species, states, strict=True):
        ions.setdefault(symbol(species), []).append(round(state))
    return assignment_likelihood(ions)


def oxidation_text(structure: Structure, table: OxidationTable | None = None) -> str:
    """Oxidation states in words, such as "Sr+2 Ti+4 O-2" or, mixed, "Fe+2(1) Fe+3(2) O-2".

    In the order of the formula. Those that the structure carries, else those of the neutral
    assignment; empty if there is none.
    """
    states = charges(structure) or site_charges(structure, table)
    if states is None:
        return ""
    found: dict[str, Counter[int]] = {}
    for species, state in zip(structure.species, states, strict=True):
        found.setdefault(symbol(species), Counter())[round(state)] += 1
    words = []
    for element in re.findall("[A-Z][a-z]?", reduced_formula(structure)):
        amounts = found[element]
        for charge, amount in sorted(amounts.items()):
            number = f"{charge:+d}" if charge else "0"
            words.append(f"{element}{number}" + (f"({amount})" if len(amounts) > 1 else ""))
    return " ".join(words)
