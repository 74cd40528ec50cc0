"""Where the candidates of the discrete stage at rest stand, and how their trials end."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Climb:
    """What the candidates are doing.

    Attributes:
        elements: On trial, [N].
        loss: Of the best crystals, [B].
        target_loss: Of these, without what they lack of being at rest, [B].
        last_loss: Loss of the targets in the last step of the trial, [B].
        met: Whether the best crystals meet all targets at rest, [B].
        filled: Places that a success with a composition of its own has, [B].
        found_loss: Loss of the targets of the successes in these places, [B].
        failures: Trials in a row that brought a candidate nothing, [B].
        calls: Of the present trial, [B].
        owing: Candidates that have spent the call of the next step already, [B].
        idle: Candidates without any swap left, [B].
        values: Last values of the targets' properties, each [B].
    """

    elements: Tensor
    loss: Tensor
    target_loss: Tensor
    last_loss: Tensor
    met: Tensor
    filled: Tensor
    found_loss: Tensor
    failures: Tensor
    calls: Tensor
    owing: Tensor
    idle: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def begin(elements: Tensor, n: int) -> "Climb":
        """All that is known before the first step."""
        infinite = torch.full((n,), torch.inf, device=elements.device)
        no = torch.zeros(n, dtype=torch.bool, device=elements.device)
        none = torch.zeros(n, dtype=torch.int64, device=elements.device)
        return Climb(
            elements=elements.clone(),
            loss=infinite,
            target_loss=infinite.clone(),
            last_loss=infinite.clone(),
            met=no,
            filled=no.clone(),
            found_loss=infinite.clone(),
            failures=none,
            calls=none.clone(),
            owing=no.clone(),
            idle=no.clone(),
        )


@dataclass(frozen=True)
class Outcome:
    """Of r trials that are over: whether all is met, and their losses and values, each [r]."""

    met: Tensor
    loss: Tensor
    total: Tensor
    values: dict[str, Tensor]
    margins: dict[str, Tensor]
