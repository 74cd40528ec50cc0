"""The sums of messages, against a plain loop over pairs and torch's own gradients."""

import copy

import pytest
import torch

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors import messages
from smoacs.predictors import network as network_module
from smoacs.predictors.messages import blocks_of, frozen_messages, side_by_side
from toys import random_structures

SIGN = torch.tensor([-1.0] * 3 + [1.0] * 5).double()[:, None, None]


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
    total = torch.zeros_like(sent[0])
    total1 = torch.zeros(len(total), 8, *sent[1].shape[1:]).double()
    for p, (i, j) in enumerate(index.T.tolist()):
        w = scalar[p] @ weights[0]
        total[:, i] += w * sent[0][:, j]
        total[:, j] += w * sent[0][:, i]
        for k in range(8):
            w1 = moments[k, p] @ weights[1 if k < 3 else 2]
            total1[:, k, i] += w1 * sent[1][:, j]
            total1[:, k, j] += SIGN[k, 0, 0] * w1 * sent[1][:, i]
    return total, total1[:, :3], total1[:, 3:]


@pytest.mark.parametrize("block", [4, 100])
def test_sums_and_gradients(monkeypatch, block):
    monkeypatch.setattr(messages, "PAIRS_PER_BLOCK", block)
    sent, pairs, index, weights = inputs(11)
    leaves = [tensor.requires_grad_() for tensor in (sent, *pairs)]
    found = frozen_messages(sent, pairs, blocks_of(index), side_by_side(*weights), sign=SIGN)
    expected = pair_by_pair(sent, pairs, index, weights)
    ours, theirs = (
        torch.autograd.grad([s.sin().sum() for s in sums], leaves) for sums in (found, expected)
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours, theirs)
    assert min(float(grad.abs().max()) for grad in ours) > 0.1


def test_second_gradients():
    sent, pairs, index, weights = inputs(3, members=1, n_atoms=2)
    leaves = tuple(tensor.requires_grad_() for tensor in (sent, *pairs))

    def sums(sent, scalar, moments):
        return frozen_messages(
            sent, (scalar, moments), blocks_of(index), side_by_side(*weights), sign=SIGN
        )

    assert torch.autograd.gradgradcheck(sums, leaves)


def test_no_pairs():
    sent, pairs, index, weights = inputs(0)
    leaves = [tensor.requires_grad_() for tensor in (sent, *pairs)]
    found = frozen_messages(sent, pairs, blocks_of(index), side_by_side(*weights), sign=SIGN)
    assert not any(sums.any() for sums in found)
    grads = torch.autograd.grad(sum(sums.sum() for sums in found), leaves)
    assert [grad.shape for grad in grads] == [leaf.shape for leaf in leaves]


def test_network_is_the_same_by_either_way(network, monkeypatch):
    crystals = Crystals.from_structures(random_structures(0, (4, 3)))
    neighbors = neighbor_list(crystals, 5.0)
    monkeypatch.setattr(messages, "PAIRS_PER_BLOCK", 5)
    network = copy.deepcopy(network).double()
    leaves = [t.requires_grad_() for t in (crystals.species_probs, crystals.frac_coords)]
    found = []
    for few in (10**6, 0):
        monkeypatch.setattr(network_module, "FEW_PAIRS", few)
        values = network.requires_grad_(requires_grad=False)(crystals, neighbors)
        found.append((values, *torch.autograd.grad(values.sin().sum(), leaves)))
    torch.testing.assert_close(*found)
    assert min(float(part.detach().abs().max()) for part in found[0]) > 1e-3
    taught = network.requires_grad_()(crystals, neighbors)
    slopes = torch.autograd.grad(taught.sum(), list(network.interactions.parameters()))
    assert all(slope.any() for slope in slopes)
