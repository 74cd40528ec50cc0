"""Candidates that spread along the front of conflicting targets.

Each candidate has weights of its own on the targets to maximise or minimise, and lowers their
augmented Chebyshev scalarisation, whose minima reach every point of a front, convex or not:
max_i w_i f_i + ρ Σ_i w_i f_i with the costs f_i measured from the best towards the worst value seen
(R. Steuer and E.-U. Choo, Math. Program. 26, 326 (1983)).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from smoacs.targets.collection import Targets

AUGMENTATION = 0.01
"""ρ; keeps candidates from points that are better in one objective and worse in none."""


def draw_weights(n: int, m: int, seed: int) -> Tensor:
    """Weights of m objectives for n candidates, [n, m]: rows sum to 1, evenly over all such rows.

    The gaps between sorted Sobol points are uniform on the simplex (L. Devroye, Non-Uniform Random
    Variate Generation, 1986, chapter V).
    """
    points = torch.quasirandom.SobolEngine(m - 1, scramble=True, seed=seed % 2**31).draw(n)
    cuts = torch.cat([torch.zeros(n, 1), points.sort(dim=1).values, torch.ones(n, 1)], dim=1)
    return cuts.diff(dim=1)


class Front:
    """One scalarisation for each candidate of a search with conflicting targets.

    The best and the worst values follow the candidates until `freeze`; from then on losses of
    different steps compare.
    """

    NOT_STATE: ClassVar = frozenset({"_targets", "_weights"})

    def __init__(self, targets: Targets, weights: Tensor) -> None:
        """Take the targets and the weights of their m extremes for each candidate, [B, m]."""
        m = weights.shape[1]
        self._targets = targets
        self._weights = weights
        self._best = torch.full((m,), torch.inf, device=weights.device)
        self._worst = torch.full((m,), -torch.inf, device=weights.device)
        self._frozen = False

    def observe(self, values: Mapping[str, Tensor]) -> None:
        """Learn from the values of all candidates, each [B], how far objectives range."""
        if self._frozen:
            return
        extremes = self._targets.extremes
        costs = torch.stack([t.loss(values[t.property]) for t in extremes], 1).detach()
        costs = costs[costs.isfinite().all(1)]
        if len(costs):
            self._best = torch.minimum(self._best, costs.amin(0).to(self._best))
            self._worst = torch.maximum(self._worst, costs.amax(0).to(self._worst))

    def freeze(self) -> None:
        """Keep the range from now on."""
        self._frozen = True

    def loss(self, costs: Tensor, candidates: Tensor) -> Tensor:
        """Scalarised costs, [b].

        Args:
            costs: Losses of the extremes, in their order among the targets, [b, m].
            candidates: Whose weights to take, [b].
        """
        best = self._best
        span = torch.where(best.isfinite(), (self._worst - self._best).clamp(min=1e-3), 1.0)
        weighted = self._weights[candidates] * (costs - best.nan_to_num(posinf=0.0)) / span
        scalar: Tensor = weighted.amax(1) + AUGMENTATION * weighted.sum(1)
        return scalar


def front_of(targets: Targets, n: int, seed: int, device: torch.device) -> Front | None:
    """Front that n candidates spread along; None if there are fewer than two extremes."""
    m = len(targets.extremes)
    if m < 2:  # noqa: PLR2004 - a conflict takes two
        return None
    return Front(targets, draw_weights(n, m, seed).to(device))
