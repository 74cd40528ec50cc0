"""Targets that cannot be met together."""

import math
from collections.abc import Sequence

from smoacs.errors import InputError
from smoacs.targets.target import Target


def check_together(targets: Sequence[Target]) -> None:
    """Refuse bounds that leave no value of a property, and extremes in both directions.

    Raises:
        InputError: Two targets exclude each other; they are named.
    """
    for k, first in enumerate(targets):
        for second in targets[:k]:
            if first.property == second.property and _exclude(first, second):
                raise InputError(
                    f'targets "{second}" and "{first}" exclude each other: no value of '
                    f"{first.property} meets both"
                )


def _exclude(first: Target, second: Target) -> bool:
    if first.direction or second.direction:
        return first.direction == -second.direction
    low, high = max(first.low, second.low), min(first.high, second.high)
    open_end = any(
        (t.low == low and t.low_open) or (t.high == high and t.high_open) for t in (first, second)
    )
    return low > high or (low == high and math.isfinite(low) and open_end)
