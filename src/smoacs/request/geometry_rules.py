"""Geometric settings of a design: checked one by one, and as rules that a template can apply."""

import math
from collections.abc import Mapping

from smoacs.errors import InputError
from smoacs.templates import ANGLE_LIMITS, LATTICE_KEYS, LENGTH_LIMITS

_LARGEST_DISPLACEMENT = 0.5
"""Half of a cell's edge: farther is nearer from the other side."""


def lattice_ranges(value: object) -> object:
    """A table of lattice ranges, single values turned to ranges; anything else as it is.

    Raises:
        InputError: A key is no lattice parameter, or its range is none.
    """
    if not isinstance(value, Mapping):
        return value
    ranges = {}
    for key, asked in value.items():
        if key not in LATTICE_KEYS:
            raise InputError(
                f"lattice.{key}: there is no such lattice parameter; they are "
                f"{', '.join(LATTICE_KEYS)}"
            )
        bounds = asked if isinstance(asked, (list, tuple)) else (asked, asked)
        is_length = LATTICE_KEYS.index(key) < 3  # noqa: PLR2004
        limits, unit = (LENGTH_LIMITS, "Å") if is_length else (ANGLE_LIMITS, "degrees")
        right = (
            f"a number or a range of two, such as [{4 if is_length else 85}, "
            f"{6 if is_length else 95}], from {limits[0]:g} to {limits[1]:g} {unit}"
        )
        if len(bounds) != 2 or not all(_is_number(bound) for bound in bounds):  # noqa: PLR2004
            raise InputError(f"lattice.{key} = {asked!r} is not right: it must be {right}")
        low, high = (float(bound) for bound in bounds)
        if low > high:
            raise InputError(
                f"lattice.{key} = {asked!r}: the lower end of the range, {low:g}, and the upper "
                f"end, {high:g}, exclude each other; give the lower end first"
            )
        if not limits[0] <= low <= high <= limits[1]:
            raise InputError(f"lattice.{key} = {asked!r} is not right: it must be {right}")
        ranges[key] = (low, high)
    return ranges


def displacements(value: object) -> object:
    """A table of largest displacements, checked; anything else as it is.

    Raises:
        InputError: A value is no share of an edge.
    """
    if not isinstance(value, Mapping):
        return value
    for key, limit in value.items():
        if not _is_number(limit) or not 0.0 <= limit <= _LARGEST_DISPLACEMENT:
            raise InputError(
                f"max_displacement.{key} = {limit!r} is not right: it must be a number from 0 to "
                f"{_LARGEST_DISPLACEMENT}, a share of the cell's edge"
            )
    return {key: float(limit) for key, limit in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
