"""What decorations will come to, guessed from those that are known: by a Gaussian process."""

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import spotri

from smoacs.chemistry import ELEMENTS

NOISE = 0.2
"""Variance that likeness does not explain, over that of two decorations that are the same."""

KINSHIP = 0.5
"""Likeness that neighbours in the periodic table may have, of 1 for the same element."""

NEIGHBOURS = 3.0, 1.0
"""Groups and periods that make two elements neighbours."""

ROWS = 4_096
"""Decorations that are guessed at the same time."""


class Regression:
    """Regression of values on what sits where, by likeness to known decorations.

    The mean of a Gaussian process (C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for
    Machine Learning, chapter 2). Of two decorations with n sites the n + 1 parts, the combination
    of charges and the element of each site, are compared. With m for the sum of their likenesses,
    1 for what is the same, the covariance is ((1 + m) / (2 + n))²: what every part and every pair
    of parts does adds up, and kindred elements do the like.
    """

    def __init__(self, parts: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn from M decorations.

        Args:
            parts: Combination, then the element of each site (Z - 1), [M, 1 + n].
            values: V values of each, [M, V].
        """
        self._parts = parts
        self._mean = values.mean(axis=0)
        covariance = _likeness(parts, parts) + NOISE * np.eye(len(parts), dtype=np.float32)
        change = (values - self._mean).astype(np.float32)
        # The inverse is never needed for guesses, and takes ten times as long as this factor.
        self._factor = cho_factor(covariance, lower=True, check_finite=False)
        self._weights: NDArray[np.float32] = cho_solve(self._factor, change, check_finite=False)

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """Root mean square error of each value for a decoration left out (equation 5.12), [V]."""
        inverse, _ = spotri(self._factor[0], lower=True)
        left_out = self._weights / np.diag(inverse)[:, None]
        found: NDArray[np.float64] = np.sqrt(np.square(left_out, dtype=float).mean(axis=0))
        return found

    def __call__(self, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of other decorations, [b, V]."""
        chunks = np.split(parts, range(ROWS, len(parts), ROWS))
        change = [_likeness(chunk, self._parts) @ self._weights for chunk in chunks]
        values: NDArray[np.float64] = self._mean + np.concatenate(change)
        return values


class RestGuess:
    """Where decorations will rest: within the range of those that already do."""

    def __init__(self, parts: NDArray[np.int64], geometries: NDArray[np.float64]) -> None:
        """Learn from M decorations.

        Args:
            parts: Combination, then the element of each site (Z - 1), [M, 1 + n].
            geometries: Their V variables at rest, [M, V].
        """
        self._low, self._high = geometries.min(axis=0), geometries.max(axis=0)
        self._regression = Regression(parts, geometries)

    def __call__(self, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Variables of other decorations, [b, V]."""
        clipped: NDArray[np.float64] = self._regression(parts).clip(self._low, self._high)
        return clipped


def _likeness(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
    """Covariance of decorations, [b, M]."""
    alike = np.equal.outer(some[:, 0], others[:, 0]).astype(np.float32)
    kinship = _kinship()
    for mine, theirs in zip(some.T[1:], others.T[1:], strict=True):
        alike += np.take(kinship[mine], theirs, axis=1)
    covariance: NDArray[np.float32] = ((1 + alike) / (1 + some.shape[1])) ** 2
    return covariance


@cache
def _kinship() -> NDArray[np.float32]:
    """Likeness of elements, [Z, Z]: 1 of each with itself, less by their distance in the table."""
    elements = [Element(symbol) for symbol in ELEMENTS]
    place = np.array([(element.group, element.row) for element in elements]) / NEIGHBOURS
    distance = np.square(place[:, None] - place).sum(axis=2)
    kinship = KINSHIP * np.exp(-distance / 2) + (1 - KINSHIP) * np.eye(len(elements))
    narrow: NDArray[np.float32] = kinship.astype(np.float32)
    return narrow
