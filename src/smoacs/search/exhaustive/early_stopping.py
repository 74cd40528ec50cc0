"""Which decorations are too far from the targets for what is left of their relaxation."""

import torch
from torch import Tensor

from smoacs.evaluation import EnergySlopes
from smoacs.search.settings import ExhaustiveSettings
from smoacs.targets import Targets


class EarlyStopping:
    """Tells from the first steps of a relaxation that a target will not be met at its end.

    A shortfall is by how much a value misses a bound, negative where it does not. For each bound
    and step, `reach` is `safety` times the most by which a shortfall still fell between that step
    and rest, among the decorations that rest nearest to the bound: only they tell how far those
    move that end up within it. Far from it, such as among metals, values may stand still.
    """

    def __init__(self, settings: ExhaustiveSettings, begun: Tensor, rested: Tensor) -> None:
        """Learn from M decorations that were all relaxed.

        Args:
            settings: How many decorations show it, and with what safety.
            begun: Shortfalls at the first steps, [M, K, S]; NaN where one had come to rest before.
            rested: Shortfalls at rest, [M, S]; NaN for what did not come to rest.
        """
        reach = torch.zeros_like(begun[0])
        for bound in range(rested.shape[1]):
            order = rested[:, bound].abs().nan_to_num(nan=torch.inf).argsort(stable=True)
            nearest = order[: settings.nearest]
            fallen = begun[nearest, :, bound] - rested[nearest, None, bound]
            reach[:, bound] = settings.safety * fallen.nan_to_num(nan=0.0).amax(0).clamp(min=0.0)
        self._reach = reach.flip(0).cummax(0).values.flip(0)

    def are_gone(self, step: int, shortfalls: Tensor) -> Tensor:
        """Whether a bound is out of reach, [b], given the shortfalls at a step, [b, S]."""
        if step >= len(self._reach):
            return torch.zeros(len(shortfalls), dtype=torch.bool, device=shortfalls.device)
        return (shortfalls > self._reach[step].to(shortfalls)).any(1)


class Monitor:
    """Notes the shortfalls of a batch's first steps, and gives up what is out of reach.

    Attributes:
        begun: Shortfalls at the first steps, [n, K, S]; NaN where one had come to rest before.
    """

    def __init__(
        self,
        targets: Targets,
        stopping: EarlyStopping | None,
        *,
        shape: tuple[int, int],
        device: torch.device,
    ) -> None:
        """Watch a batch of n decorations for K steps; without `stopping` nothing is given up.

        Args:
            targets: What is wanted.
            stopping: Tells what is out of reach.
            shape: n and K.
            device: Where the crystals are.
        """
        self._targets = targets
        self._stopping = stopping
        self.begun = torch.full((*shape, targets.n_bounds), torch.nan, device=device)

    def __call__(self, step: int, moving: Tensor, found: EnergySlopes) -> Tensor:
        """Which crystals to give up, [b]."""
        if step >= self.begun.shape[1]:
            return torch.zeros_like(moving, dtype=torch.bool)
        shortfalls = self._targets.shortfalls(found.values)
        self.begun[moving, step] = shortfalls.to(self.begun)
        if self._stopping is None:
            return torch.zeros_like(moving, dtype=torch.bool)
        return self._stopping.are_gone(step, shortfalls)
