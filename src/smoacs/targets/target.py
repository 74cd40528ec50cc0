"""One wish for one property: a window, a bound or an extreme.

A target is one line of text, such as `band_gap = 2.5 ± 0.2`, and gives for a batch of predicted
values a loss (for the optimiser) and a verdict (for the judge). Losses are per crystal and never
reduced; a value that is not finite gives the loss NaN and is never met, so that a broken crystal
can not pass for a good one.
"""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smoacs.errors import InputError, short
from smoacs.predictors.functions import FunctionProperty
from smoacs.predictors.properties import property_scale
from smoacs.targets.grammar import OUT_OF_REACH, is_out_of_reach, normalise, number_text, read

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
        text: As somebody wrote it; empty if it was made from numbers.
        function: A user's function that gives the property; None for a predictor's own.

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
    text: str = field(default="", compare=False, repr=False)
    function: FunctionProperty | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what can not be a target."""
        low, high = number_text(self.low), number_text(self.high)
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
            message = f"{far[0]:g} is {OUT_OF_REACH}"
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
            wish = read(normalise(text), known)
            return Target(
                property=wish.property,
                low=wish.low.value,
                high=wish.high.value,
                low_open=wish.low.is_open,
                high_open=wish.high.is_open,
                direction=wish.direction,
                weight=wish.weight,
                text=" ".join(text.split()),
            )
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
                text = f"{self.property} {below.replace('<', '>')} {number_text(self.low)}"
            elif math.isinf(self.low):
                text = f"{self.property} {above} {number_text(self.high)}"
            else:
                low, high = number_text(self.low), number_text(self.high)
                text = f"{low} {below} {self.property} {above} {high}"
        return text if self.weight == 1 else f"{text} weight {number_text(self.weight)}"

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


def _nan_unless_finite(loss: Tensor, values: Tensor) -> Tensor:
    """Give a value that is not finite the loss NaN, also where a bound would be met at infinity."""
    # 0 times infinity is NaN; of finite values this adds nothing.
    return torch.add(loss, values.detach(), alpha=0.0)
