"""How far properties move when a crystal at rest in its symmetry is let go, before any is.

Measured on 34 perovskites of gaps from 1.5 to 3.2 eV, let go from rattled 2×2×2 cells on the
potential that the built-in energy was taught by: the band gap rose by 0 to 2.6 eV, the energy fell
by up to 0.175 eV/atom, and with it the hull energy by up to 0.07 eV/atom.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Final

from smoacs.predictors.properties import property_scale
from smoacs.targets import Target, Targets


@dataclass(frozen=True)
class Reach:
    """What settling may do to a property, in its unit.

    Attributes:
        fall: The most by which it falls.
        rise: The most by which it rises.
        mean: What it changes by on average.
        width: Standard deviation of that.
    """

    fall: float
    rise: float
    mean: float
    width: float


KNOWN: Final = {
    "band_gap": Reach(fall=0.4, rise=2.6, mean=0.6, width=0.6),
    "energy_above_hull": Reach(fall=0.1, rise=0.01, mean=-0.02, width=0.03),
    "formation_energy": Reach(fall=0.15, rise=0.01, mean=-0.04, width=0.04),
}
"""Of the properties that were measured."""

OTHERS: Final = 0.3
"""Of other properties: so many scales either way."""


def reach_of(name: str) -> Reach:
    """The reach of any property."""
    scale = property_scale(name)
    return KNOWN.get(name, Reach(OTHERS * scale, OTHERS * scale, 0.0, OTHERS * scale / 2))


def within_reach(targets: Targets, moved: Collection[str]) -> Targets:
    """Targets that hold for every crystal that may meet the given ones after settling.

    Args:
        targets: To be met at the minimum.
        moved: Properties that settling changes; those that hang on the composition alone are not
            among them.
    """
    wider = (_widened(t) if t.property in moved else t for t in targets)
    return Targets(tuple(wider), targets.conservative)


def moved_against(targets: Targets, shifts: dict[str, float]) -> Targets:
    """Targets for crystals whose properties are going to change by so much on settling."""
    wanted = []
    for target in targets:
        shift = shifts.get(target.property, 0.0)
        low, high = target.low - shift, target.high - shift
        wanted.append(replace(target, low=low, high=high, text="") if shift else target)
    return Targets(tuple(wanted), targets.conservative)


def _widened(target: Target) -> Target:
    """A target without the ends that settling may bring a value over."""
    if target.direction:
        return target
    reach = reach_of(target.property)
    low = target.low - reach.rise if isfinite(target.low) else -inf
    high = target.high + reach.fall if isfinite(target.high) else inf
    return replace(target, low=low, high=high, text="")
