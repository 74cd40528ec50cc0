"""Random search under the hard constraints: neutral, within the boxes, radii that fit."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.space import Proposals, Space

BATCH = 256
TRIES = 100
"""Batches drawn until enough crystals fit by their radii; then the others are taken, too."""


class RandomSearch:
    """Draws every variable uniformly; what cannot meet a target by its radii is drawn again."""

    def __init__(self, space: Space, *, seed: int, relaxes: bool = False) -> None:
        """Take where to search, and whether crystals are relaxed before they are judged."""
        self.relaxes = relaxes
        self.space = space
        self._rng = np.random.default_rng(seed)

    def propose(self, most: int) -> Proposals:
        """Draw a batch."""
        wanted = min(BATCH, most)
        found: list[Proposals] = []
        for _ in range(TRIES):
            missing = wanted - sum(len(part) for part in found)
            if missing <= 0:
                break
            drawn = self._draw(missing)
            found.append(drawn.select(self.space.promising(drawn)))
        missing = wanted - sum(len(part) for part in found)
        if missing > 0:
            found.append(self._draw(missing))
        return Proposals.join(found)

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Learn nothing."""

    def _draw(self, n: int) -> Proposals:
        templates = self._rng.integers(len(self.space.templates), size=n)
        return Proposals.join([self.space.random(self._rng, int(k)) for k in templates])
