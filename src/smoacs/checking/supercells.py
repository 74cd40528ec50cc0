"""Supercells of checks: how many cells along each axis."""

from math import ceil, prod
from typing import Final

from pymatgen.core import Structure

_SLACK: Final = 1e-6


def cells_to_reach(
    structure: Structure, length: float, *, short: float = 0.0, most_atoms: int | None = None
) -> tuple[int, int, int]:
    """Cells along each axis until each vector reaches a length: one, or an even number.

    An odd supercell lacks the points of the zone's boundary, where perovskites tilt.

    Args:
        structure: The cell.
        length: Å.
        short: Share of the length that may be missing.
        most_atoms: If there would be more, the longest axes get fewer cells, even or one; a
            single cell is allowed whatever it holds.
    """
    lengths = structure.lattice.abc
    counts = [_even(ceil((1 - short) * length / own - _SLACK)) for own in lengths]
    while most_atoms is not None and prod(counts) * len(structure) > most_atoms:
        long = [axis for axis in range(3) if counts[axis] > 1]
        if not long:
            break
        axis = max(long, key=lambda index: (counts[index] * lengths[index], index))
        counts[axis] = max(1, counts[axis] - 2)
    return counts[0], counts[1], counts[2]


def _even(count: int) -> int:
    return count if count == 1 else count + count % 2
