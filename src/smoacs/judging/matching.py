"""Is a crystal still of the kind of its template, and which of its atoms sits on which site?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment

from smoacs.chemistry import element_index
from smoacs.structures import charges, symbol
from smoacs.templates import Template

ANGLE_TOLERANCE = 5.0
"""Degrees that a frozen angle of the template may be off (method.md: 85° to 95°)."""

_ROUNDING = 1e-4
"""Fractional slack for numbers that went through float32 or a CIF file."""

_FORBIDDEN = 1e6
"""Cost of an element on a site that may not hold it: more than any distance."""


@dataclass(frozen=True)
class Match:
    """How a crystal of N atoms sits on its template.

    Attributes:
        order: Atom of the crystal on each site of the template, shape [N].
        combination: Index of the combination of oxidation numbers that the crystal follows, or
            None if it follows none of the template's.
        roles: Role of each atom in the crystal's own order (see `Template.roles`), shape [N].
        radii: Ionic radius of each atom in the crystal's own order, Å, shape [N]; NaN where the
            template knows none.
    """

    order: NDArray[np.intp]
    combination: int | None
    roles: NDArray[np.int64]
    radii: NDArray[np.float64]


def angles_kept(structure: Structure, template: Template) -> bool:
    """Whether the angles that the template freezes are within 5° of it."""
    low, high = template.angle_bounds
    frozen = low == high
    off = np.abs(np.array(structure.lattice.angles) - template.angles)
    return bool((off[frozen] <= ANGLE_TOLERANCE).all())


def match_template(structure: Structure, template: Template) -> Match | None:
    """Find the atoms on the sites of a template, each within its coordinate box.

    The atoms are tried in the order given; if that fails, they are assigned to the sites by
    distance, with the origin on each atom in turn and on their median. Chemistry decides between
    assignments that geometry cannot tell apart, and is not a condition.

    Returns:
        The match, or None if the crystal has left the template.
    """
    if len(structure) != template.n_sites:
        return None
    coords = np.asarray(structure.frac_coords, dtype=float)
    elements = np.array([_element(symbol(species)) for species in structure.species])
    in_order = np.arange(len(structure))
    if _fits(_wrap(coords - template.frac_coords), template.coord_box):
        match = _match(structure, template, in_order)
        if match.combination is not None:
            return match
    fallback = None
    for allowed in _allowed_pairs(template, elements):
        order = _assign(coords, template, allowed)
        if order is not None:
            match = _match(structure, template, order)
            if match.combination is not None:
                return match
            fallback = fallback or match
    return fallback


def _element(name: str) -> int:
    """Index of an element; -1 for those beyond californium, which no site may hold."""
    try:
        return element_index(name)
    except ValueError:
        return -1


def _wrap(delta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest periodic image of fractional differences, in [-0.5, 0.5]."""
    return delta - np.round(delta)


def _fits(delta: NDArray[np.float64], box: NDArray[np.float64]) -> bool:
    return bool((np.abs(delta) <= box + _ROUNDING).all())


def _allowed_pairs(template: Template, elements: NDArray[np.intp]) -> Iterator[NDArray[np.bool_]]:
    """Which atom may sit on which site, bool [N sites, N atoms]: by each combination, then all."""
    for allowed in template.allowed:
        pairs = allowed[:, elements] & (elements >= 0)
        if pairs.any(axis=0).all() and pairs.any(axis=1).all():
            yield pairs
    yield np.ones((template.n_sites, len(elements)), dtype=bool)


def _assign(
    coords: NDArray[np.float64], template: Template, allowed: NDArray[np.bool_]
) -> NDArray[np.intp] | None:
    """Assign atoms to sites under some origin so that all lie in their boxes; None if none does."""
    labels = template.site_labels
    anchor = min(range(len(labels)), key=lambda site: (labels.count(labels[site]), site))
    shifts = [np.zeros(3)]
    shifts += [
        coords[atom] - template.frac_coords[anchor] for atom in np.flatnonzero(allowed[anchor])
    ]
    for shift in shifts:
        sites = template.frac_coords + shift
        cost = (_wrap(coords[None, :, :] - sites[:, None, :]) ** 2).sum(axis=2)
        order = linear_sum_assignment(np.where(allowed, cost, _FORBIDDEN))[1]
        delta = _wrap(coords[order] - sites)
        # The assignment holds; the origin may as well be where most atoms say, or any other atom.
        for origin in (np.zeros(3), np.median(delta, axis=0), *delta):
            if _fits(_wrap(delta - origin), template.coord_box):
                return np.asarray(order)
    return None


def _match(structure: Structure, template: Template, order: NDArray[np.intp]) -> Match:
    """Complete a match with the combination that the crystal follows, its roles and radii."""
    n_sites = template.n_sites
    elements = np.array([_element(symbol(structure[int(atom)].specie)) for atom in order])
    fits = template.allowed[:, np.arange(n_sites), elements].all(axis=1) & (elements >= 0).all()
    states = charges(structure)
    if states is not None:
        fits &= (template.combinations == np.array(states)[order]).all(axis=1)
    combination = int(np.argmax(fits)) if fits.any() else None
    roles = np.empty(n_sites, dtype=np.int64)
    roles[order] = template.roles
    radii = np.full(n_sites, np.nan)
    if combination is not None and template.radii is not None:
        radii[order] = template.radii[combination, np.arange(n_sites), elements]
    return Match(order, combination, roles, radii)
