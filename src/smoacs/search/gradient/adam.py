"""Adam for a batch of independent candidates: each has its own step count and can stand still.

D. P. Kingma and J. Ba, arXiv:1412.6980, Algorithm 1. torch's own optimiser counts steps per tensor,
so a candidate that starts anew or rests would inherit the bias correction and momentum of the
others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999


@dataclass(frozen=True)
class Variable:
    """One tensor to optimise.

    Attributes:
        tensor: Its rows belong to candidates, [rows, ...].
        system_idx: Candidate of each row, [rows].
        learning_rate: Step size, in the tensor's unit; of all of it, or shaped like it.
        epsilon: Gradients well below this shrink the steps instead of being scaled up.
    """

    tensor: Tensor
    system_idx: Tensor
    learning_rate: float | Tensor
    epsilon: float = 1e-8


class CandidateAdam:
    """Moments and step counts of every candidate."""

    NOT_STATE: ClassVar = frozenset({"variables", "_beta2"})

    def __init__(
        self, variables: Mapping[str, Variable], n_systems: int, *, beta2: float = BETA2
    ) -> None:
        """Start with no momentum for any of the `n_systems` candidates."""
        self._beta2 = beta2
        self.variables = dict(variables)
        self._first = {n: torch.zeros_like(v.tensor) for n, v in self.variables.items()}
        self._second = {n: torch.zeros_like(v.tensor) for n, v in self.variables.items()}
        first = next(iter(self.variables.values()))
        self._steps = torch.zeros(n_systems, device=first.tensor.device)

    def changes(
        self, grads: Mapping[str, Tensor], factor: float, moving: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The next step, by name of the variable.

        Args:
            grads: Of the loss by the variables; those left out stay.
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
        found = {}
        with torch.no_grad():
            for name, grad in grads.items():
                variable = self.variables[name]
                tensor, rows = variable.tensor, variable.system_idx
                alike = (id(rows), tensor.dim(), tensor.dtype)
                if alike not in of_rows:
                    own = of_systems.index_select(1, rows).to(tensor)
                    of_rows[alike] = own.view(4, -1, *(1,) * (tensor.dim() - 1)).unbind()
                w1, w2, r, c2 = of_rows[alike]
                if moving is not None:  # one that is not finite may stand still
                    grad = grad.where(w1 > 0, 0.0)  # noqa: PLW2901 - the part that counts
                first, second = self._first[name], self._second[name]
                first.lerp_(grad, w1)
                second.lerp_(grad * grad, w2)
                scale = (second / c2).sqrt_().add_(variable.epsilon)
                step = (first * r).div_(scale)
                found[name] = step.mul_(-factor * variable.learning_rate)
        return found

    def restart(self, systems: Tensor) -> None:
        """Forget momentum and step count of some candidates ([B] bool)."""
        self._steps[systems] = 0
        for name, variable in self.variables.items():
            rows = systems[variable.system_idx]
            self._first[name][rows] = 0
            self._second[name][rows] = 0
