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
        moves = torch.ones_like(self._steps) if moving is None else moving.to(self._steps)
        self._steps += moves
        steps = self._steps.clamp(min=1)
        # A candidate that stands still takes in nothing of its gradient and goes no step.
        of_systems = torch.stack(
            [
                moves * (1 - BETA1),
                moves * (1 - self._beta2),
                moves / (1 - BETA1**steps),
                1 - self._beta2**steps,
            ]
        )
        of_rows: dict[tuple[int, int, torch.dtype], tuple[Tensor, ...]] = {}
        with torch.no_grad():
            for variable, first, second in zip(
                self.variables, self._first, self._second, strict=True
            ):
                tensor, grad = variable.tensor, variable.tensor.grad
                if grad is None:
                    continue
                rows = variable.system_idx
                alike = (id(rows), tensor.dim(), tensor.dtype)
                if alike not in of_rows:
                    found = of_systems.index_select(1, rows).to(tensor)
                    of_rows[alike] = found.view(4, -1, *(1,) * (tensor.dim() - 1)).unbind()
                w1, w2, r, c2 = of_rows[alike]
                if moving is not None:  # one that is not finite may stand still
                    grad = grad.where(w1 > 0, 0.0)
                first.lerp_(grad, w1)
                second.lerp_(grad * grad, w2)
                scale = (second / c2).sqrt_().add_(variable.epsilon)
                tensor.addcdiv_(first * r, scale, value=-factor * variable.learning_rate)
                tensor.grad = None

    def restart(self, systems: Tensor) -> None:
        """Forget momentum and step count of some candidates ([B] bool)."""
        self._steps[systems] = 0
        for variable, first, second in zip(self.variables, self._first, self._second, strict=True):
            rows = systems[variable.system_idx]
            first[rows] = 0
            second[rows] = 0
