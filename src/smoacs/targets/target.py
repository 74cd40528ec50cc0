"""What a design should reach: windows, bounds and extremes of named properties.

A target is one line of text, such as `band_gap = 2.5 ± 0.2`, and gives for a batch of predicted
values a loss (for the optimiser) and a verdict (for the judge). Losses are per crystal and never
reduced; a value that is not finite gives the loss NaN and is never met, so that a broken crystal
can not pass for a good one.
"""

import dataclasses
import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smoacs.errors import InputError, short
from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX, property_scale

GRAMMAR = (
    '"band_gap = 2.5 ± 0.2", "2.3 <= band_gap <= 2.7", "band_gap in [2.3, 2.7]", '
    '"formation_energy < -0.5", "maximize critical_temperature" or "minimize energy_above_hull"'
)

LARGEST, SMALLEST = 1e30, 1e-30
"""Sizes between which the numbers of a target are: far beyond any property, and far from where
float32, in which networks calculate, ends."""

# Half-widths of the training windows of arXiv:2410.08562, as fractions of the judged half-width:
# 0.04 of 0.2 eV and 5 of 10 GPa. Its other windows are trained towards their middle.
_PAPER_MARGINS = {"band_gap": 0.2, "bulk_modulus": 0.5}

# A one-sided bound has no half-width for `inner` to be a fraction of: this many scales stand in.
_ONE_SIDED_HALF_WIDTH = 0.1


