"""Layers whose parameters have a leading member axis."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemberLinear(nn.Module):
    """A linear layer for each member: [M, n, a] -> [M, n, b]."""

    def __init__(self, members: int, n_in: int, n_out: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(members, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's weights: [M, n, a] (or [n, a], shared) -> [M, n, b]."""
        if self.bias is None:
            return x @ self.weight
        return torch.baddbmm(self.bias, x, self.weight)


class MemberMLP(nn.Module):
    """Linear, SiLU, linear, for each member."""

    def __init__(self, members: int, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first = MemberLinear(members, n_in, hidden)
        self.second = MemberLinear(members, hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [M, n, n_in] to [M, n, n_out]."""
        out: Tensor = self.second(F.silu(self.first(x)))
        return out
