"""Which decorations an exhaustive search takes next: some by chance, then the most promising.

What promises most is the likeliest to meet the targets, times how usual its oxidation numbers are:
of two that promise the same the one that the ICSD knows more of comes first.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from smoacs.search.exhaustive.regression import Regression
from smoacs.search.exhaustive.survey import Space
from smoacs.search.settings import ExhaustiveSettings

BLOCK = 50_000
"""Decorations that are compared with each other; a larger space is gone through in such blocks,
those with the usual oxidation numbers first."""


class SuccessProbability:
    """How likely decorations are to meet all targets at rest, by the shortfalls of known ones.

    Every shortfall (see `early_stopping`) is taken as normally distributed about its regression,
    with one width for all decorations, and as independent of the others.
    """

    def __init__(self, parts: NDArray[np.int64], shortfalls: NDArray[np.float64]) -> None:
        """Learn from M decorations.

        Args:
            parts: Combination, then the element of each site (Z - 1), [M, 1 + n].
            shortfalls: By how much each bound is missed, negative where it is met, [M, S].
        """
        self._regression = Regression(parts, shortfalls)

    def __call__(self, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logarithm of the chance of each of b decorations, [b]."""
        widths = self._regression.errors.clip(min=np.finfo(np.float32).tiny)
        chances: NDArray[np.float64] = log_ndtr(-self._regression(parts) / widths).sum(axis=1)
        return chances


class Acquisition:
    """The way through a space, and how far along it a search is.

    Attributes:
        rows: Decorations of the rounds so far, in their order.
        at_once: Most decorations of a round.
    """

    def __init__(self, space: Space, settings: ExhaustiveSettings, *, seed: int) -> None:
        """Begin.

        Args:
            space: All decorations.
            settings: Sizes of the rounds.
            seed: Of the order among those of which nothing is known.
        """
        self._unusual = space.unusual(np.arange(len(space)))
        self._blocks = _blocks(self._unusual, np.random.default_rng(seed))
        self._parts = space.parts
        everyone = space.compositions(np.arange(len(space)))
        self._formula = np.unique(everyone, axis=0, return_inverse=True)[1].ravel()
        self._is_left = np.ones(len(space), dtype=np.bool_)
        self._ranked: tuple[SuccessProbability, int, NDArray[np.float64]] | None = None
        self.rows = np.zeros(0, dtype=np.int64)
        self._settings = settings
        self.at_once = max(1, settings.atoms_together // space.template.n_sites)

    def __len__(self) -> int:
        """Decorations of the rounds so far."""
        return len(self.rows)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return len(self) == len(self._is_left)

    def take(self, rows: NDArray[np.int64]) -> None:
        """Go through a round."""
        self.rows = np.concatenate([self.rows, rows])
        self._is_left[rows] = False

    def n_distinct(self, met: NDArray[np.bool_]) -> int:
        """Compositions among the decorations so far of which it is said that they succeed."""
        return len(np.unique(self._formula[self.rows[met]]))

    def expected_successes(
        self, probability: SuccessProbability | None, met: NDArray[np.bool_]
    ) -> float:
        """Successes of new formulas that are to be expected of all decorations left.

        Args:
            probability: Of decorations; None if nothing is known.
            met: Whether those so far succeed.
        """
        if probability is None or len(self._blocks) > 1:  # of other blocks nothing is known
            return np.inf
        (block,) = self._blocks
        counts = self._is_left[block] & ~self._had(block, met)
        return float(np.exp(self._of_block(probability, 0)[counts]).sum())

    def next_round(
        self,
        probability: SuccessProbability | None,
        met: NDArray[np.bool_],
        *,
        missing: int | None = None,
        most: int | None = None,
    ) -> NDArray[np.int64]:
        """Decorations to relax next, best first; not more than can be learnt from.

        Args:
            probability: Of decorations; None if nothing is known.
            met: Whether those so far succeed.
            missing: Successes still wanted; None for all there are. Not many more decorations are
                taken than give them.
            most: Decorations that the budget still allows; None for any number.
        """
        number = next(k for k, part in enumerate(self._blocks) if self._is_left[part].any())
        block = self._blocks[number]
        left = block[self._is_left[block]]
        size = self._round_size(probability)
        if probability is not None:
            chances = self._of_block(probability, number)[self._is_left[block]]
            order = np.lexsort((self._unusual[left] - chances, self._had(left, met)))
            left = left[order]
            if missing is not None:
                hoped = np.exp(chances[order]).cumsum()
                size = min(
                    size, max(self._settings.least, int(np.searchsorted(hoped, missing)) + 1)
                )
        return left[: size if most is None else min(size, most)]

    def _had(self, rows: NDArray[np.int64], met: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether formulas succeed already: another decoration of them is no other design."""
        return np.isin(self._formula[rows], self._formula[self.rows[met]])

    def _round_size(self, probability: SuccessProbability | None) -> int:
        if len(self) < self._settings.first:
            return min(self.at_once, self._settings.first - len(self))
        if probability is None or len(self) >= self._settings.learnt:
            return self.at_once
        return min(self.at_once, max(self._settings.round, len(self) // 8))

    def _of_block(self, probability: SuccessProbability, number: int) -> NDArray[np.float64]:
        """Chances of a block, which stay as long as the probability does."""
        if self._ranked is None or self._ranked[0] is not probability or self._ranked[1] != number:
            self._ranked = probability, number, probability(self._parts(self._blocks[number]))
        return self._ranked[2]


def _blocks(unusual: NDArray[np.float32], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Decorations, [M], in blocks of which the first are the most usual; at random within each."""
    order = rng.permutation(len(unusual))
    by_use = np.argsort(unusual[order], kind="stable")  # places in the drawn order
    return [order[np.sort(part)] for part in np.split(by_use, range(BLOCK, len(order), BLOCK))]
