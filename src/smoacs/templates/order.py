"""Ordered compounds: sites that the symmetry of a template makes equal hold one element."""

from dataclasses import replace

import numpy as np

from smoacs.templates.symmetry import (
    find_symmetry,
    kind_symmetry,
    operations_of,
    space_group_data,
)
from smoacs.templates.template import Template

_NEAR = 0.6
"""Å. How far atoms may be from the structure in which two kinds of sites are one: the X of a double
perovskite lies a quarter of an Å off the middle between B and B'."""


def ordered(template: Template) -> Template:
    """The template with one element on each orbit of its space group, which is thereby kept.

    Orbits are those of the bare template, with one element on each kind of site (spglib, 0.01 Å).
    Searches leave out elements that make it more symmetric than it is: a chalcopyrite with A = B is
    zincblende. Where spglib finds no space group the template comes back as it is.

    Args:
        template: Any.

    Raises:
        InputError: The sites of an orbit have no element in common under any combination.
    """
    if kind_symmetry(template) is None:
        return template
    group = find_symmetry(template, "space-group")
    orbits = [np.flatnonzero(group.orbits == first).tolist() for first in group.representatives]
    return replace(template.with_ties(orbits), order=group)


def interchangeable(template: Template, first: str, second: str) -> bool:
    """Whether two kinds of sites, each with one orbit, can change places with no other structure.

    B and B' of a double perovskite can, A and B of a delafossite cannot.

    Args:
        template: With such kinds.
        first: Label of one.
        second: Label of the other.
    """
    labels = np.array(template.site_labels)
    swapped = np.where(labels == first, second, np.where(labels == second, first, labels))
    numbers = np.unique(np.where(labels == second, first, labels), return_inverse=True)[1]
    lattice = np.array(template.to_structure().lattice.matrix)
    coords = template.frac_coords
    found = space_group_data(lattice, coords, numbers, symprec=_NEAR)
    permutations = operations_of(found, lattice, coords, symprec=_NEAR).permutations
    return bool((labels[permutations] == swapped).all(axis=1).any())
