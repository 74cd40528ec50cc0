"""Sums of messages over the neighbours of each atom, for a network whose weights stand still.

What torch would keep for the gradient, several arrays of pairs by channels, is most of the memory
of a prediction. Here the gradient works them out again, a block of pairs at a time, so that a large
cell takes little memory and, by the atom, no more time than a small one. The channels of all
members lie side by side: what a pair takes from an atom, or adds to it, is one run of memory. What
a block no longer needs is overwritten, so that few of its arrays have to fit the caches.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from smoacs.predictors.network.harmonics import DEGREES

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


class Pairs(NamedTuple):
    """Pairs of neighbours.

    Attributes:
        scalar: Radial functions of each pair, [P, K].
        moments: The same times each of the eight harmonics, [8, P, k].
        blocks: See `blocks_of`.
    """

    scalar: Tensor
    moments: Tensor
    blocks: Blocks


class Filters(NamedTuple):
    """From radial functions to channels, those of all members side by side.

    Attributes:
        scalar: Of degree 0, [K, M C].
        moments: Of each harmonic of degrees 1 and 2, [8, k, M c].
        sign: Of each harmonic seen from the other atom of a pair, [8, 1].
    """

    scalar: Tensor
    moments: Tensor
    sign: Tensor

    @staticmethod
    def of(*weights: Tensor) -> "Filters":
        """Those of degree 0, [M, K, C], 1 and 2, [M, k, c]."""
        of_degree_0, of_degree_1, of_degree_2 = (_members_last(weight) for weight in weights)
        of_harmonics = [(of_degree_1, of_degree_2)[degree - 1] for degree in DEGREES]
        sign = of_degree_0.new_tensor([[(-1.0) ** degree] for degree in DEGREES])
        return Filters(of_degree_0, torch.stack(of_harmonics), sign)


def message_sums(both: Tensor, pairs: Pairs, filters: Filters) -> tuple[Tensor, Tensor]:
    """Sum the messages that each atom gets along its pairs; without a graph.

    Args:
        both: What each atom sends for degree 0 and, after that, for degrees 1 and 2, [M, N, C + c].
        pairs: Of the atoms.
        filters: From the radial functions.

    Returns:
        Sums of degree 0, [M, N, C], and for each harmonic, [M, 8, N, c].
    """
    weight, weight1, sign = filters
    sent, sent1 = _by_degree(both, weight)
    total = torch.zeros_like(sent)
    at_i, at_j = sent1.new_zeros(2, len(sent1), len(sign), sent1.shape[1])
    sent1 = sent1.unsqueeze(1)
    for i, j, of_pairs, moments_of_pairs in _by_blocks(pairs):
        w = of_pairs @ weight
        total.index_add_(0, i, sent.index_select(0, j).mul_(w))
        total.index_add_(0, j, sent.index_select(0, i).mul_(w))
        w = _by_pair(torch.bmm(moments_of_pairs, weight1))
        at_i.index_add_(0, i, sent1.index_select(0, j) * w)
        at_j.index_add_(0, j, w.mul_(sent1.index_select(0, i)))
    total1 = at_i.add_(at_j.mul_(sign)).unflatten(2, (len(both), -1)).permute(2, 1, 0, 3)
    return _members_first(total, len(both)), total1.contiguous()


def message_gradients(
    both: Tensor,
    grads: tuple[Tensor, Tensor],
    pairs: Pairs,
    filters: Filters,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of what is sent, [M, N, C + c], and of the two arrays of pairs.

    Args:
        both: As `message_sums` takes it; so are all others but the following.
        grads: Of the two sums.
        pairs: As above.
        filters: As above.
    """
    weight, weight1, sign = filters
    sent, sent1 = _by_degree(both, weight)
    grad = _members_last(grads[0])
    grad1 = grads[1].permute(2, 1, 0, 3).flatten(2)
    turned = grad1 * sign
    of_sent, of_sent1 = torch.zeros_like(sent), torch.zeros_like(sent1)
    sent1 = sent1.unsqueeze(1)
    of_scalar, of_moments = [], []
    for i, j, of_pairs, moments_of_pairs in _by_blocks(pairs):
        w = of_pairs @ weight
        at, by = grad.index_select(0, i), sent.index_select(0, j)
        of_w = at * by
        of_sent.index_add_(0, j, at.mul_(w))
        at, by = grad.index_select(0, j), sent.index_select(0, i)
        of_scalar.append(of_w.addcmul_(at, by) @ weight.T)
        of_sent.index_add_(0, i, at.mul_(w))
        w = _by_pair(torch.bmm(moments_of_pairs, weight1))
        at, by = grad1.index_select(0, i), sent1.index_select(0, j)
        of_w = at * by
        of_sent1.index_add_(0, j, at.mul_(w).sum(1))
        at, by = turned.index_select(0, j), sent1.index_select(0, i)
        of_w.addcmul_(at, by)
        of_moments.append(torch.bmm(of_w.transpose(0, 1), weight1.mT))
        of_sent1.index_add_(0, i, at.mul_(w).sum(1))
    of_both = torch.cat([_members_first(x, len(both)) for x in (of_sent, of_sent1)], dim=2)
    return of_both, torch.cat(of_scalar), torch.cat(of_moments, dim=1)


def _members_last(x: Tensor) -> Tensor:
    """[M, n, c] -> [n, M c]."""
    return x.transpose(0, 1).flatten(1)


def _members_first(x: Tensor, members: int) -> Tensor:
    """[n, M c] -> [M, n, c]."""
    found: Tensor = x.unflatten(1, (members, -1)).transpose(0, 1)
    return found


def _by_degree(sent: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What is sent for degree 0, [N, M C], and for degrees 1 and 2, [N, M c]."""
    of_degree_0 = weight.shape[1] // len(sent)
    return _members_last(sent[:, :, :of_degree_0]), _members_last(sent[:, :, of_degree_0:])


def _by_pair(x: Tensor) -> Tensor:
    """[8, P, c] -> [P, 8, c], contiguous."""
    return x.transpose(0, 1).contiguous()


def _by_blocks(pairs: Pairs) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Atoms i and j of the pairs of each block, and their geometry."""
    i, j = pairs.blocks
    size = max(1, len(i[0]))  # without any pair there is one empty block
    return zip(i, j, pairs.scalar.split(size), pairs.moments.split(size, 1), strict=True)
