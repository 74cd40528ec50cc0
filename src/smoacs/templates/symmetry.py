"""The space group of a template: which sites it ties, and what it leaves free to move.

Operations act on fractional coordinates as x' = R x + t (International Tables for Crystallography,
vol. A, chapter 1.2). A lattice with metric tensor G = L Lᵀ (rows of L: lattice vectors) keeps the
rotations if Rᵀ G R = G for all of them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
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

MOST_SITES = 300
"""Sites of a cell up to which its symmetries are gone through one by one."""

SymmetryLevel = Literal["lattice", "space-group"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Operations:
    """G symmetries of a crystal with n sites, x' = R x + t.

    Attributes:
        rotations: R, [G, 3, 3].
        translations: t, [G, 3].
        permutations: Site to which each symmetry brings each site, [G, n].
    """

    rotations: Floats
    translations: Floats
    permutations: NDArray[np.int64]

    @staticmethod
    def identity(n_sites: int) -> "Operations":
        """The one that leaves everything where it is."""
        return Operations(np.eye(3)[None], np.zeros((1, 3)), np.arange(n_sites)[None])

    def __len__(self) -> int:
        """How many there are, G."""
        return len(self.rotations)

    @cached_property
    def distinct_permutations(self) -> NDArray[np.int64]:
        """The permutations, each once, [P, n]."""
        return np.unique(self.permutations, axis=0)

    def kept_by(self, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which symmetries stay with these elements on the sites, [B, n]: [B, G]."""
        return np.stack([(elements[:, p] == elements).all(axis=1) for p in self.permutations], 1)

    def metric_mean(self, kept: NDArray[np.bool_] | None = None) -> Floats:
        """Takes a flattened metric tensor to the part that keeps the symmetries, [9, 9].

        Args:
            kept: The symmetries that count, [G]; None for all.
        """
        rotations = self.rotations if kept is None else self.rotations[kept]
        # vec(Rᵀ G R) = (Rᵀ ⊗ Rᵀ) vec(G), flattened row by row
        mean: Floats = np.einsum("gki,glj->ijkl", rotations, rotations).reshape(9, 9)
        return mean / len(rotations)

    def displacement_mean(self, kept: NDArray[np.bool_] | None = None) -> Floats:
        """Takes flattened fractional displacements to their invariant part, [3n, 3n].

        Args:
            kept: As above.
        """
        chosen = range(len(self)) if kept is None else np.flatnonzero(kept)
        n = self.permutations.shape[1]
        mean = np.zeros((n, 3, n, 3))
        for g in chosen:
            mean[self.permutations[g], :, np.arange(n), :] += self.rotations[g]
        return mean.reshape(3 * n, 3 * n) / len(chosen)


