"""The sums of messages and their gradients, against a plain loop over pairs."""

import pytest
import torch

from smoacs.predictors.network import messages
from smoacs.predictors.network.messages import (
    Filters,
    Pairs,
    blocks_of,
    message_gradients,
    message_sums,
)


def inputs(n_pairs, members=2, n_atoms=5):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sent = random(members, n_atoms, 4 + 3)
    index = torch.randint(n_atoms, (2, n_pairs), generator=generator).sort(0).values
    pairs = random(n_pairs, 3), random(8, n_pairs, 2)
    weights = random(members, 3, 4), random(members, 2, 3), random(members, 2, 3)
    return sent, pairs, index, weights


def pair_by_pair(sent, pairs, index, weights):
    scalar, moments = pairs
    sent = sent.split([4, 3], dim=2)
    total = 0 * sent[0]
    total1 = 0 * torch.stack([sent[1]] * 8, dim=1)
    for p, (i, j) in enumerate(index.T.tolist()):
        w = scalar[p] @ weights[0]
        total[:, i] += w * sent[0][:, j]
        total[:, j] += w * sent[0][:, i]
        for k in range(8):
            w1 = moments[k, p] @ weights[1 if k < 3 else 2]
            total1[:, k, i] += w1 * sent[1][:, j]
            total1[:, k, j] += (-1.0 if k < 3 else 1.0) * w1 * sent[1][:, i]
    return total, total1


@pytest.mark.parametrize("block", [4, 100])
@pytest.mark.parametrize("n_pairs", [11, 1, 0])
def test_sums_and_gradients(monkeypatch, block, n_pairs):
    monkeypatch.setattr(messages, "PAIRS_PER_BLOCK", block)
    sent, pairs, index, weights = inputs(n_pairs)
    leaves = [tensor.requires_grad_() for tensor in (sent, *pairs)]
    expected = pair_by_pair(sent, pairs, index, weights)
    ours = Pairs(*pairs, blocks_of(index)), Filters.of(*weights)
    with torch.no_grad():
        found = message_sums(sent, *ours)
        torch.testing.assert_close(found, expected)
        slopes = tuple(total.cos() for total in found)
        grads = message_gradients(sent, slopes, *ours)
    known = torch.autograd.grad(
        [total.sin().sum() for total in expected], leaves, materialize_grads=True
    )
    torch.testing.assert_close(grads, known)
    assert n_pairs == 0 or min(float(grad.abs().max()) for grad in grads) > 0.1
