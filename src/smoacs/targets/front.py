"""Conflicting objectives: who is dominated by whom, and how good a front is.

All objectives are costs: less is better.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def front_ranks(costs: Floats, most: int | None = None) -> NDArray[np.int64]:
    """Rank of n points: 0 if no other dominates them, 1 if only points of rank 0 do, and so on.

    A point dominates another if it is nowhere worse and somewhere better; equal points share a
    rank.

    Args:
        costs: m costs of each point, [n, m].
        most: Ranks are only needed until so many points have one.

    Returns:
        [n]; -1 for points with a cost that is not finite, and for those left when there are enough.
    """
    ranks = np.full(len(costs), -1, dtype=np.int64)
    left = np.flatnonzero(np.isfinite(costs).all(axis=1))
    rank = ranked = 0
    while len(left) and (most is None or ranked < most):
        first = _front(costs[left])
        ranks[left[first]] = rank
        ranked += int(first.sum())
        left = left[~first]
        rank += 1
    return ranks


def hypervolume(costs: Floats, reference: Floats) -> float:
    """Volume that points dominate within a reference point, exact.

    Sweeps along the last objective (E. Zitzler and L. Thiele, IEEE Trans. Evol. Comput. 3, 257
    (1999), define the measure).

    Args:
        costs: [n, m].
        reference: Worst cost of each objective that counts, [m].
    """
    costs = costs[(costs < reference).all(axis=1)]
    if not len(costs):
        return 0.0
    if costs.shape[1] == 1:
        return float(reference[0] - costs.min())
    costs = costs[np.argsort(costs[:, -1])]
    ends = np.append(costs[1:, -1], reference[-1])
    return sum(
        hypervolume(costs[: i + 1, :-1], reference[:-1]) * float(end - costs[i, -1])
        for i, end in enumerate(ends)
        if end > costs[i, -1]
    )


def _front(costs: Floats) -> NDArray[np.bool_]:
    """Which of n points no other dominates, [n]."""
    front = np.zeros(len(costs), dtype=np.bool_)
    left = np.argsort(costs.sum(axis=1), kind="stable")
    while len(left):  # the least sum is never dominated
        best = costs[left[0]]
        front[left[(costs[left] == best).all(axis=1)]] = True
        left = left[(costs[left] < best).any(axis=1)]
    return front
