"""Sums of messages over the neighbours of each atom, for a network whose weights stand still.

What torch would keep for the gradient, several arrays of pairs by channels, is most of the memory
of a prediction. Here the gradient works them out again, a block of pairs at a time, so that a large
cell takes little memory and, by the atom, no more time than a small one. The channels of all
members lie side by side: what a pair takes from an atom, or adds to it, is one run of memory.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

FEW_PAIRS = 100
"""Up to so many, to work it out again takes longer than to keep it."""

PAIRS_PER_BLOCK = 512
"""Pairs treated together on a CPU: few enough for the caches, and for arrays that the C library
takes from memory it holds. Larger ones come from the system page by page, every time anew, which
can take longer than the sums."""

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
    weight, *others = (_members_last(weight) for weight in weights)
    of_harmonics = torch.stack([others[0]] * 3 + [others[1]] * 5)
    total: Tensor
    total1: Tensor
    total, total1 = _Messages.apply(  # type: ignore[no-untyped-call]  # torch: typed in part
        *(_members_last(x) for x in sent), *pairs, weight, of_harmonics, sign
    )
    members = len(sent[0])
    return (
        total.unflatten(1, (members, -1)).transpose(0, 1),
        total1.unflatten(2, (members, -1)).permute(2, 1, 0, 3),
    )


def _members_last(x: Tensor) -> Tensor:
    """[M, n, c] -> [n, M c]."""
    return x.transpose(0, 1).flatten(1)


class _Messages(torch.autograd.Function):
    """The sums, [N, M C] and [N, 8, M c], and their gradient; all members side by side."""

    @staticmethod
    def forward(ctx: FunctionCtx, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the messages."""
        ctx.save_for_backward(*tensors)
        sent, sent1, scalar, moments, index, weight, weight1, sign = tensors
        total = torch.zeros_like(sent)
        at_i, at_j = sent1.new_zeros(2, len(sent1), len(sign), sent1.shape[1])
        for pairs in _blocks(index):
            i, j = index[:, pairs]
            by_i, by_j = _rows(sent, i, j)
            w = scalar[pairs] @ weight
            total.index_add_(0, i, w * by_j).index_add_(0, j, w * by_i)
            by_i, by_j = _rows(sent1.unsqueeze(1), i, j)
            w = _by_pair(moments[:, pairs] @ weight1)
            at_i.index_add_(0, i, w * by_j)
            at_j.index_add_(0, j, w * by_i)
        return total, at_i.add_(at_j * sign.squeeze(2))

    @staticmethod
    def backward(ctx: BackwardCFunction, grad: Tensor, grad1: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what is sent and of the geometry."""
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        sent, sent1, scalar, moments, index, weight, weight1, sign = tensors
        grad1 = grad1.contiguous()
        turned = grad1 * sign.squeeze(2)
        of_sent, of_sent1 = torch.zeros_like(sent), torch.zeros_like(sent1)
        of_scalar, of_moments = [], []
        for pairs in _blocks(index):
            i, j = index[:, pairs]
            by_i, by_j = _rows(sent, i, j)
            at_i, at_j = _rows(grad, i, j)
            w = scalar[pairs] @ weight
            of_sent.index_add_(0, j, w * at_i).index_add_(0, i, w * at_j)
            of_scalar.append(torch.addcmul(at_i * by_j, at_j, by_i) @ weight.T)
            by_i, by_j = _rows(sent1.unsqueeze(1), i, j)
            at_i, at_j = grad1.index_select(0, i), turned.index_select(0, j)
            w = _by_pair(moments[:, pairs] @ weight1)
            of_sent1.index_add_(0, j, (w * at_i).sum(1)).index_add_(0, i, (w * at_j).sum(1))
            of_w = torch.addcmul(at_i * by_j, at_j, by_i)
            of_moments.append(of_w.transpose(0, 1) @ weight1.mT)
        of_geometry = torch.cat(of_scalar), torch.cat(of_moments, dim=1)
        return of_sent, of_sent1, *of_geometry, None, None, None, None


def _rows(x: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    """Those of the atoms i, and of the atoms j."""
    return x.index_select(0, i), x.index_select(0, j)


def _by_pair(x: Tensor) -> Tensor:
    """[8, P, c] -> [P, 8, c], contiguous."""
    return x.transpose(0, 1).contiguous()


def _blocks(index: Tensor) -> Iterator[slice]:
    """Pairs, [2, P], in blocks of like sizes; at least one."""
    most = PAIRS_PER_BLOCK if index.device.type == "cpu" else PAIRS_PER_BLOCK_GPU
    n_pairs = index.shape[1]
    size = max(1, math.ceil(n_pairs / max(1, math.ceil(n_pairs / most))))
    for start in range(0, max(1, n_pairs), size):
        yield slice(start, start + size)
