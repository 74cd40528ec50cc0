"""The interaction of weights that stand still, against the one that torch differentiates."""

import copy
from dataclasses import replace

import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.network import Network, messages
from smoacs.predictors.weights.storage import stack_members
from toys import random_structures

CUTOFF = 5.0


def layer_and_inputs(settings, counts=(4, 3), *, normalise=True):
    """A layer of two members in double precision, features of the atoms, and their geometry."""
    torch.manual_seed(2)
    members = [
        Network(replace(settings, normalise_messages=normalise), ("band_gap",)) for _ in range(2)
    ]
    network = stack_members(members).double().requires_grad_(requires_grad=False)
    crystals = Crystals.from_structures(random_structures(0, counts))
    geometry = network.geometry(crystals, neighbor_list(crystals, CUTOFF))
    h = torch.randn(2, crystals.n_atoms, settings.channels, dtype=torch.float64)
    return network.interactions[0], h, geometry


def with_leaves(h, geometry):
    """The same as leaves of a graph; features, geometry, and all three leaves."""
    leaves = [x.detach().clone().requires_grad_() for x in (h, geometry.scalar, geometry.moments)]
    return leaves[0], replace(geometry, scalar=leaves[1], moments=leaves[2]), leaves


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("counts", [(4, 3), (1,)])
def test_values_and_gradients(settings, monkeypatch, counts, normalise):
    monkeypatch.setattr(messages, "PAIRS_PER_BLOCK", 5)
    layer, *inputs = layer_and_inputs(settings, counts, normalise=normalise)
    known = copy.deepcopy(layer).requires_grad_()
    found = []
    for way in (layer, known):
        h, geometry, leaves = with_leaves(*inputs)
        out = way(h, geometry)
        # The second gradient of the same graph tells that the first has overwritten nothing.
        grads = [
            torch.autograd.grad(f(out).sum(), leaves, retain_graph=True)
            for f in (torch.sin, torch.exp)
        ]
        found.append((out.detach(), grads))
    torch.testing.assert_close(*found)
    assert min(float(grad.abs().max()) for grad in found[0][1][0]) > 1e-3


def test_an_atom_without_neighbours(settings):
    torch.manual_seed(2)
    network = Network(settings, ("band_gap",)).double().requires_grad_(requires_grad=False)
    lone = Structure(Lattice.cubic(20), ["Na"], [[0, 0, 0]])
    crystals = Crystals.from_structures([lone])
    geometry = network.geometry(crystals, neighbor_list(crystals, CUTOFF))
    layer, known = network.interactions[0], copy.deepcopy(network.interactions[0]).requires_grad_()
    h = torch.randn(1, 1, settings.channels, dtype=torch.float64)
    found = []
    for way in (layer, known):
        h, inputs, leaves = with_leaves(h, geometry)
        out = way(h, inputs)
        found.append((out.detach(), torch.autograd.grad(out.sin().sum(), leaves)))
    torch.testing.assert_close(*found)
    assert found[0][1][1].shape == (0, settings.radial)


def test_network_is_the_same_by_either_way(network, monkeypatch):
    monkeypatch.setattr(messages, "PAIRS_PER_BLOCK", 5)
    crystals = Crystals.from_structures(random_structures(0, (4, 3)))
    neighbors = neighbor_list(crystals, CUTOFF)
    network = copy.deepcopy(network).double()
    leaves = [t.requires_grad_() for t in (crystals.species_probs, crystals.frac_coords)]
    found = []
    for learns in (False, True):
        values = network.requires_grad_(learns)(crystals, neighbors)
        grads = torch.autograd.grad(values.sin().sum(), leaves, retain_graph=True)
        found.append((values.detach(), *grads))
    torch.testing.assert_close(*found)
    assert min(float(part.abs().max()) for part in found[0]) > 1e-3
    slopes = torch.autograd.grad(values.sum(), list(network.interactions.parameters()))
    assert all(slope.any() for slope in slopes)


def test_weights_that_are_learnt_get_gradients(settings):
    layer, h, geometry = layer_and_inputs(settings)
    layer.mix1.weight.requires_grad_()
    out = layer(h, geometry)
    assert torch.autograd.grad(out.sin().sum(), layer.mix1.weight)[0].any()


def test_weights_that_changed_are_used(settings):
    layer, h, geometry = layer_and_inputs(settings)
    before = layer(h, geometry)
    for parameter in layer.parameters():
        parameter.mul_(1.1)
    after = layer(h, geometry)
    torch.testing.assert_close(after, copy.deepcopy(layer).requires_grad_()(h, geometry).detach())
    assert not torch.allclose(before, after)


def test_second_derivatives(settings):
    layer, h, geometry = layer_and_inputs(replace(settings, channels=4, hidden=4), (2,))

    def update(h, scalar, moments):
        return layer(h, replace(geometry, scalar=scalar, moments=moments))

    _, _, leaves = with_leaves(h, geometry)
    assert torch.autograd.gradgradcheck(update, leaves, fast_mode=True)
    # Of the features alone, too: a search among elements needs no gradient of the geometry.
    assert torch.autograd.gradgradcheck(lambda h: layer(h, geometry), leaves[:1], fast_mode=True)


def test_single_node_in_the_graph(settings):
    layer, *inputs = layer_and_inputs(settings)
    h, geometry, leaves = with_leaves(*inputs)
    found = layer(h, geometry)  # older versions of torch forget the graph of what nobody holds
    nodes = [node for node, _ in found.grad_fn.next_functions if node is not None]
    assert {node.variable for node in nodes} == set(leaves)
