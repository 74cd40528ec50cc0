"""The crystal of a block of a CIF, or one sentence that says why there is none."""

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Species, Structure

from smoacs.errors import InputError
from smoacs.structures.cif.claims import check_volume, formula_sum, problem_of
from smoacs.structures.cif.document import Block
from smoacs.structures.cif.expand import Contents, Spot, expand
from smoacs.structures.cif.operators import Operators
from smoacs.structures.cif.sites import Site, sites_of
from smoacs.structures.cif.symmetry import Symmetry, symmetry_of

_HALF_TURN: Final = 180.0
_SAME: Final = 1e-3
"""Fractional; atoms this close are at one place."""


def crystal_of(block: Block) -> tuple[Structure, list[str]]:
    """The crystal of a block, disordered if its sites are, and what a reader should know.

    Raises:
        InputError: What the file says contradicts itself, leaves the crystal open, or is none.
    """
    lattice = _lattice(block)
    notes: list[str] = []
    sites = sites_of(block, lattice, notes)
    symmetry = symmetry_of(block, lattice)
    notes += symmetry.notes
    contents = _choose(block, sites, symmetry, lattice=lattice, notes=notes)
    notes += contents.notes
    _note_hydrogens(contents, sites, notes)
    check_volume(block, lattice.volume, notes)
    return _structure(contents.spots, lattice, ionic=_are_states(contents)), notes


def _lattice(block: Block) -> Lattice:
    lengths, angles = [], []
    for name in "abc":
        value = block.number(f"_cell_length_{name}")
        if value is None:
            raise InputError(f"it has no _cell_length_{name}")
        lengths.append(_checked(f"_cell_length_{name}", value, math.inf))
    for name in ("alpha", "beta", "gamma"):
        tag = f"_cell_angle_{name}"
        value = block.number(tag)  # 90 by the dictionary if it is left out
        angles.append(_checked(tag, 90.0 if value is None else value, _HALF_TURN))
    cosines = np.cos(np.radians(angles))
    if not 1 - (cosines**2).sum() + 2 * cosines.prod() > 0:
        raise InputError(f"its cell angles are {angles}, which no cell can have")
    return Lattice.from_parameters(*lengths, *angles)


def _checked(tag: str, value: float, limit: float) -> float:
    if not 0.0 < value < limit:
        raise InputError(f"{tag} is {value:g}, which no cell can have")
    return value


def _choose(
    block: Block,
    sites: Sequence[Site],
    symmetry: Symmetry,
    *,
    lattice: Lattice,
    notes: list[str],
) -> Contents:
    """The contents of the cell by what the file says of its symmetry and of its contents."""
    formula = formula_sum(block, notes)
    found: list[tuple[Operators, Contents]] = []
    problems: list[str] = []
    for operators in symmetry.meanings:
        try:
            contents = expand(sites, operators, lattice)
        except InputError as error:
            problems.append(str(error))
            continue
        problem = problem_of(block, sites, contents, n_operators=len(operators), formula=formula)
        if problem is None:
            found.append((operators, contents))
        else:
            problems.append(problem)
    if not found:
        raise InputError(problems[0])
    operators, contents = found[0]
    _check_doubts(sites, symmetry, contents, lattice=lattice, notes=notes)
    if len(found) > 1 and not _same_crystal([c for _, c in found], lattice):
        raise InputError(
            f"{symmetry.words} leaves the origin open, and its choices give different crystals; "
            "add ':1' or ':2' to the symbol, or the operators"
        )
    if problems:
        notes.append(f"{symmetry.words} leaves the origin open; the one was taken that fits")
    return contents


def _check_doubts(
    sites: Sequence[Site],
    symmetry: Symmetry,
    contents: Contents,
    *,
    lattice: Lattice,
    notes: list[str],
) -> None:
    """Refuse statements on the symmetry that mean another crystal."""
    for doubt in symmetry.doubts:
        for operators in doubt.meanings:
            try:
                other = expand(sites, operators, lattice)
            except InputError:
                continue
            if _same_atoms(contents.spots, other.spots):
                notes.append(f"{symmetry.words} and {doubt.words} differ, but give the same atoms")
                break
        else:
            raise InputError(
                f"{symmetry.words} and {doubt.words} contradict each other; make one of them right"
            )


def _same_atoms(first: Sequence[Spot], second: Sequence[Spot]) -> bool:
    """Whether two cells hold the same atoms at the same places."""
    if len(first) != len(second):
        return False
    here, there = (np.array([spot.coords for spot in spots]) for spots in (first, second))
    for spot, coords in zip(first, here, strict=True):
        delta = there - coords
        near = np.flatnonzero((np.abs(delta - np.round(delta)) < _SAME).all(axis=1))
        if not any(_kinds(second[int(k)]) == _kinds(spot) for k in near):
            return False
    return True


def _kinds(spot: Spot) -> set[tuple[str, float]]:
    return {(site.element, site.occupancy) for site in spot.holds}


def _same_crystal(contents: Sequence[Contents], lattice: Lattice) -> bool:
    first, *others = contents
    if all(_same_atoms(first.spots, other.spots) for other in others):
        return True
    from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415 - rare

    matcher = StructureMatcher(
        ltol=1e-3, stol=1e-3, angle_tol=0.1, primitive_cell=False, scale=False
    )
    crystal = _structure(first.spots, lattice)
    return all(matcher.fit(crystal, _structure(other.spots, lattice)) for other in others)


def _note_hydrogens(contents: Contents, sites: Sequence[Site], notes: list[str]) -> None:
    labels = [site.label for site in sites if re.match(r"(OH|O?W|Wat)\d*$", site.label)]
    if labels and not {"H", "W"} & contents.amounts.keys():
        notes.append(f"site {labels[0]} looks like that of a group with hydrogen; no site holds H")


def _are_states(contents: Contents) -> bool:
    """Whether the charges of type symbols are oxidation numbers: on all sites, and neutral."""
    held = [site for spot in contents.spots for site in spot.holds]
    charges = [site.charge for site in held]
    if any(site.state is not None for site in held) or None in charges:
        return False
    total = sum(site.occupancy * (site.charge or 0.0) for site in held)
    return abs(total) < 0.05  # noqa: PLR2004 - electrons; occupancies are rounded


def _structure(spots: Sequence[Spot], lattice: Lattice, *, ionic: bool = False) -> Structure:
    species = [_composition(spot.holds, ionic=ionic) for spot in spots]
    coords = [spot.coords for spot in spots]
    structure = Structure(lattice, species, coords)
    return structure.get_sorted_structure()


def _composition(sites: Sequence[Site], *, ionic: bool) -> Composition:
    amounts: dict[Species | Element, float] = {}
    for site in sites:
        state = site.charge if ionic else site.state
        kind = Element(site.element) if state is None else Species(site.element, state)
        amounts[kind] = amounts.get(kind, 0.0) + site.occupancy
    total = sum(amounts.values())
    if len(amounts) == 1 and abs(total - 1) <= 0.02:  # noqa: PLR2004 - parts of one element
        amounts = dict.fromkeys(amounts, 1.0)
    return Composition(amounts)