@dataclass(frozen=True, eq=False, kw_only=True)
class TemplateSymmetry:
    """What stays of a template's space group.

    Attributes:
        level: "lattice" ties lattice lengths and angles; "space-group" also coordinates and
            elements.
        number: Of the space group, 1 to 230.
        operations: Of the cell, centring translations among them.
        orbits: A site's representative: the first of those that symmetry makes equivalent, [N].
        lattice: The template's lattice vectors as rows, Å, [3, 3].
        frac_coords: The template's coordinates, which obey the operations exactly, [N, 3].
    """

    level: SymmetryLevel
    number: int
    operations: Operations
    orbits: NDArray[np.int64]
    lattice: Floats
    frac_coords: Floats
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
        mean: Floats = (self.operations.metric_mean() @ metric.ravel()).reshape(3, 3)
        return mean

    def raised(self, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which decorations, [M, N], equal on equivalent sites, make the template more symmetric.

        As `is_raised`, for many at once.
        """
        chosen = elements[:, self.representatives]
        pattern = (chosen[:, :, None] == chosen[:, None, :]).argmax(axis=2)
        kinds, rows, index = np.unique(pattern, axis=0, return_index=True, return_inverse=True)
        if len(kinds) == 0:
            return np.zeros(len(elements), dtype=np.bool_)
        found = np.array([self.is_raised(elements[row]) for row in rows], dtype=np.bool_)
        return np.asarray(found[index.ravel()])

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
            self._raised[key] = found is None or len(found.rotations) > len(self.operations)
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
    lattice = np.array(template.to_structure().lattice.matrix)
    operations = operations_of(found, lattice, template.frac_coords)
    orbits, coords = _orbits(template.frac_coords, operations)
    return TemplateSymmetry(
        level=level,
        number=int(found.number),
        operations=operations,
        orbits=orbits,
        lattice=lattice,
        frac_coords=coords,
    )


def site_operations(template: "Template") -> Operations:
    """Symmetries of a template with one element on each kind of site.

    Cells of more than `MOST_SITES` have thousands, too many to go through one by one: there it is
    the identity, as where spglib finds none.
    """
    if template.n_sites > MOST_SITES:
        return Operations.identity(template.n_sites)
    lattice = np.array(template.to_structure().lattice.matrix)
    return operations_of(kind_symmetry(template), lattice, template.frac_coords)


def kind_symmetry(template: "Template") -> "spglib.SpglibDataset | None":
    """What spglib says of a template with one element on each kind of site; None if nothing."""
    kinds = sorted(set(template.site_labels))
    numbers = np.array([kinds.index(label) for label in template.site_labels])
    lattice = np.array(template.to_structure().lattice.matrix)
    return space_group_data(lattice, template.frac_coords, numbers)


def space_group_data(
    lattice: Floats, frac_coords: Floats, numbers: NDArray[np.int64], *, symprec: float = SYMPREC
) -> "spglib.SpglibDataset | None":
    """All that spglib says of a crystal; None if it finds nothing.

    Args:
        lattice: Rows are lattice vectors, Å, [3, 3].
        frac_coords: [N, 3].
        numbers: Any label of each site's element, [N].
        symprec: Å; how far an atom may be off its symmetric position.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib, on its own error handling
        return spglib.get_symmetry_dataset(
            (lattice.tolist(), frac_coords.tolist(), (np.asarray(numbers) + 1).tolist()),
            symprec=symprec,
        )


def operations_of(
    found: "spglib.SpglibDataset | None",
    lattice: Floats,
    frac_coords: Floats,
    *,
    symprec: float = SYMPREC,
) -> Operations:
    """The symmetries that spglib has found, each with the site that it brings each site to.

    Those that bring a site near none, or two sites to one, are left out; the identity stays.

    Args:
        found: What spglib says of the crystal; None stands for the identity alone.
        lattice: Rows are lattice vectors, Å, [3, 3].
        frac_coords: [n, 3].
        symprec: With which they were found, Å.
    """
    if found is None:
        return Operations.identity(len(frac_coords))
    rotations = np.array(found.rotations, dtype=np.float64)
    shifts = np.array(found.translations, dtype=np.float64)
    moved = np.einsum("gij,nj->gni", rotations, frac_coords) + shifts[:, None]
    tree = cKDTree(_wrapped(frac_coords), boxsize=1.0)
    images = np.asarray(tree.query(_wrapped(moved))[1], dtype=np.int64)
    off = np.linalg.norm(_short(moved - frac_coords[images]) @ lattice, axis=2).max(axis=1)
    one_to_one = (np.sort(images, axis=1) == np.arange(len(frac_coords))).all(axis=1)
    sound = one_to_one & (off < 2 * symprec)
    if not sound.any():
        return Operations.identity(len(frac_coords))
    return Operations(rotations[sound], shifts[sound], images[sound])


def _orbits(coords: Floats, operations: Operations) -> tuple[NDArray[np.int64], Floats]:
    """Representative of each site, [N], and coordinates that obey the operations exactly."""
    orbits = operations.permutations.min(axis=0)
    exact = np.array(coords)
    for first in np.unique(orbits):
        images = operations.rotations @ coords[first] + operations.translations
        site_of = operations.permutations[:, first]
        stays = site_of == first
        near = images[stays] - np.round(images[stays] - coords[first])
        position = near.mean(axis=0)
        sites, chosen = np.unique(site_of, return_index=True)
        moved = operations.rotations[chosen] @ position + operations.translations[chosen]
        exact[sites] = coords[sites] + _short(moved - coords[sites])
    return orbits, _wrapped(exact)


def _short(difference: Floats) -> Floats:
    return difference - np.round(difference)


def _wrapped(coords: Floats) -> Floats:
    """In [0, 1); tiny negative ones, which round up to 1, become 0."""
    wrapped: Floats = np.mod(coords, 1.0)
    wrapped[wrapped >= 1.0] = 0.0
    return wrapped
