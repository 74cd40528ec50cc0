"""Adam for a batch of independent candidates: each has its own step count and can stand still.

D. P. Kingma and J. Ba, arXiv:1412.6980, Algorithm 1. torch's own optimiser counts steps per tensor,
so a candidate that starts anew or rests would inherit the bias correction and momentum of the
others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999


@dataclass(frozen=True)
class Variable:
    """One tensor to optimise.

    Attributes:
        tensor: A leaf whose rows belong to candidates, [rows, ...].
        system_idx: Candidate of each row, [rows].
        learning_rate: Step size.
        epsilon: Gradients well below this shrink the steps instead of being scaled up.
    """

    tensor: Tensor
    system_idx: Tensor
    learning_rate: float
    epsilon: float = 1e-8


class CandidateAdam:
    """Moments and step counts of every candidate."""

    def __init__(
        self, variables: Sequence[Variable], n_systems: int, *, beta2: float = BETA2
    ) -> None:
        """Start with no momentum for any of the `n_systems` candidates."""
        self._beta2 = beta2
        self.variables = tuple(variables)
        self._first = [torch.zeros_like(v.tensor) for v in variables]
        self._second = [torch.zeros_like(v.tensor) for v in variables]
        self._steps = torch.zeros(n_systems, device=variables[0].tensor.device)

    def step(self, factor: float, moving: Tensor | None = None) -> None:
        """Move along the tensors' gradients and clear these.

        Args:
            factor: Multiplies every learning rate (the schedule).
            moving: Candidates to move, [B]; None moves all.
        """
        moving = torch.ones_like(self._steps, dtype=torch.bool) if moving is None else moving
        self._steps += moving
        steps = self._steps.clamp(min=1)
        correction1, correction2 = 1 - BETA1**steps, 1 - self._beta2**steps
        with torch.no_grad():
            for variable, first, second in zip(
                self.variables, self._first, self._second, strict=True
            ):
                tensor, grad = variable.tensor, variable.tensor.grad
                if grad is None:
                    continue
                shape = (-1,) + (1,) * (tensor.dim() - 1)
                rows = variable.system_idx
                move = moving[rows].view(shape)
                first.copy_(torch.where(move, BETA1 * first + (1 - BETA1) * grad, first))
                second.copy_(
                    torch.where(move, self._beta2 * second + (1 - self._beta2) * grad**2, second)
                )
                mean = first / correction1[rows].view(shape)
                scale = (second / correction2[rows].view(shape)).sqrt() + variable.epsilon
                step = factor * variable.learning_rate * mean / scale
                tensor.sub_(torch.where(move, step, 0.0))
                tensor.grad = None

    def restart(self, systems: Tensor) -> None:
        """Forget momentum and step count of some candidates ([B] bool)."""
        self._steps[systems] = 0
        for variable, first, second in zip(self.variables, self._first, self._second, strict=True):
            rows = systems[variable.system_idx]
            first[rows] = 0
            second[rows] = 0