@dataclass(frozen=True, kw_only=True)
class Target:
    """A wish for one property: a window, a bound on one side, or an extreme.

    Attributes:
        property: Name of the property.
        low: Lower bound in the property's unit; -inf if there is none.
        high: Upper bound in the property's unit; inf if there is none.
        low_open: Whether the lower bound itself misses the target.
        high_open: Whether the upper bound itself misses the target.
        direction: +1 to maximise, -1 to minimise, 0 for a window or bound.
        weight: Factor of the loss.

    Raises:
        InputError: If the numbers make no target.
    """

    property: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    direction: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can not be a target."""
        low, high = _number(self.low), _number(self.high)
        unbounded = self.low == -math.inf and self.high == math.inf
        message = None
        if math.isnan(self.low) or math.isnan(self.high):
            message = f"the bounds {low} and {high} must be numbers"
        elif self.direction not in (-1, 0, 1) or unbounded != bool(self.direction):
            message = "needs either a bound, or a direction of +1 (maximize) or -1 (minimize)"
        elif self.low >= self.high:
            right = (
                f"{high} <= {self.property} <= {low}"
                if self.low > self.high
                else f"{self.property} = {low} ± 0.1"
            )
            message = (
                f'the low end {low} is not below the high end {high}; right would be "{right}"'
            )
        elif far := [x for x in (self.low, self.high, self.weight) if is_out_of_reach(x)]:
            message = f"{far[0]:g} is {_OUT_OF_REACH}"
        elif not 0 < self.weight < math.inf:
            message = f'the weight {self.weight} is not positive; right would be "weight 2"'
        if message:
            raise InputError(message)

    @staticmethod
    def parse(text: str, known: Collection[str] | None = None) -> "Target":
        """Read a target from text.

        A unit after a number is checked against the property's unit, and `weight 2` at the end sets
        the weight. `±` may be written `+-` or `+/-`. `<` and `<=` differ for a value exactly at the
        bound: `band_gap > 0` excludes metals.

        Args:
            text: One of the forms of `GRAMMAR`.
            known: Names of the properties that can be targets; any name if None.

        Raises:
            InputError: If the text is no target, names a property that is not known, has a unit
                that is not the property's, or has numbers that make no window.
        """
        try:
            return _read(_normalise(text), known)
        except InputError as error:
            message = f'target "{short(" ".join(text.split()))}": {error}'
            raise InputError(message) from None

    def __str__(self) -> str:
        """Write the target so that `parse` reads it back."""
        if self.direction:
            text = f"{'maximize' if self.direction > 0 else 'minimize'} {self.property}"
        else:
            below, above = "<" if self.low_open else "<=", "<" if self.high_open else "<="
            if math.isinf(self.high):
                text = f"{self.property} {below.replace('<', '>')} {_number(self.low)}"
            elif math.isinf(self.low):
                text = f"{self.property} {above} {_number(self.high)}"
            else:
                low, high = _number(self.low), _number(self.high)
                text = f"{low} {below} {self.property} {above} {high}"
        return text if self.weight == 1 else f"{text} weight {_number(self.weight)}"

    def against(self, margin: Float[Tensor, " systems"]) -> "CautiousTarget":
        """The same target for values that may be off by a margin, for each of B crystals."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(Target)}
        return CautiousTarget(**fields, margin=margin)

    def _ends(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and the highest that the values may really be."""
        return values, values

    def met(self, values: Float[Tensor, " systems"]) -> Bool[Tensor, " systems"]:
        """Tell which values meet the target.

        An extreme is met by every finite value; a value that is not finite meets nothing.
        """
        lowest, highest = self._ends(values)
        # Open where there is no bound, both ends keep out what is not finite.
        low_open = self.low_open or math.isinf(self.low)
        high_open = self.high_open or math.isinf(self.high)
        above = lowest > self.low if low_open else lowest >= self.low
        below = highest < self.high if high_open else highest <= self.high
        return above & below

    def loss(
        self, values: Float[Tensor, " systems"], *, inner: float = 0.0
    ) -> Float[Tensor, " systems"]:
        """Return the distance to the target, in scales of the property, times the weight.

        Zero, with zero gradient, where the target is met; for an extreme the value itself, negative
        to maximise.

        Args:
            values: In the property's unit.
            inner: Aim this far inside the bounds, as a fraction from 0 (the bounds themselves) to 1
                (the middle of the window; for a bound on one side, a tenth of the scale).

        Raises:
            ValueError: If `inner` is not within 0 to 1.
        """
        if not 0 <= inner <= 1:
            message = f"inner is {inner}, must be within 0 to 1"
            raise ValueError(message)
        scale = property_scale(self.property)
        lowest, highest = self._ends(values)
        if self.direction:
            distance = -lowest if self.direction > 0 else highest
        else:
            two_sided = math.isfinite(self.low) and math.isfinite(self.high)
            half = (self.high - self.low) / 2 if two_sided else _ONE_SIDED_HALF_WIDTH * scale
            low, high = self.low + inner * half, self.high - inner * half
            if lowest is highest:
                # The nearest value that meets the target is a constant to the gradient.
                distance = (values - values.detach().clamp(low, high)).abs()
            else:  # values that may be off can be on both sides
                distance = torch.maximum(torch.relu(low - lowest), torch.relu(highest - high))
        return _nan_unless_finite(self.weight / scale * distance, values)

    def paper_loss(self, values: Float[Tensor, " systems"]) -> Float[Tensor, " systems"]:
        """Return the loss of arXiv:2410.08562, in the property's unit, times the weight.

        For a window max(0, |value - middle| - margin), with the published margins of 0.04 eV for a
        band gap within ±0.2 eV, 5 GPa for a bulk modulus within ±10 GPa (other widths in
        proportion), and 0 for any other property. For a bound or an extreme the value itself,
        signed so that lower is better; it pulls on when the bound is met.

        Args:
            values: In the property's unit.
        """
        lowest, highest = self._ends(values)
        if math.isfinite(self.low) and math.isfinite(self.high):
            middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            margin = _PAPER_MARGINS.get(self.property, 0.0) * half
            raw = torch.relu(torch.maximum(middle - lowest, highest - middle) - margin)
        else:
            wants_high = self.direction > 0 or math.isfinite(self.low)
            raw = -lowest if wants_high else highest
        return _nan_unless_finite(self.weight * raw, values)


@dataclass(frozen=True, kw_only=True, eq=False)
class CautiousTarget(Target):
    """A target that must hold for all that a value may be, up to a margin on either side.

    Attributes:
        margin: In the property's unit, for each of B crystals.
    """

    margin: Tensor

    def _ends(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values - self.margin, values + self.margin


def on_worse_side(target: Target, values: Mapping[str, Tensor], conservative: float) -> Target:
    """The target as values must meet it on the worse side; as it is where they have no spread.

    Args:
        target: What is wanted.
        values: Each property's values, [B], those that end in `SPREAD_SUFFIX` among them.
        conservative: Standard deviations by which values may be off.
    """
    spread = values.get(target.property + SPREAD_SUFFIX)
    return target.against(conservative * spread) if conservative and spread is not None else target


def check_spreads(targets: Sequence[Target], properties: Collection[str]) -> None:
    """Refuse to be cautious where no target's property comes with a spread.

    Args:
        targets: What is wanted.
        properties: What the predictor gives.

    Raises:
        InputError: If it gives a spread for none of the targets.
    """
    if not any(target.property + SPREAD_SUFFIX in properties for target in targets):
        names = ", ".join(dict.fromkeys(target.property for target in targets))
        raise InputError(
            "conservative needs a predictor that says how far it may be off; "
            f"this one gives no spread for {names or 'the target that is missing'}"
        )


def _nan_unless_finite(loss: Tensor, values: Tensor) -> Tensor:
    """Give a value that is not finite the loss NaN, also where a bound would be met at infinity."""
    # 0 times infinity is NaN; of finite values this adds nothing.
    return torch.add(loss, values.detach(), alpha=0.0)


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


class _Bound(NamedTuple):
    """One end of a window."""

    value: float
    is_open: bool = False


def _normalise(text: str) -> str:
    """Spell characters and spaces in one way."""
    text = unicodedata.normalize("NFKC", text)
    return " ".join(text.replace("−", "-").replace("≤", "<=").replace("≥", ">=").split())


def _read(text: str, known: Collection[str] | None) -> Target:
    """Read a target from normalised text."""
    weight = 1.0
    if suffix := _WEIGHT.search(text):
        text, weight = text[: suffix.start()], float(_finite(suffix["weight"]))
    if match := _EXTREME.fullmatch(text):
        _check_name(match["name"], known)
        direction = 1 if match["verb"].lower().startswith("max") else -1
        return Target(property=match["name"], direction=direction, weight=weight)
    for form, read in (
        (_WINDOW, _read_window),
        (_INTERVAL, _read_interval),
        (_BOUNDS, _read_bounds),
    ):
        if (match := form.fullmatch(text)) and (ends := read(match)):
            _check_name(match["name"], known)
            _check_units(match)
            low, high = ends
            return Target(
                property=match["name"],
                low=low.value,
                high=high.value,
                low_open=low.is_open,
                high_open=high.is_open,
                weight=weight,
            )
    message = f"can not be read; write it like {GRAMMAR}"
    raise InputError(message)


def _read_window(match: re.Match[str]) -> tuple[_Bound, _Bound]:
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
    return _Bound(float(middle - margin)), _Bound(float(middle + margin))


def _read_interval(match: re.Match[str]) -> tuple[_Bound, _Bound]:
    """Read `name in [low, high]`."""
    return _Bound(float(_finite(match["low"]))), _Bound(float(_finite(match["high"])))


def _read_bounds(match: re.Match[str]) -> tuple[_Bound, _Bound] | None:
    """Read `low <= name <= high`, either end of which may be missing, or both swapped."""
    lows: list[_Bound] = []
    highs: list[_Bound] = []
    for side, sign_of_high in (("left", ">"), ("right", "<")):
        if sign := match[f"{side}_sign"]:
            bound = _Bound(float(_finite(match[side])), is_open="=" not in sign)
            (highs if sign.startswith(sign_of_high) else lows).append(bound)
    if len(lows) > 1 or len(highs) > 1 or not (lows or highs):
        return None
    return (*lows, _Bound(-math.inf))[0], (*highs, _Bound(math.inf))[0]


def is_out_of_reach(number: float) -> bool:
    """Whether a finite number is too large or too small for float32 to calculate with."""
    return math.isfinite(number) and number != 0 and not SMALLEST <= abs(number) <= LARGEST


_OUT_OF_REACH = f"out of reach: a number is 0, or between {SMALLEST:g} and {LARGEST:g} in size"


def _finite(text: str) -> Decimal:
    """Read a number that is finite, also in the precision of the networks."""
    if not math.isfinite(float(text)):
        message = f'"{short(text)}" is not a finite number; write it like {GRAMMAR}'
        raise InputError(message)
    if is_out_of_reach(float(text)):
        message = f'"{short(text)}" is {_OUT_OF_REACH}'
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


def _number(value: float) -> str:
    """Write a number briefly and exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
