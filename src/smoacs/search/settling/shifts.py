"""What settling will do to a crystal, learnt from those that have settled: by ridge regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

from smoacs.search.settling.reach import reach_of
from smoacs.targets import Targets

PENALTIES: Final = 10.0 ** np.arange(-1, 5)
"""Of the ridge, of which the one is taken that guesses best what is left out."""

LEAST: Final = 8
"""Settled crystals from which there is something to learn."""

RARE: Final = 0.05
"""The chance to stay a crystal of the kind at a minimum is never taken for smaller than this, nor
for larger than 1 less this."""

CONSTANT: Final = 1e3
"""Variance of the constant term, against 1 of each coefficient: next to no penalty."""

WIDE: Final = 0.5
"""A probability whose logarithm needs no digits of the tails."""

Floats = NDArray[np.float64]


class Ridge:
    """Linear regression with a penalty on the coefficients.

    A. E. Hoerl and R. W. Kennard, Technometrics 12, 55 (1970); in the form of as many equations as
    there are crystals, which are fewer than the features.

    Attributes:
        errors: Root mean square error of each value for a crystal left out, [V].
    """

    def __init__(self, features: Floats, values: Floats) -> None:
        """Learn V values of M crystals, [M, V], from their features, [M, F]."""
        self._centre, spread = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(spread > 0, spread, np.inf)
        self._known = (features - self._centre) / self._scale
        self._mean = values.mean(axis=0)
        change = values - self._mean
        kernel = self._known @ self._known.T + CONSTANT
        errors, weights = [], []
        for penalty in PENALTIES:
            inverse = np.linalg.inv(kernel + penalty * np.eye(len(kernel)))
            weights.append(inverse @ change)
            left_out = weights[-1] / np.diag(inverse)[:, None]
            errors.append(np.sqrt(np.square(left_out).mean(axis=0)))
        best = np.argmin(errors, axis=0)
        each = np.arange(values.shape[1])
        self.errors: Floats = np.array(errors)[best, each]
        self._weights: Floats = np.stack([weights[k][:, v] for v, k in enumerate(best)], axis=1)

    def __call__(self, features: Floats) -> Floats:
        """Values of b others, [b, V]."""
        near = (features - self._centre) / self._scale
        guessed: Floats = self._mean + (near @ self._known.T + CONSTANT) @ self._weights
        return guessed


@dataclass(frozen=True)
class Settlings:
    """What became of M crystals.

    Attributes:
        features: Of the crystals before, [M, F].
        shifts: Change of each property that settling moves, each [M]; NaN where there is no end.
        holds: Whether each is at a minimum, and still a crystal of its kind, [M].
    """

    features: Floats
    shifts: Mapping[str, Floats]
    holds: NDArray[np.bool_]


class Outlook:
    """Values of crystals after settling, and their chance to meet all targets there."""

    def __init__(self, targets: Targets, known: Settlings, names: tuple[str, ...]) -> None:
        """Learn.

        Args:
            targets: To be met at the minimum.
            known: What has settled so far.
            names: Properties that settling moves.
        """
        self._targets = targets
        self._names = names
        shifts = [known.shifts[name] for name in names]
        columns = np.stack(shifts, axis=1) if shifts else np.zeros((len(known.holds), 0))
        ended = np.isfinite(columns).all(axis=1)
        self._shift = self._holds = None
        if ended.sum() >= LEAST:
            self._shift = Ridge(known.features[ended], columns[ended])
        if len(known.holds) >= LEAST:
            self._holds = Ridge(known.features, known.holds[:, None].astype(float))

    def shifts(self, features: Floats) -> tuple[Floats, Floats]:
        """Change of each property of b crystals, [b, V], and its standard deviation, [V]."""
        usual = [reach_of(name) for name in self._names]
        if self._shift is None:
            mean = np.array([reach.mean for reach in usual])
            return np.tile(mean, (len(features), 1)), np.array([reach.width for reach in usual])
        least = np.array([reach.width / 20 for reach in usual])
        return self._shift(features), np.maximum(self._shift.errors, least)

    def chances(self, features: Floats, values: Mapping[str, Floats]) -> Floats:
        """Logarithm of the chance of b crystals to meet all targets after settling, [b].

        Every property is taken as normally distributed about its regression, and as independent of
        the others; what does not move is as it is.

        Args:
            features: Of the crystals as they are.
            values: Properties of the targets, likewise, each [b].
        """
        change, widths = self.shifts(features)
        total = np.zeros(len(features))
        if self._holds is not None:
            total += np.log(self._holds(features)[:, 0].clip(RARE, 1 - RARE))
        for target in self._targets:
            if target.direction:
                continue
            value = values[target.property]
            if target.property in self._names:
                place = self._names.index(target.property)
                low, high = (
                    (end - value - change[:, place]) / widths[place]
                    for end in (target.low, target.high)
                )
                total += _log_between(low, high)
            else:
                inside = (value >= target.low) & (value <= target.high)
                total += np.where(inside, 0.0, -np.inf)
        return np.nan_to_num(total, nan=-np.inf, neginf=-np.inf)

    def after(self, features: Floats, values: Mapping[str, Floats]) -> dict[str, Floats]:
        """Properties of b crystals after settling, each [b]."""
        change, _ = self.shifts(features)
        moved = dict(zip(self._names, change.T, strict=True))
        return {name: value + moved.get(name, 0.0) for name, value in values.items()}


def _log_between(low: Floats, high: Floats) -> Floats:
    """Logarithm of the normal probability between two ends, exact in the tails."""
    flipped = low > 0  # both above the mean: the other tail has the digits
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    wide = ndtr(high) - ndtr(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        pair = np.stack([log_ndtr(high), log_ndtr(low)])
        exact = logsumexp(pair, axis=0, b=np.array([[1.0], [-1.0]]))
        found: Floats = np.where(wide > WIDE, np.log(wide), exact)
    return found
