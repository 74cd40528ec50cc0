"""One round of messages between the atoms of the built-in network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smoacs.predictors.network.asinh import asinh
from smoacs.predictors.network.derived import Derived
from smoacs.predictors.network.frozen import frozen_interaction, frozen_weights
from smoacs.predictors.network.harmonics import DEGREES, cubic_invariant
from smoacs.predictors.network.layers import MemberLinear, MemberMLP

if TYPE_CHECKING:
    from smoacs.predictors.network.edges import PairGeometry
    from smoacs.predictors.network.settings import NetworkSettings


class Interaction(nn.Module):
    """One round of messages and the update of the atoms' features."""

    sign: Tensor

    def __init__(self, s: NetworkSettings) -> None:
        super().__init__()
        m, c, c1 = s.members, s.channels, s.moment_channels
        self.filter = MemberLinear(m, s.radial, c, bias=False)
        self.filter1 = MemberLinear(m, s.moment_radial, c1, bias=False)
        self.filter2 = MemberLinear(m, s.moment_radial, c1, bias=False)
        self.send = MemberLinear(m, c, c + c1)
        self.mix1 = MemberLinear(m, c1, c1, bias=False)
        self.mix2 = MemberLinear(m, c1, c1, bias=False)
        self.update = MemberMLP(m, 2 * c + 3 * c1, s.hidden, c)
        self.c1 = c1
        self.normalise = s.normalise_messages
        self._frozen = Derived(frozen_weights)
        sign = torch.tensor([(-1.0) ** degree for degree in DEGREES])
        self.register_buffer("sign", sign[:, None, None], persistent=False)

    def forward(self, h: Tensor, geometry: PairGeometry) -> Tensor:
        """Update the atoms' features, [M, N, C]."""
        plain = partial(self._plain, (geometry.index, geometry.factors))
        weights = self._weights()
        if any(weight.requires_grad for weight in weights):
            return plain(h, geometry.scalar, geometry.moments)
        frozen = self._frozen(*weights)
        return frozen_interaction(h, geometry, frozen, plain, normalise=self.normalise)

    def _weights(self) -> tuple[Tensor, ...]:
        """All, as `frozen_weights` takes them."""
        bare = (self.filter, self.filter1, self.filter2, self.mix1, self.mix2)
        biased = (self.send, self.update.first, self.update.second)
        return (
            *(layer.weight for layer in bare),
            *(x for layer in biased for x in (layer.weight, layer.bias) if x is not None),
        )

    def _plain(
        self, fixed: tuple[Tensor, Tensor], h: Tensor, scalar: Tensor, moments: Tensor
    ) -> Tensor:
        """What `forward` gives, by torch's graph; `fixed` are index and factors of the geometry."""
        index, factors = fixed
        a0, a1, a2 = self._messages(self.send(self.normalised(h)), index, scalar, moments)
        invariants = self._invariants(a1, a2, factors)
        x = torch.cat([h, asinh(torch.cat([a0, *invariants], dim=2))], dim=2)
        out: Tensor = h + self.update(F.layer_norm(x, x.shape[-1:]))
        return out

    def _messages(
        self, sent: Tensor, index: Tensor, scalar: Tensor, moments: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over neighbours of what they send, [M, N, C + c1], by degree.

        These are [M, N, C], [M, 3, N, c1] and [M, 5, N, c1].
        """
        i, j = index
        m, n, both = sent.shape
        sent, sent1 = sent.split([both - self.c1, self.c1], dim=2)
        w = self.filter(scalar.expand(m, -1, -1))
        a0 = torch.zeros_like(sent).index_add_(1, i, w * sent[:, j])
        a0.index_add_(1, j, w * sent[:, i])
        w1 = torch.cat(
            [
                moments[:3] @ self.filter1.weight.unsqueeze(1),
                moments[3:] @ self.filter2.weight.unsqueeze(1),
            ],
            dim=1,
        )
        a = sent1.new_zeros(m, 8, n, self.c1)
        a.index_add_(2, i, w1 * sent1[:, j].unsqueeze(1))
        a.index_add_(2, j, w1 * self.sign * sent1[:, i].unsqueeze(1))
        return a0, *a.split([3, 5], dim=1)

    def normalised(self, h: Tensor) -> Tensor:
        """Features as they are sent, [M, N, C]."""
        return F.layer_norm(h, h.shape[-1:]) if self.normalise else h

    def _invariants(self, a1: Tensor, a2: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two invariants of degree 2 and one of degree 3, each [M, N, c1]."""
        b1, b2 = (
            torch.bmm(part.flatten(1, 2), mix.weight).view_as(part)
            for part, mix in ((a1, self.mix1), (a2, self.mix2))
        )
        cubic = cubic_invariant(b1, a2, factors)
        return (a1 * b1).sum(1), (a2 * b2).sum(1), cubic
