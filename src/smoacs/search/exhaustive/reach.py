"""Which decorations are too far from the targets for what is left of their relaxation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from smoacs.evaluation import Prediction
from smoacs.predictors import physical
from smoacs.targets import Target
from smoacs.targets.caution import cautious, margins_of

WATCHED = 2
"""First steps of a relaxation after which a decoration may be given up. Later ones save little."""

NEAREST = 100
"""Decorations, those nearest to a bound at rest, that show how far a value may still move."""

SAFETY = 1.5
"""Factor on the longest way that any of them went."""


class Hopes:
    """Tells from the first steps of a relaxation that a target will not be met at its end.

    A shortfall is by how much a value misses a bound, negative where it does not. For each bound
    and step, `reach` is `SAFETY` times the most by which a shortfall still fell between that step
    and rest, among the decorations that rest nearest to the bound: only they tell how far those
    move that end up within it. Far from it, such as among metals, values may stand still.
    """

    def __init__(self, begun: Tensor, rested: Tensor) -> None:
        """Learn from M decorations that were all relaxed.

        Args:
            begun: Shortfalls at the first steps, [M, K, S]; NaN where one had come to rest before.
            rested: Shortfalls at rest, [M, S]; NaN for what did not come to rest.
        """
        reach = torch.zeros_like(begun[0])
        for bound in range(rested.shape[1]):
            order = rested[:, bound].abs().nan_to_num(nan=torch.inf).argsort(stable=True)
            nearest = order[:NEAREST]
            fallen = begun[nearest, :, bound] - rested[nearest, None, bound]
            reach[:, bound] = SAFETY * fallen.nan_to_num(nan=0.0).amax(0).clamp(min=0.0)
        self._reach = reach.flip(0).cummax(0).values.flip(0)

    def are_gone(self, step: int, shortfalls: Tensor) -> Tensor:
        """Whether a bound is out of reach, [b], given the shortfalls at a step, [b, S]."""
        if step >= len(self._reach):
            return torch.zeros(len(shortfalls), dtype=torch.bool, device=shortfalls.device)
        return (shortfalls > self._reach[step].to(shortfalls)).any(1)


class Yardstick:
    """Compares raw values with targets, cautiously if asked to."""

    def __init__(self, targets: Sequence[Target], conservative: float) -> None:
        """Take the targets, and by how many standard deviations values may be off."""
        self.targets = tuple(targets)
        self.conservative = conservative

    @property
    def n_bounds(self) -> int:
        """Ends of windows, S: what there are shortfalls of."""
        ends = [end for target in self.targets for end in (target.low, target.high)]
        return sum(math.isfinite(end) for end in ends)

    def shortfalls(self, values: dict[str, Tensor]) -> Tensor:
        """By how much raw values miss each bound of the targets, negative if met, [b, S]."""
        seen = _physical(values)
        margins = margins_of(seen, self.targets, self.conservative)
        columns = []
        for target in self.targets:
            value, off = seen[target.property], margins.get(target.property, 0.0)
            if math.isfinite(target.low):
                columns.append(target.low - (value - off))
            if math.isfinite(target.high):
                columns.append(value + off - target.high)
        return torch.stack(columns, 1) if columns else next(iter(seen.values()))[:, None][:, :0]

    def verdict(self, values: dict[str, Tensor], allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (infinite if not finite) and whether all targets are met, each [b].

        Args:
            values: Raw values.
            allowed: Which crystals count at all.
        """
        seen = _physical(values)
        margins = margins_of(seen, self.targets, self.conservative)
        wanted = [cautious(target, margins) for target in self.targets]
        loss = torch.stack([t.loss(seen[t.property]) for t in wanted]).sum(0)
        met = torch.stack([t.met(seen[t.property]) for t in wanted]).all(0)
        return loss.nan_to_num(nan=torch.inf), met & allowed


class Watch:
    """Notes the shortfalls of a batch's first steps, and gives up what is out of reach.

    Attributes:
        begun: Shortfalls at the first steps, [n, K, S]; NaN where one had come to rest before.
    """

    def __init__(
        self, yardstick: Yardstick, hopes: Hopes | None, n: int, device: torch.device
    ) -> None:
        """Watch a batch of n decorations; without hopes nothing is given up."""
        self._yardstick = yardstick
        self._hopes = hopes
        self.begun = torch.full((n, WATCHED, yardstick.n_bounds), torch.nan, device=device)

    def __call__(self, step: int, moving: Tensor, found: Prediction) -> Tensor:
        """Which crystals to give up, [b]."""
        if step >= WATCHED:
            return torch.zeros_like(moving, dtype=torch.bool)
        shortfalls = self._yardstick.shortfalls(found.properties)
        self.begun[moving, step] = shortfalls.to(self.begun)
        if self._hopes is None:
            return torch.zeros_like(moving, dtype=torch.bool)
        return self._hopes.are_gone(step, shortfalls)


def _physical(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Raw values as users see them."""
    return {
        name: torch.as_tensor(physical(name, value.double().cpu().numpy())).to(value)
        for name, value in values.items()
    }
