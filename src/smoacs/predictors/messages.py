"""Sums of messages over the neighbours of each atom, for a network whose weights stand still.

What torch would keep for the gradient, several arrays of pairs by channels, is most of the memory
of a prediction. Here the gradient works them out again, a block of pairs at a time, so that a large
cell takes little memory and, by the atom, no more time than a small one. The channels of all
members lie side by side: what a pair takes from an atom, or adds to it, is one run of memory. What
a block no longer needs is overwritten, so that few of its arrays have to fit the caches.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

FEW_PAIRS = 100
"""Up to so many, to work it out again takes longer than to keep it."""

PAIRS_PER_BLOCK = 512
"""Pairs treated together on a CPU: few enough for the caches, and for arrays that the C library
takes from memory it holds. Larger ones come from the system page by page, every time anew, which
can take longer than the sums."""

PAIRS_PER_BLOCK_GPU = 250_000

Blocks = tuple[Sequence[Tensor], Sequence[Tensor]]
"""Atoms i of the pairs of each block, and atoms j; all blocks but the last are of one size."""


def blocks_of(index: Tensor) -> Blocks:
    """Blocks of pairs, of like sizes, at least one; the atoms i <= j of all are [2, P]."""
    most = PAIRS_PER_BLOCK if index.device.type == "cpu" else PAIRS_PER_BLOCK_GPU
    n_pairs = index.shape[1]
    size = max(1, math.ceil(n_pairs / max(1, math.ceil(n_pairs / most))))
    i, j = index
    return i.split(size), j.split(size)


def side_by_side(*weights: Tensor) -> tuple[Tensor, Tensor]:
    """Filters of all members as `frozen_messages` takes them.

    Args:
        weights: From radial functions to channels, for degree 0, [M, K, C], 1 and 2, [M, k, c].

    Returns:
        Those of degree 0, [K, M C], and of each harmonic, [8, k, M c].
    """
    of_degree_0, of_degree_1, of_degree_2 = (_members_last(weight) for weight in weights)
    return of_degree_0, torch.stack([of_degree_1] * 3 + [of_degree_2] * 5)


def frozen_messages(
    sent: Tensor,
    pairs: tuple[Tensor, Tensor],
    blocks: Blocks,
    filters: tuple[Tensor, Tensor],
    *,
    sign: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the messages that each atom gets along its pairs.

    Differentiable, twice, in what is sent and in the geometry, but not in the filters.

    Args:
        sent: What each atom sends for degree 0 and, after that, for degrees 1 and 2, [M, N, C + c].
        pairs: Radial functions of each pair, [P, K], and the same times each of the eight
            harmonics, [8, P, k].
        blocks: Of the pairs; see `blocks_of`.
        filters: See `side_by_side`.
        sign: Of each harmonic seen from the other atom, [8, 1, 1].

    Returns:
        Sums of degree 0, [M, N, C], 1, [M, 3, N, c], and 2, [M, 5, N, c].
    """
    sums: tuple[Tensor, Tensor, Tensor] = _Messages.apply(  # type: ignore[no-untyped-call]  # torch: typed in part
        sent, *pairs, *filters, sign, blocks
    )
    return sums


def _members_last(x: Tensor) -> Tensor:
    """[M, n, c] -> [n, M c]."""
    return x.transpose(0, 1).flatten(1)


def _members_first(x: Tensor, members: int) -> Tensor:
    """[n, M c] -> [M, n, c]."""
    found: Tensor = x.unflatten(1, (members, -1)).transpose(0, 1)
    return found


