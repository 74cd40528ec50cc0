"""Where decorations will rest, guessed from those that already do."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals import SoftCrystals

NOISE = 0.2
"""Variance that likeness does not explain, over that of two decorations that are the same."""


class RestGuess:
    """Regression of geometries at rest on what sits where, by likeness to known decorations.

    The mean of a Gaussian process (C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for
    Machine Learning, chapter 2). Two decorations with m of their n + 1 parts in common, the
    combination of charges and the element of each site, have the covariance ((1 + m) / (2 + n))²:
    what every part and every pair of parts does adds up.
    """

    def __init__(self, parts: NDArray[np.int64], geometries: NDArray[np.float64]) -> None:
        """Learn from M decorations.

        Args:
            parts: Combination, then the element of each site, [M, 1 + n].
            geometries: Their V variables at rest, [M, V].
        """
        self._parts = parts
        self._low, self._high = geometries.min(axis=0), geometries.max(axis=0)
        self._mean = geometries.mean(axis=0)
        covariance = _likeness(parts, parts) + NOISE * np.eye(len(parts))
        self._weights = np.linalg.solve(covariance, geometries - self._mean)

    def __call__(self, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Variables of other decorations, [b, V], within the range of those learnt from."""
        guess = self._mean + _likeness(parts, self._parts) @ self._weights
        clipped: NDArray[np.float64] = guess.clip(self._low, self._high)
        return clipped


def _likeness(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Covariance of decorations, [b, M]."""
    common = np.zeros((len(some), len(others)))
    for mine, theirs in zip(some.T, others.T, strict=True):
        common += mine[:, None] == theirs
    covariance: NDArray[np.float64] = ((1 + common) / (1 + some.shape[1])) ** 2
    return covariance


def variables(lengths: Tensor, angles: Tensor, displacements: Tensor) -> Tensor:
    """Geometry of b crystals as one row each, [b, 6 + 3n].

    Args:
        lengths: Å, [b, 3]; their logarithms are the variables.
        angles: Scaled as those of `SoftCrystals`, [b, 3].
        displacements: Fractional, [b, n, 3].
    """
    return torch.cat([lengths.log(), angles, displacements.flatten(1)], 1)


def variables_of(soft: SoftCrystals) -> Tensor:
    """The same of crystals as they are now."""
    lengths = soft.lengths.detach() * soft.length_unit
    displacements = soft.displacements.detach().view(len(lengths), -1, 3)
    return variables(lengths, soft.angles.detach(), displacements)


def set_variables(soft: SoftCrystals, variables: Tensor) -> None:
    """Give crystals the geometry that `variables_of` would return."""
    with torch.no_grad():
        soft.lengths.copy_(variables[:, :3].exp() / soft.length_unit)
        soft.angles.copy_(variables[:, 3:6])
        soft.displacements.copy_(variables[:, 6:].reshape(-1, 3))
    soft.project()
