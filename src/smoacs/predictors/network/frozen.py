"""An interaction whose weights stand still, with its gradient by hand.

It has some thirty nodes in torch's graph, each of which takes longer than the numbers of a small
crystal do. Here it is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from smoacs.predictors.network.asinh import asinh_and_root
from smoacs.predictors.network.harmonics import (
    DEGREES,
    QUADRATIC,
    quadratic_factors,
    quadratic_harmonics,
)
from smoacs.predictors.network.messages import Filters, Pairs, message_gradients, message_sums

if TYPE_CHECKING:
    from smoacs.predictors.network.edges import PairGeometry

_LAYER_NORM_EPSILON = 1e-5
"""As in `torch.nn.functional.layer_norm`."""

Plain = Callable[[Tensor, Tensor, Tensor], Tensor]
"""An interaction by torch's own graph, [M, N, C]: of features, [M, N, C], and of the pairs' radial
functions, [P, K], and moments, [8, P, k]."""


class Linear(NamedTuple):
    """Of all members; for x, [M, n, a], and gradients of what it gives, [M, n, b].

    Attributes:
        weight: [M, a, b].
        bias: [M, 1, b].
        turned: The weight for gradients, [M, b, a].
    """

    weight: Tensor
    bias: Tensor
    turned: Tensor

    @staticmethod
    def of(weight: Tensor, bias: Tensor) -> Linear:
        """With the turned weight in memory, where products take it sooner than seen turned."""
        return Linear(weight, bias, weight.mT.contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it."""
        return torch.bmm(x, self.weight).add_(self.bias)

    def back(self, grad: Tensor) -> Tensor:
        """Gradient of x."""
        return torch.bmm(grad, self.turned)


class FrozenWeights(NamedTuple):
    """What an interaction computes with, as it needs it.

    Attributes:
        send: From features to what is sent.
        filters: Of messages.
        mixers: Of the moments' channels, for each harmonic of each member, [8 M, c, c].
        mixers_turned: The same for gradients.
        factors: See `quadratic_factors`, [9, 5].
        factors_of_either: What each product of two components adds to the slope by either of them,
            over the other one, in each harmonic of degree 2, [9, 5].
        degrees: Of each harmonic, less 1, [8].
        first: Of the update, the inner layer.
        second: The outer one.
    """

    send: Linear
    filters: Filters
    mixers: Tensor
    mixers_turned: Tensor
    factors: Tensor
    factors_of_either: Tensor
    degrees: Tensor
    first: Linear
    second: Linear


def frozen_weights(*weights: Tensor) -> FrozenWeights:
    """Bring an interaction's weights into shape.

    Args:
        weights: Filters of degrees 0, [M, K, C], 1 and 2, [M, k, c]; mixers of the channels of
            degrees 1 and 2, [M, c, c]; weight and bias of what is sent and of the update's inner
            and outer layer.
    """
    filters, (mix1, mix2), linear = weights[:3], weights[3:5], weights[5:]
    mixers = torch.stack([(mix1, mix2)[degree - 1] for degree in DEGREES], dim=1).flatten(0, 1)
    factors = quadratic_factors(QUADRATIC.to(mixers))
    by_components = factors.view(3, 3, 5)
    return FrozenWeights(
        send=Linear.of(*linear[:2]),
        filters=Filters.of(*filters),
        mixers=mixers,
        mixers_turned=mixers.mT.contiguous(),
        factors=factors,
        factors_of_either=(by_components + by_components.transpose(0, 1)).flatten(0, 1),
        degrees=torch.tensor(DEGREES, device=mixers.device) - 1,
        first=Linear.of(*linear[2:4]),
        second=Linear.of(*linear[4:]),
    )


def frozen_interaction(
    h: Tensor, geometry: PairGeometry, weights: FrozenWeights, plain: Plain, *, normalise: bool
) -> Tensor:
    """What `plain` gives, [M, N, C]; differentiable, twice, but not in the weights.

    Args:
        h: Features of the atoms, [M, N, C].
        geometry: Of their pairs.
        weights: Of the interaction.
        plain: The interaction itself; gives second derivatives.
        normalise: Whether features are normalised before they are sent.
    """
    pairs = (geometry.scalar, geometry.moments)
    out: Tensor = _Frozen.apply(  # type: ignore[no-untyped-call]  # torch: typed in part
        h, *pairs, geometry.blocks, weights, plain, normalise
    )
    return out


