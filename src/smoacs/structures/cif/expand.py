"""All atoms of the cell from the sites listed and the symmetry operators.

Special positions: images of a site that its digits cannot tell apart are one atom. It goes to the
mean of these images, which is the special position itself, so that .333 becomes 1/3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice
from vesin import NeighborList

from smoacs.errors import InputError
from smoacs.structures.cif.operators import Operators
from smoacs.structures.cif.sites import FULL, Site

CLOSEST: Final = 0.5
"""Å; closer atoms are no crystal."""

_SEARCH_RADIUS: Final = 2.0
"""Å; pairs this close are looked at (a much smaller radius takes longer)."""

_NOISE: Final = 1e-5
"""Of fractional coordinates: what the arithmetic of those who wrote a file may leave."""

_WORTH_A_WORD: Final = 1e-4


@dataclass
class Spot:
    """A place in the cell and what sits there.

    Attributes:
        coords: Fractional, [3].
        holds: Sites with an image there.
    """

    coords: NDArray[np.float64]
    holds: list[Site]

    @property
    def is_full(self) -> bool:
        """Whether one atom sits there for certain."""
        return len(self.holds) == 1 and self.holds[0].occupancy == 1.0

    @property
    def occupancy(self) -> float:
        """Of all that sits there."""
        return sum(site.occupancy for site in self.holds)


@dataclass
class Contents:
    """What is in a cell.

    Attributes:
        spots: All places that hold atoms.
        multiplicities: Images of each site listed.
        notes: What was merged.
    """

    spots: list[Spot]
    multiplicities: list[int]
    notes: list[str] = field(default_factory=list)

    @property
    def amounts(self) -> dict[str, float]:
        """Atoms of each element, by their occupancies."""
        found: dict[str, float] = {}
        for spot in self.spots:
            for site in spot.holds:
                found[site.element] = found.get(site.element, 0.0) + site.occupancy
        return found


def expand(sites: Sequence[Site], operators: Operators, lattice: Lattice) -> Contents:
    """Apply all operators to all sites.

    Raises:
        InputError: Atoms come closer than 0.5 Å and the digits of their coordinates do not say that
            they are one.
    """
    contents = Contents([], [])
    for site in sites:
        images = _images(site, operators, contents.notes)
        contents.multiplicities.append(len(images))
        contents.spots += [Spot(coords, [site]) for coords in images]
    _merge(contents, lattice)
    return contents


def _images(site: Site, operators: Operators, notes: list[str]) -> NDArray[np.float64]:
    """Distinct images of a site, [n, 3]."""
    turns, shifts = operators.rotations, operators.translations
    tolerance = np.abs(turns - np.eye(3)) @ site.half_units + _NOISE
    coords = site.coords
    for _ in range(3):
        moved = _wrap(turns @ coords + shifts - coords)
        same = (np.abs(moved) <= tolerance).all(axis=1)
        coords = coords + moved[same].mean(axis=0)
    change = np.abs(coords - site.coords).max()
    if change > _WORTH_A_WORD:
        notes.append(
            f"site {site.label} ({_text(site.coords)}) was taken to its special position "
            f"({_text(coords)}), as its digits allow"
        )
    images = np.mod(turns @ coords + shifts, 1.0)
    images[images > 1 - _NOISE / 10] = 0.0
    kept: list[NDArray[np.float64]] = []
    for image in images:
        if not kept or (np.abs(_wrap(np.array(kept) - image)) > _NOISE).any(axis=1).all():
            kept.append(image)
    return np.array(kept)


def _merge(contents: Contents, lattice: Lattice) -> None:
    """Join spots of different sites that are one place; refuse atoms on top of each other."""
    spots = list(contents.spots)
    for i, j, shift, distance in _close_pairs(spots, lattice):
        first, second = spots[i], spots[j]
        if i == j:
            raise InputError(_too_close(first, second, distance))
        if first is second:
            continue
        room = sum(site.half_units.max() for site in (*first.holds, *second.holds))
        apart = contents.spots[j].coords + shift - contents.spots[i].coords
        one = np.abs(apart).max() <= 3 * room + _NOISE
        full = first.is_full and second.is_full
        if full and (not one or first.holds[0] is second.holds[0]):
            raise InputError(_too_close(first, second, distance))
        if full:
            word = _listed_twice(first, second)
            contents.notes += [] if word in contents.notes else [word]
        elif one:
            first.holds += second.holds
        if one:
            spots = [first if spot is second else spot for spot in spots]
    unique = {id(spot): spot for spot in spots}
    contents.spots = list(unique.values())
    for spot in contents.spots:
        _check_full(spot)


def _close_pairs(
    spots: Sequence[Spot], lattice: Lattice
) -> list[tuple[int, int, NDArray[np.float64], float]]:
    """Pairs closer than `CLOSEST`: both numbers, the shift of the second's cell, the distance."""
    coords = np.array([spot.coords for spot in spots])
    finder = NeighborList(cutoff=_SEARCH_RADIUS, full_list=False)
    i, j, shifts, distances = finder.compute(
        coords @ lattice.matrix, lattice.matrix, periodic=True, quantities="ijSd"
    )
    near = np.flatnonzero(distances < CLOSEST)
    return [(int(i[k]), int(j[k]), shifts[k], float(distances[k])) for k in near]


def _listed_twice(first: Spot, second: Spot) -> str:
    """What to say of two sites on one spot, if they hold the same element."""
    a, b = first.holds[0], second.holds[0]
    if a.element != b.element:
        raise InputError(
            f"it has two atoms on one spot: {a.label} and {b.label} ({_text(first.coords)})"
        )
    return f"{b.label} is an image of {a.label}, listed twice, and counted once"


def _check_full(spot: Spot) -> None:
    total = spot.occupancy
    labels = " and ".join(dict.fromkeys(site.label for site in spot.holds))
    if total > 1 + FULL:
        raise InputError(
            f"the occupancies on the spot of {labels} add up to {total:.3g}, which is more than 1"
        )


def _too_close(first: Spot, second: Spot, distance: float) -> str:
    a, b = first.holds[0].label, second.holds[0].label
    what = f"two images of {a}" if a == b else f"{a} and {b}"
    return (
        f"it has two atoms on one spot: {what} are {distance:.2f} Å apart, and their digits do not "
        "make them one; check the symmetry, or give more digits (0.3333 or 1/3 in place of 0.33)"
    )


def _wrap(delta: NDArray[np.float64]) -> NDArray[np.float64]:
    return delta - np.round(delta)


def _text(coords: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.6g}" for value in np.round(coords, 6))
