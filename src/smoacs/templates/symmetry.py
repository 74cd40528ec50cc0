"""The space group of a template: which sites it ties, and what it leaves free to move.

Operations act on fractional coordinates as x' = R x + t (International Tables for Crystallography,
vol. A, chapter 1.2). A lattice with metric tensor G = L Lᵀ (rows of L: lattice vectors) keeps the
rotations if Rᵀ G R = G for all of them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import spglib
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smoacs.errors import InputError

if TYPE_CHECKING:
    from smoacs.templates.template import Template

SYMPREC: Final = 0.01
"""Å; how far an atom may be off its symmetric position."""

SymmetryLevel = Literal["lattice", "space-group"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class TemplateSymmetry:
    """What stays of a template's space group.

    Attributes:
        level: "lattice" ties lattice lengths and angles; "space-group" also coordinates and
            elements.
        number: Of the space group, 1 to 230.
        rotations: Its rotations, each once, [G, 3, 3].
        orbits: A site's representative: the first of those that symmetry makes equivalent, [N].
        gather: Takes the displacement of a site to its share of the representative's invariant
            part, [N, 3, 3].
        scatter: Takes the displacement of the representative to the site, [N, 3, 3].
        lattice: The template's lattice vectors as rows, Å, [3, 3].
        frac_coords: The template's coordinates, [N, 3].
        n_operations: Rotations and translations of the cell together.
    """

    level: SymmetryLevel
    number: int
    rotations: Floats
    orbits: NDArray[np.int64]
    gather: Floats
    scatter: Floats
    lattice: Floats
    frac_coords: Floats
    n_operations: int
    _raised: dict[tuple[int, ...], bool] = field(default_factory=dict)

    @property
    def ties_sites(self) -> bool:
        """Whether coordinates and elements are tied, too."""
        return self.level == "space-group"

    @property
    def representatives(self) -> NDArray[np.int64]:
        """The first site of each set of equivalent ones, ascending."""
        return np.unique(self.orbits)

    def invariant_metric(self, metric: Floats) -> Floats:
        """Part of a metric tensor, [3, 3], that keeps the rotations: the mean of its images."""
        images = np.einsum("gki,kl,glj->gij", self.rotations, metric, self.rotations)
        mean: Floats = images.mean(axis=0)
        return mean

    def invariant_displacements(self, displacements: Floats) -> Floats:
        """Part of fractional displacements, [N, 3], that keeps the space group."""
        shares = np.einsum("nij,nj->ni", self.gather, displacements)
        total = np.zeros_like(displacements)
        np.add.at(total, self.orbits, shares)
        moved: Floats = np.einsum("nij,nj->ni", self.scatter, total[self.orbits])
        return moved

    def is_raised(self, elements: Sequence[int] | NDArray[np.int64]) -> bool:
        """Whether elements, [N], equal on equivalent sites, make the template more symmetric.

        Only who shares an element with whom matters: with A = B, for example, a rock salt AB is
        a simple cubic lattice. What was found is remembered.
        """
        chosen = [int(elements[site]) for site in self.representatives]
        key = tuple(chosen.index(element) for element in chosen)
        if key not in self._raised:
            numbers = np.searchsorted(self.representatives, self.orbits)
            found = space_group_data(self.lattice, self.frac_coords, np.array(key)[numbers])
            self._raised[key] = found is None or len(found.rotations) > self.n_operations
        return self._raised[key]


def find_symmetry(template: "Template", level: SymmetryLevel) -> TemplateSymmetry:
    """Symmetry of a template with one element on each kind of site, by spglib at 0.01 Å.

    Raises:
        InputError: spglib finds none.
    """
    found = kind_symmetry(template)
    if found is None:
        msg = f"template {template.name!r}: spglib finds no space group, so symmetry must be 'free'"
        raise InputError(msg)
    rotations = np.array(found.rotations, dtype=np.float64)
    shifts = np.array(found.translations, dtype=np.float64)
    orbits, gather, scatter, coords = _orbits(template.frac_coords, rotations, shifts)
    return TemplateSymmetry(
        level=level,
        number=int(found.number),
        rotations=np.unique(rotations, axis=0),
        orbits=orbits,
        gather=gather,
        scatter=scatter,
        lattice=np.array(template.to_structure().lattice.matrix),
        frac_coords=coords,
        n_operations=len(rotations),
    )


def kind_symmetry(template: "Template") -> "spglib.SpglibDataset | None":
    """What spglib says of a template with one element on each kind of site; None if nothing."""
    kinds = sorted(set(template.site_labels))
    numbers = np.array([kinds.index(label) for label in template.site_labels])
    lattice = np.array(template.to_structure().lattice.matrix)
    return space_group_data(lattice, template.frac_coords, numbers)


def space_group_data(
    lattice: Floats, frac_coords: Floats, numbers: NDArray[np.int64]
) -> "spglib.SpglibDataset | None":
    """All that spglib says of a crystal; None if it finds nothing.

    Args:
        lattice: Rows are lattice vectors, Å, [3, 3].
        frac_coords: [N, 3].
        numbers: Any label of each site's element, [N].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib, on its own error handling
        return spglib.get_symmetry_dataset(
            (lattice.tolist(), frac_coords.tolist(), (np.asarray(numbers) + 1).tolist()),
            symprec=SYMPREC,
        )


def _orbits(
    coords: Floats, rotations: Floats, shifts: Floats
) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Representatives, `gather`, `scatter`, and coordinates that obey the operations exactly."""
    n_sites = len(coords)
    tree = cKDTree(_wrapped(coords), boxsize=1.0)
    orbits = np.full(n_sites, -1, dtype=np.int64)
    gather, scatter = np.zeros((n_sites, 3, 3)), np.zeros((n_sites, 3, 3))
    exact = np.array(coords)
    for first in range(n_sites):
        if orbits[first] >= 0:
            continue
        images = rotations @ coords[first] + shifts
        site_of = np.asarray(tree.query(_wrapped(images))[1])
        stays = site_of == first
        near = images[stays] - np.round(images[stays] - coords[first])
        position = near.mean(axis=0)
        stabiliser = rotations[stays].mean(axis=0)
        sites, operation = np.unique(site_of, return_index=True)
        orbits[sites] = first
        scatter[sites] = rotations[operation]
        gather[sites] = stabiliser @ np.linalg.inv(rotations[operation]) / len(sites)
        moved = rotations[operation] @ position + shifts[operation]
        exact[sites] = coords[sites] + _short(moved - coords[sites])
    return orbits, gather, scatter, _wrapped(exact)


def _short(difference: Floats) -> Floats:
    return difference - np.round(difference)


def _wrapped(coords: Floats) -> Floats:
    """In [0, 1); tiny negative ones, which round up to 1, become 0."""
    wrapped: Floats = np.mod(coords, 1.0)
    wrapped[wrapped >= 1.0] = 0.0
    return wrapped