class _Frozen(torch.autograd.Function):
    """The interaction and its gradient; see `Interaction` for what it does."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:  # noqa: ANN401 - torch: typed in part
        """Update the atoms' features, [M, N, C]."""
        h, scalar, moments, blocks, weights, plain, normalise = inputs
        w: FrozenWeights = weights
        normed, *of_h = _normed(h) if normalise else (h, None, None)
        sent = w.send(normed)
        a0, a = message_sums(sent, Pairs(scalar, moments, blocks), w.filters)
        b = torch.bmm(a.flatten(0, 1), w.mixers).view_as(a)
        squares = a * b
        quadratic = quadratic_harmonics(b[:, :3], w.factors)
        cubic = (quadratic * a[:, 3:]).sum(1)
        sums = torch.cat([a0, squares[:, :3].sum(1), squares[:, 3:].sum(1), cubic], dim=2)
        shrunk, root = asinh_and_root(sums)
        x = torch.cat([h, shrunk], dim=2)
        normed, *of_x = _normed(x)
        hidden = w.first(normed)
        ctx.fixed = blocks, weights, plain
        ctx.save_for_backward(
            *(h, scalar, moments, sent, a, b, quadratic, root, x, hidden), *of_h, *of_x
        )
        return w.second(F.silu(hidden)).add_(h)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients of the features and of the geometry."""
        h, scalar, moments, *kept = ctx.saved_tensors
        blocks, weights, plain = ctx.fixed
        if torch.is_grad_enabled():
            return *_by_graph(plain, (h, scalar, moments), grad), None, None, None, None
        w: FrozenWeights = weights
        sent, a, b, quadratic, root, x, hidden, mean, rstd, *of_x = kept
        of_hidden = _SILU_BACKWARD(w.second.back(grad), hidden)
        of_x = _of_normed(w.first.back(of_hidden), x, *of_x)
        channels, fewer = h.shape[2], a.shape[3]
        of_h, of_shrunk = of_x.split_with_sizes([channels, x.shape[2] - channels], 2)
        of_a0, of_squares, of_cubic = (of_shrunk / root).split_with_sizes(
            [channels, 2 * fewer, fewer], 2
        )
        of_squares = of_squares.unflatten(2, (2, fewer)).transpose(1, 2)
        of_squares = of_squares.index_select(1, w.degrees)
        of_cubic = of_cubic.unsqueeze(1)
        of_b = of_squares * a
        of_a = of_squares.mul_(b)
        of_b[:, :3].add_(_of_vectors(of_cubic * a[:, 3:], b[:, :3], w.factors_of_either))
        of_a[:, 3:].addcmul_(of_cubic, quadratic)
        of_a.flatten(0, 1).baddbmm_(of_b.flatten(0, 1), w.mixers_turned)
        pairs = Pairs(scalar, moments, blocks)
        of_sent, *of_pairs = message_gradients(sent, (of_a0, of_a), pairs, w.filters)
        of_normed = w.send.back(of_sent)
        if mean is not None:
            of_normed = _of_normed(of_normed, h, mean, rstd)
        return of_normed.add_(grad).add_(of_h), *of_pairs, None, None, None, None


def _by_graph(plain: Plain, inputs: tuple[Tensor, ...], grad: Tensor) -> list[Tensor | None]:
    """Gradients that can be differentiated themselves; None of what needs none."""
    wanted = [x for x in inputs if x.requires_grad]
    grads = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))
    return [next(grads) if x.requires_grad else None for x in inputs]


_SILU_BACKWARD = torch.ops.aten.silu_backward.default
_LAYER_NORM_BACKWARD = torch.ops.aten.native_layer_norm_backward.default


def _normed(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `F.layer_norm` over the channels; mean and inverse deviation, too."""
    return torch.native_layer_norm(x, x.shape[-1:], None, None, _LAYER_NORM_EPSILON)


def _of_normed(grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """Gradient of what was normalised."""
    wanted = [True, False, False]
    of_x: Tensor = _LAYER_NORM_BACKWARD(grad, x, x.shape[-1:], mean, rstd, None, None, wanted)[0]
    return of_x


def _of_vectors(grad: Tensor, vectors: Tensor, factors_of_either: Tensor) -> Tensor:
    """Gradient of vectors, [M, 3, N, c], from that of their `quadratic_harmonics`, [M, 5, N, c]."""
    members, _, *rest = vectors.shape
    of_each = factors_of_either.expand(members, -1, -1)
    by = torch.bmm(of_each, grad.reshape(members, 5, -1)).view(members, 3, 3, *rest)
    return by.mul_(vectors.unsqueeze(1)).sum(2)
