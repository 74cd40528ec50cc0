"""Symmetry operators: from triplets and Hall symbols; which are the same, and which fit a cell."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp

from smoacs.errors import InputError

_REMEMBERED: Final = 256
"""Groups whose operators are read once: many files have the same."""

_PARTS: Final = 24
"""Translations of the groups of the Tables are multiples of 1/24."""

_ROUNDED: Final = 0.1
"""In such parts, how far a decimal as short as .33 or .67 is off."""

MISFIT: Final = 0.01
"""Share of a length by which a cell may miss the symmetry of its operators."""


@dataclass(frozen=True)
class Operators:
    """Operators x -> R x + t on fractional coordinates.

    Attributes:
        rotations: R, [n, 3, 3].
        translations: t, in [0, 1), [n, 3].
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)

    @cached_property
    def key(self) -> frozenset[tuple[int, ...]]:
        """The same for the same operators in any order."""
        shifts = np.round(self.translations * 1e4).astype(int) % 10000
        flat = np.concatenate([self.rotations.reshape(-1, 9), shifts], axis=1)
        return frozenset(map(tuple, flat.tolist()))

    @property
    def is_group(self) -> bool:
        """Whether the product of any two is one of them."""
        turns = (self.rotations[:, None] @ self.rotations[None]).reshape(-1, 3, 3)
        shifts = np.einsum("aij,bj->abi", self.rotations, self.translations)
        shifts = (shifts + self.translations[:, None]).reshape(-1, 3)
        return len(np.unique(_codes(turns, shifts))) == len(self)

    def misfit(self, lattice: Lattice) -> float:
        """Largest change of a metric element under a rotation, as a share of the lengths."""
        metric = lattice.matrix @ lattice.matrix.T
        turned = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        lengths = np.sqrt(np.diag(metric))
        return float((np.abs(turned - metric) / np.outer(lengths, lengths)).max())


IDENTITY: Final = Operators(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))


@lru_cache(maxsize=_REMEMBERED)
def from_hall(symbol: str) -> Operators:
    """Operators of a Hall symbol.

    Raises:
        InputError: It is none.
    """
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

    try:
        group = gemmi.symops_from_hall(symbol.replace("_", " "))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{symbol!r} is no Hall symbol ({error})") from error
    return _operators([(np.array(op.rot), np.array(op.tran)) for op in group], gemmi.Op.DEN)


def from_triplets(triplets: Sequence[str]) -> Operators:
    """Operators of texts such as `-x, y+1/2, -z`.

    Raises:
        InputError: One is no operator, they repeat each other, or they are no group.
    """
    return _from_triplets(tuple(triplets))


@lru_cache(maxsize=_REMEMBERED)
def _from_triplets(triplets: tuple[str, ...]) -> Operators:
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

    pairs = []
    for triplet in triplets:
        text = triplet.strip(" '\"()").lower()
        try:
            op = gemmi.Op(text)
            pairs.append((np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN))
        except (RuntimeError, ValueError):
            pairs.append(_general(text))
    operators = _operators(pairs, 1)
    if not operators.is_group:
        raise InputError(
            f"its {len(operators)} symmetry operators are no group: some are missing or wrong"
        )
    return operators


def _general(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation and translation of a triplet with any decimals."""
    if re.fullmatch(r"[-+xyz0-9./*\s]+(,[-+xyz0-9./*\s]+){2}", text) is None:
        raise InputError(f"{text!r} is no symmetry operator")
    found = SymmOp.from_xyz_str(text)
    return found.rotation_matrix, found.translation_vector


def combined(operators: Operators, shifts: Operators) -> Operators:
    """Every operator followed by every shift."""
    turns = np.repeat(operators.rotations, len(shifts), axis=0)
    moved = operators.translations[:, None] + shifts.translations[None]
    return _unique(turns, moved.reshape(-1, 3))


def _operators(
    pairs: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]], unit: float
) -> Operators:
    turns, shifts = (np.stack(parts) / unit for parts in zip(*pairs, strict=True))
    rotations = np.round(turns).astype(np.int64)
    if not np.allclose(turns, rotations) or not (np.abs(np.linalg.det(rotations)) == 1).all():
        raise InputError("one of its symmetry operators turns the cell into another one")
    parts = shifts * _PARTS
    near = np.abs(parts - np.round(parts)) < _ROUNDED
    return _unique(rotations, np.where(near, np.round(parts) / _PARTS, shifts))


def _unique(rotations: NDArray[np.int64], translations: NDArray[np.float64]) -> Operators:
    """Each operator once, in the order given; translations in [0, 1)."""
    shifts = np.mod(translations, 1.0)
    shifts[shifts > 1 - 1e-6] = 0.0
    _, first = np.unique(_codes(rotations, shifts), return_index=True)
    first.sort()
    return Operators(rotations[first], shifts[first])


def same_up_to_origin(first: Operators, second: Operators) -> bool:
    """Whether two groups with the same axes are one group about two origins.

    With x' = x - s the operator (R, t) becomes (R, t - (1 - R) s). Origins of the Tables differ by
    multiples of 1/24, so these are tried.
    """
    if len(first) != len(second):
        return False
    grid = np.arange(_PARTS) / _PARTS
    origins = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    for turn, shift in zip(first.rotations, first.translations, strict=True):
        alike = (second.rotations == turn).all(axis=(1, 2))
        if not alike.any():
            return False
        moved = shift - origins @ (np.eye(3) - turn).T
        delta = moved[:, None] - second.translations[alike][None]
        delta -= np.round(delta)
        origins = origins[(np.abs(delta).max(axis=2) < 1e-3).any(axis=1)]  # noqa: PLR2004
        if not len(origins):
            return False
    return True


def _codes(rotations: NDArray[np.int64], translations: NDArray[np.float64]) -> NDArray[np.int64]:
    """A number for each operator, [n]: elements of rotations within ±2, shifts to 1e-4."""
    shifts = np.round(translations * 1e4).astype(np.int64) % 10000
    digits = (rotations.reshape(-1, 9) + 2) % 5
    turns: NDArray[np.int64] = digits @ 5 ** np.arange(9, dtype=np.int64)
    return (turns * 10000**3) + shifts @ np.array([1, 10000, 10000**2], dtype=np.int64)
