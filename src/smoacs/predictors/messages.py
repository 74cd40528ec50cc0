"""Sums of messages over the neighbours of each atom, for a network whose weights stand still.

What torch would keep for the gradient, several arrays of pairs by channels, is most of the memory
of a prediction. Here the gradient works them out again, a block of pairs at a time, so that a large
cell takes little memory and, by the atom, no more time than a small one.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

FEW_PAIRS = 1000
"""Up to so many, what torch keeps stays in the caches, and to work it out again does not pay."""

PAIRS_PER_BLOCK = 4096
"""Pairs treated together on a CPU: few enough for the caches."""

PAIRS_PER_BLOCK_GPU = 250_000


def frozen_messages(
    sent: tuple[Tensor, Tensor],
    pairs: tuple[Tensor, Tensor, Tensor],
    weights: tuple[Tensor, Tensor, Tensor],
    sign: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum the messages that each atom gets along its pairs.

    Differentiable, twice, in what is sent and in the geometry, but not in the weights.

    Args:
        sent: What each atom sends for degree 0, [M, N, C], and for degrees 1 and 2, [M, N, c].
        pairs: Radial functions of each pair, [P, K]; the same times each of the eight harmonics,
            [8, P, k]; and the atoms i <= j, [2, P].
        weights: From radial functions to channels, for degree 0, [M, K, C], 1 and 2, [M, k, c].
        sign: Of each harmonic seen from the other atom, [8, 1, 1].

    Returns:
        Sums of degree 0, [M, N, C], and for each harmonic, [M, 8, N, c].
    """
    of_harmonics = torch.stack([weights[1]] * 3 + [weights[2]] * 5, dim=1)
    sums: tuple[Tensor, Tensor] = _Messages.apply(  # type: ignore[no-untyped-call]  # torch: typed in part
        *sent, *pairs, weights[0], of_harmonics, sign
    )
    return sums


class _Messages(torch.autograd.Function):
    """The sums and their gradient; what the tensors are, `frozen_messages` says."""

    @staticmethod
    def forward(ctx: FunctionCtx, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the messages."""
        ctx.save_for_backward(*tensors)
        sent, sent1, scalar, moments, index, weight, weight1, sign = tensors
        total = torch.zeros_like(sent)
        total1 = sent1.new_zeros(len(sent1), len(sign), *sent1.shape[1:])
        for pairs in _blocks(index):
            i, j = index[:, pairs]
            by_i, by_j = sent.index_select(1, i), sent.index_select(1, j)
            w = scalar[pairs] @ weight
            total.index_add_(1, i, w * by_j).index_add_(1, j, w * by_i)
            by_i, by_j = (sent1.index_select(1, k).unsqueeze(1) for k in (i, j))
            w1 = moments[:, pairs] @ weight1
            total1.index_add_(2, i, w1 * by_j).index_add_(2, j, w1 * sign * by_i)
        return total, total1

    @staticmethod
    def backward(ctx: BackwardCFunction, grad: Tensor, grad1: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what is sent and of the geometry."""
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        sent, sent1, scalar, moments, index, weight, weight1, sign = tensors
        of_sent, of_sent1 = torch.zeros_like(sent), torch.zeros_like(sent1)
        of_scalar, of_moments = [], []
        for pairs in _blocks(index):
            i, j = index[:, pairs]
            by_i, by_j = sent.index_select(1, i), sent.index_select(1, j)
            w = scalar[pairs] @ weight
            at_i, at_j = grad.index_select(1, i), grad.index_select(1, j)
            of_sent.index_add_(1, j, w * at_i).index_add_(1, i, w * at_j)
            of_scalar.append(((at_i * by_j + at_j * by_i) @ weight.mT).sum(0))
            by_i, by_j = (sent1.index_select(1, k).unsqueeze(1) for k in (i, j))
            w1 = moments[:, pairs] @ weight1
            at_i, at_j = grad1.index_select(2, i), grad1.index_select(2, j) * sign
            of_sent1.index_add_(1, j, (w1 * at_i).sum(1)).index_add_(1, i, (w1 * at_j).sum(1))
            of_moments.append(((at_i * by_j + at_j * by_i) @ weight1.mT).sum(0))
        of_geometry = torch.cat(of_scalar), torch.cat(of_moments, dim=1)
        return of_sent, of_sent1, *of_geometry, None, None, None, None


def _blocks(index: Tensor) -> Iterator[slice]:
    """Pairs, [2, P], in blocks; at least one."""
    size = PAIRS_PER_BLOCK if index.device.type == "cpu" else PAIRS_PER_BLOCK_GPU
    for start in range(0, max(1, index.shape[1]), size):
        yield slice(start, start + size)
