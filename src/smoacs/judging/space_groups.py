"""The space group of a crystal as spglib finds it, in less time where nothing is in doubt.

spglib takes 4 ms for a cubic perovskite and 14 ms for a spinel, most of it for what nobody asks
for. Most designs leave no doubt: an operation of theirs holds to a tenth of the tolerance, or fails
by several times of it. Of these the operations are found here, by trying all there can be, and
spglib names the group that they make, once for thousands of crystals with the same operations. All
others, and large or centred cells, go to spglib as they are.
"""

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

T = TypeVar("T")

SYMPREC = 0.01
"""Å. Tolerance of spglib's symmetry search."""

ANGLE_TOLERANCE = 5.0
"""Degrees; pymatgen's choice, which everybody's space groups are found with."""

_HOLDS, _FAILS = 0.1 * SYMPREC, 4 * SYMPREC
"""Å. An operation that moves no atom by more than the first from where one was holds in anybody's
eyes; one that misses by more than the second holds in nobody's."""

_WIDE_ANGLE = np.deg2rad(1.2 * ANGLE_TOLERANCE)
"""Radians by which lattices may differ for spglib to take them for the same, and some more."""

_MOST_DISTANCES = 40_000
"""Above this, trying takes longer than spglib."""

_VECTORS = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if any(v)])
"""What operations make of a vector of a reduced basis is such a combination of that basis."""

_BASIS = [_VECTORS.tolist().index(row) for row in np.eye(3, dtype=int).tolist()]
"""Where the basis itself is among them."""

_IS_BASIS = np.abs(np.einsum("ix,jkx->ijk", _VECTORS, np.cross(_VECTORS[:, None], _VECTORS))) == 1
"""Which three of them are a basis of the same lattice."""

_MOST_GROUPS = 4_096
"""Groups that are remembered, by their operations."""

_groups: dict[tuple[bytes, bytes], "Group | None"] = {}

Operations = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rotations [k, 3, 3] and translations [k, 3] of fractional coordinates, as columns."""


@dataclass(frozen=True)
class Group:
    """The space group of a crystal.

    Attributes:
        number: From 1 to 230.
        symbol: Hermann-Mauguin's, in short.
        n_operations: Of the cell, translations by less than a lattice vector included.
    """

    number: int
    symbol: str
    n_operations: int

    @classmethod
    def of(cls, found: "spglib.SpglibDataset") -> Self:
        """What spglib found."""
        return cls(int(found.number), str(found.international), len(found.rotations))


FLAT = 1e-6
"""Volume over the product of the lattice lengths; a cell of less encloses nothing."""


def space_group(structure: Structure) -> str:
    """Hermann-Mauguin symbol of the space group at 0.01 Å; empty if it cannot be found.

    The elements count, not their oxidation states.
    """
    kinds = [species.Z for species in structure.species]
    found = group_of(structure.lattice.matrix, structure.frac_coords, kinds)
    return "" if found is None else found.symbol


def group_of(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], kinds: Sequence[int]
) -> Group | None:
    """The space group of a crystal at 0.01 Å; None if it cannot be found.

    Args:
        lattice: Å, rows are vectors.
        coords: Fractional, [n, 3].
        kinds: A number for each atom, [n].
    """
    if abs(np.linalg.det(lattice)) < FLAT * np.prod(np.linalg.norm(lattice, axis=1)):
        return None  # spglib 2.5 dies of it
    reduced = niggli_reduced(lattice)
    if reduced is not None:
        basis = np.rint(reduced @ np.linalg.inv(lattice))
        operations = clear_operations(reduced, coords @ np.linalg.inv(basis), np.asarray(kinds))
        found = None if operations is None else _group(operations, reduced)
        if found is not None:
            return found
    whole = dataset(lattice, coords, kinds)
    return None if whole is None else Group.of(whole)


def dataset(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], kinds: Sequence[int]
) -> "spglib.SpglibDataset | None":
    """All that spglib says of the symmetry of a crystal; None if it finds none.

    Args:
        lattice: Å, rows are vectors.
        coords: Fractional, [n, 3].
        kinds: A number for each atom, [n].
    """
    cell = (lattice.tolist(), coords.tolist(), list(kinds))
    return _asked(
        partial(spglib.get_symmetry_dataset, symprec=SYMPREC, angle_tolerance=ANGLE_TOLERANCE), cell
    )


def niggli_reduced(lattice: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The same lattice, Å, by its shortest vectors; None if spglib finds them not."""
    return _asked(spglib.niggli_reduce, lattice)