class _Messages(torch.autograd.Function):
    """The sums and their gradient; inside, all members side by side."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - torch: typed in part
        """Sum the messages."""
        *tensors, blocks = inputs
        ctx.blocks = blocks
        ctx.save_for_backward(*tensors)
        both, scalar, moments, weight, weight1, sign = tensors
        members = len(both)
        sent, sent1 = _by_degree(both, weight)
        total = torch.zeros_like(sent)
        at_i, at_j = sent1.new_zeros(2, len(sent1), len(sign), sent1.shape[1])
        sent1 = sent1.unsqueeze(1)
        for i, j, of_pairs, moments_of_pairs in _by_blocks(blocks, scalar, moments):
            w = of_pairs @ weight
            total.index_add_(0, i, sent.index_select(0, j).mul_(w))
            total.index_add_(0, j, sent.index_select(0, i).mul_(w))
            w = _by_pair(torch.bmm(moments_of_pairs, weight1))
            at_i.index_add_(0, i, sent1.index_select(0, j) * w)
            at_j.index_add_(0, j, w.mul_(sent1.index_select(0, i)))
        total1 = at_i.add_(at_j * sign.squeeze(2)).unflatten(2, (members, -1)).permute(2, 1, 0, 3)
        of_degree_1, of_degree_2 = total1[:, :3].contiguous(), total1[:, 3:].contiguous()
        return _members_first(total, members), of_degree_1, of_degree_2

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients of what is sent and of the geometry."""
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        both, scalar, moments, weight, weight1, sign = tensors
        sent, sent1 = _by_degree(both, weight)
        grad = _members_last(grad)
        grad1 = torch.cat([x.permute(2, 1, 0, 3) for x in grads], dim=1).flatten(2)
        turned = grad1 * sign.squeeze(2)
        of_sent, of_sent1 = torch.zeros_like(sent), torch.zeros_like(sent1)
        sent1 = sent1.unsqueeze(1)
        of_scalar, of_moments = [], []
        for i, j, of_pairs, moments_of_pairs in _by_blocks(ctx.blocks, scalar, moments):
            w = of_pairs @ weight
            at, by = grad.index_select(0, i), sent.index_select(0, j)
            of_w = at * by
            of_sent.index_add_(0, j, _times(at, w))
            at, by = grad.index_select(0, j), sent.index_select(0, i)
            of_scalar.append(_plus_product(of_w, at, by) @ weight.T)
            of_sent.index_add_(0, i, _times(at, w))
            w = _by_pair(torch.bmm(moments_of_pairs, weight1))
            at, by = grad1.index_select(0, i), sent1.index_select(0, j)
            of_w = at * by
            of_sent1.index_add_(0, j, _times(at, w).sum(1))
            at, by = turned.index_select(0, j), sent1.index_select(0, i)
            of_w = _plus_product(of_w, at, by)
            of_moments.append(torch.bmm(of_w.transpose(0, 1), weight1.mT))
            of_sent1.index_add_(0, i, _times(at, w).sum(1))
        of_both = torch.cat([_members_first(x, len(both)) for x in (of_sent, of_sent1)], dim=2)
        of_geometry = torch.cat(of_scalar), torch.cat(of_moments, dim=1)
        return of_both, *of_geometry, None, None, None, None


def _by_degree(sent: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What is sent for degree 0, [N, M C], and for degrees 1 and 2, [N, M c]."""
    of_degree_0 = weight.shape[1] // len(sent)
    return _members_last(sent[:, :, :of_degree_0]), _members_last(sent[:, :, of_degree_0:])


def _plus_product(total: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The total and x times y; in the total's place unless it is differentiated."""
    return total.addcmul(x, y) if torch.is_grad_enabled() else total.addcmul_(x, y)


def _times(x: Tensor, factor: Tensor) -> Tensor:
    """The product; in the place of x, which is not needed again, unless it is differentiated."""
    return x * factor if torch.is_grad_enabled() else x.mul_(factor)


def _by_pair(x: Tensor) -> Tensor:
    """[8, P, c] -> [P, 8, c], contiguous."""
    return x.transpose(0, 1).contiguous()


def _by_blocks(
    blocks: Blocks, scalar: Tensor, moments: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Atoms i and j of the pairs of each block, and their geometry."""
    i, j = blocks
    size = max(1, len(i[0]))  # without any pair there is one empty block
    return zip(i, j, scalar.split(size), moments.split(size, 1), strict=True)
