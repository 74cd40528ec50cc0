"""Comparing what a predictor gives with what it should give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import SmoacsError
from smoacs.predictors.base import Predictor
from smoacs.predictors.properties import SPREAD_SUFFIX, property_scale


class PredictorCheckError(SmoacsError, AssertionError):
    """A predictor fails a check.

    Attributes:
        check: Name of the check.
        subject: The property, or whatever else is wrong.
        value: What it is.
        expectation: What would be right.
    """

    def __init__(self, *, check: str, subject: str, value: str, expectation: str) -> None:
        """Compose the message of its four parts."""
        super().__init__(f"check {check!r}: {subject} is {value}, but must be {expectation}")
        self.check = check
        self.subject = subject
        self.value = value
        self.expectation = expectation


@dataclass(frozen=True, kw_only=True)
class ModelTolerance:
    """How exact a predictor must be.

    Attributes:
        value: Largest difference of values that should be equal, in the property's scale, plus the
            same share of the value.
        slope: Largest difference of a slope by gradient and by finite differences, as a share of
            the slope.
        slope_noise: The same in the property's scale per Å (or per unit of strain or species
            weight); both together are allowed.
        least_slope: If no slope reaches this, in the same unit, there is nothing to follow.
        steps: Steps of the finite differences, Å; the one that comes nearest counts, as long
            steps are blind to detail and short ones drown in rounding.
    """

    value: float
    slope: float
    slope_noise: float
    least_slope: float = 1e-3
    steps: tuple[float, ...]


SINGLE: Final = ModelTolerance(
    value=1e-4, slope=5e-2, slope_noise=3e-4, steps=(2e-2, 5e-3, 1e-3, 2e-4)
)
"""For values in single precision."""

DOUBLE: Final = ModelTolerance(value=1e-8, slope=1e-4, slope_noise=1e-7, steps=(1e-3, 5e-5))
"""For values in double precision."""


def scale_of(name: str) -> float:
    """Return the scale of a property, or of the property whose spread it is."""
    return property_scale(name.removesuffix(SPREAD_SUFFIX))


def tolerance_of(values: Mapping[str, Tensor]) -> ModelTolerance:
    """Return `DOUBLE` if all values are in double precision, else `SINGLE`."""
    double = all(value.dtype == torch.float64 for value in values.values())
    return DOUBLE if double else SINGLE


def values_of(predictor: Predictor, crystals: Crystals, *, skin: float = 0.0) -> dict[str, Tensor]:
    """Evaluate without gradients; each property's values, [B], in the predictor's precision."""
    with torch.no_grad():
        out = predictor(crystals, neighbor_list(crystals, predictor.cutoff, skin))
    return {name: out[name] for name in predictor.properties}


def require_equal(
    check: str,
    values: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    tolerances: ModelTolerance | None,
) -> None:
    """Compare values with those expected, each [B].

    Raises:
        PredictorCheckError: If a value is off.
    """
    tolerance = (tolerances or tolerance_of(expected)).value
    for name, wanted in expected.items():
        limit = tolerance * (scale_of(name) + wanted.abs())
        wrong = torch.nonzero(~((values[name] - wanted).abs() <= limit)).flatten()
        if len(wrong):
            b = int(wrong[0])
            raise PredictorCheckError(
                check=check,
                subject=f"{name} of crystal {b}",
                value=f"{float(values[name][b]):.8g}",
                expectation=f"{float(wanted[b]):.8g} ± {float(limit[b]):.1g}",
            )


def require_finite(check: str, subject: str, values: Tensor) -> None:
    """Look for NaN and infinity.

    Raises:
        PredictorCheckError: If there is one.
    """
    wrong = values.detach()[~values.isfinite()]
    if len(wrong):
        raise PredictorCheckError(
            check=check, subject=subject, value=f"{float(wrong[0])}", expectation="finite"
        )