def _asked(ask: Callable[..., T | None], *arguments: object) -> T | None:
    """What spglib says; None if it finds nothing, whichever way of saying so is on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about its own next version
        try:
            return ask(*arguments)
        except spglib.SpglibError:
            return None


def clear_operations(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], kinds: NDArray[np.intp]
) -> Operations | None:
    """All operations that a crystal has, if none is in doubt and no two are translations.

    Args:
        lattice: Niggli-reduced, Å, rows are vectors.
        coords: Fractional, [n, 3].
        kinds: A number for each atom, [n].
    """
    numbers, counts = np.unique(kinds, return_counts=True)
    rare = np.flatnonzero(kinds == numbers[counts.argmin()])
    found = _lattice_rotations(lattice)
    if found is None or len(found) * len(rare) * len(kinds) ** 2 > _MOST_DISTANCES:
        return None
    turned = coords @ found.transpose(0, 2, 1)
    shifts = coords[None, rare] - turned[:, None, rare[0]]
    apart = (turned[:, None] + shifts[:, :, None])[..., None, :] - coords
    apart -= np.rint(apart)
    squares = np.square(apart @ lattice).sum(axis=-1)
    squares[..., kinds[:, None] != kinds] = np.inf
    missed = np.sqrt(squares.min(axis=-1).max(axis=-1))
    holds = missed <= _HOLDS
    if (holds != (missed <= _FAILS)).any():
        return None
    which, shift = np.nonzero(holds)
    rotations = found[which]
    if (rotations == np.eye(3)).all(axis=(1, 2)).sum() != 1:
        return None
    return rotations, shifts[which, shift]


def _lattice_rotations(lattice: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Rotations of a reduced lattice onto itself, [w, 3, 3]; None if one is in doubt."""
    vectors = _VECTORS @ lattice
    dots = vectors @ vectors.T
    lengths = np.sqrt(dots.diagonal())
    angles = np.arccos((dots / np.outer(lengths, lengths)).clip(-1, 1))
    stretched = np.abs(lengths[:, None] - lengths[_BASIS])
    i, j, k = np.ix_(*(np.flatnonzero(row) for row in (stretched <= _FAILS).T))
    was = angles[np.ix_(_BASIS, _BASIS)]
    bent = np.maximum(
        np.maximum(np.abs(angles[i, j] - was[0, 1]), np.abs(angles[i, k] - was[0, 2])),
        np.abs(angles[j, k] - was[1, 2]),
    )
    near = (bent <= _WIDE_ANGLE) & _IS_BASIS[i, j, k]
    longest = np.maximum(np.maximum(stretched[i, 0], stretched[j, 1]), stretched[k, 2])
    holds = near & (longest <= _HOLDS) & (bent * lengths[_BASIS].max() <= _HOLDS)
    if (near != holds).any():
        return None
    chosen = np.stack(
        [axis.ravel()[at] for axis, at in zip((i, j, k), holds.nonzero(), strict=True)]
    )
    turns: NDArray[np.int64] = _VECTORS[chosen].transpose(1, 2, 0)
    return turns


def _group(operations: Operations, lattice: NDArray[np.float64]) -> Group | None:
    """The group that operations of a reduced lattice make; None if spglib does not know it."""
    rotations, translations = operations
    rounded = np.rint(np.mod(translations, 1.0) * 10_000) % 10_000
    key = rotations.astype(np.int8).tobytes(), rounded.astype(np.int16).tobytes()
    if key not in _groups:
        if len(_groups) >= _MOST_GROUPS:
            _groups.clear()
        kind = _asked(
            spglib.get_spacegroup_type_from_symmetry, rotations, translations, lattice, SYMPREC
        )
        known = None if kind is None else (kind.number, str(kind.international_short))
        _groups[key] = None if known is None else Group(*known, len(rotations))
    return _groups[key]
