"""How targets are written as text, and read from it."""

import math
import re
import unicodedata
from collections.abc import Collection
from decimal import Decimal
from difflib import get_close_matches
from typing import NamedTuple

from smoacs.errors import InputError, short
from smoacs.predictors.properties import PROPERTIES

GRAMMAR = (
    '"band_gap = 2.5 ± 0.2", "2.3 <= band_gap <= 2.7", "band_gap in [2.3, 2.7]", '
    '"formation_energy < -0.5", "maximize critical_temperature" or "minimize energy_above_hull"'
)


LARGEST, SMALLEST = 1e30, 1e-30
"""Sizes between which the numbers of a target are: far beyond any property, and far from where
float32, in which networks calculate, ends."""

OUT_OF_REACH = f"out of reach: a number is 0, or between {SMALLEST:g} and {LARGEST:g} in size"

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf(?:inity)?|nan)\b"
_NAME = r"(?P<name>[^\W\d][\w.]*)"
_MARGIN_SIGN = r"(?:±|\+/?-)"


def _quantity(group: str) -> str:
    """Pattern of a number with an optional unit, as the groups `group` and `group_unit`."""
    return rf"(?P<{group}>{_NUMBER})\s*(?P<{group}_unit>[^\W\d][\w/^]*)?"


_WEIGHT = re.compile(rf"\s+weight\s+(?P<weight>{_NUMBER})$")
_EXTREME = re.compile(rf"(?P<verb>(?i:maximi[sz]e|minimi[sz]e))\s+{_NAME}")
_WINDOW = re.compile(
    rf"{_NAME}\s*==?\s*{_quantity('middle')}(?:\s*{_MARGIN_SIGN}\s*{_quantity('margin')})?"
)
_INTERVAL = re.compile(
    rf"{_NAME}\s+in\s*\[\s*{_quantity('low')}\s*,\s*{_quantity('high')}\s*\]"
    r"\s*(?P<end_unit>[^\W\d][\w/^]*)?"
)
_BOUNDS = re.compile(
    rf"(?:{_quantity('left')}\s*(?P<left_sign>[<>]=?)\s*)?{_NAME}"
    rf"(?:\s*(?P<right_sign>[<>]=?)\s*{_quantity('right')})?"
)


class Bound(NamedTuple):
    """One end of a window."""

    value: float
    is_open: bool = False


class Wish(NamedTuple):
    """What a text asks of a property; see `Target` for the fields."""

    property: str
    low: Bound
    high: Bound
    direction: int
    weight: float


def normalise(text: str) -> str:
    """Spell characters and spaces in one way."""
    text = unicodedata.normalize("NFKC", text)
    return " ".join(text.replace("−", "-").replace("≤", "<=").replace("≥", ">=").split())


def read(text: str, known: Collection[str] | None) -> Wish:
    """Read normalised text.

    Args:
        text: One of the forms of `GRAMMAR`, a weight at its end or not.
        known: Names of the properties that there are; any name if None.

    Raises:
        InputError: It has none of the forms, or a name, unit or number that is not right.
    """
    weight = 1.0
    if suffix := _WEIGHT.search(text):
        text, weight = text[: suffix.start()], float(_finite(suffix["weight"]))
    if match := _EXTREME.fullmatch(text):
        _check_name(match["name"], known)
        direction = 1 if match["verb"].lower().startswith("max") else -1
        return Wish(match["name"], Bound(-math.inf), Bound(math.inf), direction, weight)
    for form, read_ends in (
        (_WINDOW, _read_window),
        (_INTERVAL, _read_interval),
        (_BOUNDS, _read_bounds),
    ):
        if (match := form.fullmatch(text)) and (ends := read_ends(match)):
            _check_name(match["name"], known)
            _check_units(match)
            return Wish(match["name"], *ends, 0, weight)
    message = f"can not be read; write it like {GRAMMAR}"
    raise InputError(message)


def _read_window(match: re.Match[str]) -> tuple[Bound, Bound]:
    """Read `name = middle ± margin`; decimal arithmetic keeps 0.7 ± 0.1 at 0.6 and 0.8."""
    name, middle = match["name"], _finite(match["middle"])
    if match["margin"] is None:
        message = f'needs a margin; right would be "{name} = {match["middle"]} ± 0.1"'
        raise InputError(message)
    margin = _finite(match["margin"])
    if margin <= 0:
        message = (
            f"the margin {match['margin']} is not positive; "
            f'right would be "{name} = {match["middle"]} ± {abs(margin) or 0.1}"'
        )
        raise InputError(message)
    return Bound(float(middle - margin)), Bound(float(middle + margin))


def _read_interval(match: re.Match[str]) -> tuple[Bound, Bound]:
    """Read `name in [low, high]`."""
    return Bound(float(_finite(match["low"]))), Bound(float(_finite(match["high"])))


def _read_bounds(match: re.Match[str]) -> tuple[Bound, Bound] | None:
    """Read `low <= name <= high`, either end of which may be missing, or both swapped."""
    lows: list[Bound] = []
    highs: list[Bound] = []
    for side, sign_of_high in (("left", ">"), ("right", "<")):
        if sign := match[f"{side}_sign"]:
            bound = Bound(float(_finite(match[side])), is_open="=" not in sign)
            (highs if sign.startswith(sign_of_high) else lows).append(bound)
    if len(lows) > 1 or len(highs) > 1 or not (lows or highs):
        return None
    return (*lows, Bound(-math.inf))[0], (*highs, Bound(math.inf))[0]


def is_out_of_reach(number: float) -> bool:
    """Whether a finite number is too large or too small for float32 to calculate with."""
    return math.isfinite(number) and number != 0 and not SMALLEST <= abs(number) <= LARGEST


def _finite(text: str) -> Decimal:
    """Read a number that is finite, also in the precision of the networks."""
    if not math.isfinite(float(text)):
        message = f'"{short(text)}" is not a finite number; write it like {GRAMMAR}'
        raise InputError(message)
    if is_out_of_reach(float(text)):
        message = f'"{short(text)}" is {OUT_OF_REACH}'
        raise InputError(message)
    return Decimal(text)


def _check_name(name: str, known: Collection[str] | None) -> None:
    """Refuse an unknown property, naming the nearest known one."""
    if known is None or name in known:
        return
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f' (did you mean "{nearest[0]}"?)' if nearest else ""
    message = f'unknown property "{name}"{hint}; known are {", ".join(sorted(known))}'
    raise InputError(message)


def _check_units(match: re.Match[str]) -> None:
    """Refuse a unit that is not the property's."""
    name = match["name"]
    unit = PROPERTIES[name].unit if name in PROPERTIES else "1"
    for group, given in match.groupdict().items():
        if not group.endswith("_unit") or given is None:
            continue
        if unit == "1":
            message = f'{name} is given without a unit; leave "{given}" out'
            raise InputError(message)
        if given.replace("^", "") != unit.replace("^", ""):
            message = f'"{given}" is not the unit of {name}; right would be "{unit}"'
            raise InputError(message)


def number_text(value: float) -> str:
    """Write a number briefly and exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
