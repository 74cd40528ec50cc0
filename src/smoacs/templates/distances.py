"""How close two atoms may come: a share of the sum of their radii.

Covalent radii are those of B. Cordero et al., Dalton Trans. 2008, 2832, as tabulated by ASE; Bk and
Cf, which have none, take that of Cm. Ionic radii are Shannon's at the site's oxidation number and
coordination 6 (see `smoacs.chemistry.radii`); an ion without one takes its covalent radius.
"""

from functools import cache
from typing import Final, Literal

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

from smoacs.chemistry import MAX_CHARGE, MIN_CHARGE, N_ELEMENTS, radius_table
from smoacs.errors import InputError
from smoacs.templates.template import Template

RadiusKind = Literal["covalent", "ionic"]

_COORDINATION: Final = 6
_CURIUM: Final = 96
_SLACK: Final = 1e-6
"""Relative slack of distances against rounding."""

Floats = NDArray[np.float64]


@cache
def element_radii() -> Floats:
    """Covalent radius (Å) of each element, [98]."""
    radii = np.array(covalent_radii[1 : N_ELEMENTS + 1], dtype=np.float64)
    radii[_CURIUM:] = radii[_CURIUM - 1]
    radii.setflags(write=False)
    return radii


def site_radii(template: Template, kind: RadiusKind) -> Floats:
    """Radius (Å) of every element on each site under each combination, [K, N, 98]."""
    shape = template.allowed.shape
    if kind == "covalent":
        return np.broadcast_to(element_radii(), shape)
    known = radius_table(_COORDINATION)  # [98, charges]
    charges = template.combinations
    index = np.clip(charges - MIN_CHARGE, 0, MAX_CHARGE - MIN_CHARGE)
    radii = known.T[index]
    return np.where(np.isfinite(radii), radii, element_radii())


def prune_large_elements(
    template: Template, lattice: Floats, *, share: float, kind: RadiusKind, cause: str
) -> Template:
    """Take away the largest elements until any choice of those left fits the largest cell.

    So a candidate that is too tight can always be widened: whatever elements it holds, it fits
    `lattice` with its atoms on the template's coordinates.

    Args:
        template: What is to hold the elements.
        lattice: Vectors of the largest cell, Å, [3, 3].
        share: Of the sum of two radii that their distance must be at least.
        kind: Which radii.
        cause: The settings that the error names.

    Raises:
        InputError: Not even the smallest elements fit.
    """
    radii = site_radii(template, kind)
    labels = list(dict.fromkeys(template.site_labels))
    number = np.array([labels.index(label) for label in template.site_labels])
    cutoff = 2.0 * share * float(radii[template.allowed].max())
    distances = _shortest(template.frac_coords, lattice, number, cutoff)
    allowed = np.array(template.allowed)
    tightest = ""
    for k in range(template.n_combinations):
        while True:
            largest = np.array(
                [
                    np.where(allowed[k, number == i], radii[k, number == i], 0.0).max()
                    for i in range(len(labels))
                ]
            )
            room = distances / np.add.outer(largest, largest)
            i, j = (int(x) for x in np.unravel_index(np.argmin(room), room.shape))
            if room[i, j] >= share * (1.0 - _SLACK):
                break
            tightest = f"{labels[i]} and {labels[j]}"
            drop = i if largest[i] >= largest[j] else j
            sites = number == drop
            left = allowed[k, sites] & (radii[k, sites] < largest[drop])
            allowed[k, sites] = left
            if not left.any(axis=1).all():
                allowed[k] = False
                break
    left = template.allowing(allowed)
    if left is None:
        msg = (
            f"{cause} exclude each other: in the largest cell that is allowed, {tightest} of "
            f"template {template.name!r} are too close for any elements allowed there"
        )
        raise InputError(msg)
    return left


def _shortest(coords: Floats, lattice: Floats, number: NDArray[np.int64], cutoff: float) -> Floats:
    """Shortest distance (Å) between any two kinds of sites; infinite beyond the cutoff."""
    size = int(number.max()) + 1
    shortest = np.full((size, size), np.inf)
    finder = NeighborList(cutoff=cutoff, full_list=True)
    first, second, distance = finder.compute(
        coords @ lattice, lattice, periodic=True, quantities="ijd"
    )
    np.minimum.at(shortest, (number[first], number[second]), distance)
    return shortest
