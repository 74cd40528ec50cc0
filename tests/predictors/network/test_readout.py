"""Kernel readouts in a network: smooth, intensive, bounded, and silent far from their crystals."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from smoacs.crystals import neighbor_list
from smoacs.predictors.builtin import NetworkPredictor
from smoacs.predictors.network import Network
from smoacs.predictors.network.readout import (
    HALF,
    LINEAR,
    SQRT,
    Composition,
    KernelReadout,
    layer_summary,
)
from smoacs.predictors.weights.storage import read_weights, save_weights, stack_members
from smoacs.testing import CHECKS
from smoacs.testing.samples import default_crystals

FORMULAS = torch.tensor([1, 2], dtype=torch.int64)
DESCRIPTORS = 2 * 5 + 2 + 1  # of the composition, and the formation energy
POINTS = 12


def readout_for(settings, form=SQRT, components=6):
    """A random readout whose crystals are near those of the test."""
    generator = torch.Generator().manual_seed(7)
    features = 2 * settings.layers * settings.channels
    members = settings.members
    head = KernelReadout(
        form, (members, features, components), (members, POINTS, DESCRIPTORS)
    ).requires_grad_(requires_grad=False)
    scale = {"project": 0.1, "points": 0.5, "described": 0.5, "weight": 1.0}
    for name, size in scale.items():
        buffer = getattr(head, name)
        buffer.normal_(std=size, generator=generator)
        if name in HALF:
            buffer.copy_(buffer.half().float())
    head.middle.fill_(1.5)
    head.width.fill_(8.0)
    head.prior.fill_(1.2)
    head.unit.fill_(3.0)
    head.high.fill_(4.0)
    return head


def with_readout(settings, form=SQRT, members=2):
    """An ensemble of random networks whose band gap is read out."""
    torch.manual_seed(5)
    settings = dataclasses.replace(settings, members=members)
    network = Network(settings, ("formation_energy", "band_gap"))
    network.read_out = ("band_gap",)
    network.readouts.append(readout_for(settings, form))
    return network


def predictor_of(network, header):
    header = dataclasses.replace(header, settings=network.settings)
    return NetworkPredictor(network, header, FORMULAS)


@pytest.mark.parametrize(
    "name", ["outputs", "batching", "supercell", "gradient", "soft_species", "rotation"]
)
@pytest.mark.parametrize("members", [1, 2])
def test_kit(settings, header, name, members):
    CHECKS[name](predictor_of(with_readout(settings, members=members).double(), header))


@pytest.mark.parametrize("form", [SQRT, LINEAR])
def test_slopes_are_finite_differences(settings, form):
    head = readout_for(settings, form).double()
    features = head.center.shape[2]
    a = torch.randn(settings.members, 3, features, dtype=torch.float64, requires_grad=True)
    b = 1.5 + torch.randn(settings.members, 3, DESCRIPTORS, dtype=torch.float64)
    assert torch.autograd.gradcheck(head, (a, b.requires_grad_()))


def test_one_hot_and_soft_species_meet(settings, header):
    network = with_readout(settings).double()
    predictor = predictor_of(network, header)
    crystals = default_crystals(predictor.elements)
    place = crystals.species_probs.argmax(1)
    hard = F.one_hot(place, crystals.species_probs.shape[1]).to(crystals.species_probs)
    nearly = 0.999999 * hard + 0.000001 / hard.shape[1]
    values = []
    for probs in (hard, nearly):
        near = crystals.replace(species_probs=probs)
        values.append(predictor(near, neighbor_list(near, predictor.cutoff))["band_gap"])
    torch.testing.assert_close(*values, rtol=1e-3, atol=1e-3)


def test_slope_is_finite_for_one_atom_and_equal_atoms():
    h = torch.ones(1, 3, 4, dtype=torch.float64, requires_grad=True)
    summary = layer_summary([h], torch.tensor([0, 1, 1]), torch.tensor([1, 2]))
    assert summary.shape == (1, 2, 8)
    (slope,) = torch.autograd.grad(summary.sum(), h)
    assert slope.isfinite().all()
    shares = torch.zeros(1, 98, dtype=torch.float64)
    shares[0, 10] = 1.0
    shares.requires_grad_()
    out = Composition()(shares, torch.tensor([20.0], dtype=torch.float64))
    (slope,) = torch.autograd.grad(out.sum(), shares)
    assert slope.isfinite().all()


def test_far_away_the_prior_is_left(settings):
    head = readout_for(settings)
    shape = (settings.members, 5, head.center.shape[2])
    far = head(torch.full(shape, 1e6), torch.full((settings.members, 5, DESCRIPTORS), -1e6))
    torch.testing.assert_close(far, torch.full_like(far, 3.0 * 1.2**2), rtol=1e-3, atol=0)


def test_never_negative_and_bounded(settings):
    head = readout_for(settings).double()
    latent = torch.linspace(-1.5, 50, 200, dtype=torch.float64, requires_grad=True)
    values = head.value(latent)
    assert values.min() >= 0
    assert values.max() <= 3.0 * 4.0**2 * (1 + 1e-6)
    (slope,) = torch.autograd.grad(values.sum(), latent)
    assert (slope[latent < 3.5] > 0).all()  # nothing is flat below the range of the labels


def test_weights_file_keeps_the_readout(tmp_path, settings, header):
    network = with_readout(settings)
    header = dataclasses.replace(header, settings=network.settings, readouts={"band_gap": SQRT})
    save_weights(tmp_path / "w.safetensors", network, header, FORMULAS)
    again, found, _ = read_weights(tmp_path / "w.safetensors")
    assert found.readouts == {"band_gap": SQRT}
    crystals = default_crystals(frozenset(header.elements)).to("cpu", torch.float32)
    neighbors = neighbor_list(crystals, header.settings.cutoff)
    torch.testing.assert_close(
        again(crystals, neighbors), network(crystals, neighbors), rtol=0, atol=0
    )
    assert again.readouts[0].points.dtype == torch.float32


def test_the_other_properties_do_not_change(settings, header):
    network = with_readout(settings)
    crystals = default_crystals(frozenset(header.elements)).to("cpu", torch.float32)
    neighbors = neighbor_list(crystals, header.settings.cutoff)
    with_it = network(crystals, neighbors)
    network.readouts = torch.nn.ModuleList()
    without = network(crystals, neighbors)
    assert torch.equal(with_it[:, :, 0], without[:, :, 0])
    assert not torch.allclose(with_it[:, :, 1], without[:, :, 1])


def test_stacked_members_have_none(settings):
    network = with_readout(settings, members=1)
    assert len(stack_members([network, network]).readouts) == 0


def test_unknown_form():
    with pytest.raises(ValueError, match="not 'cubic'"):
        KernelReadout("cubic", (1, 4, 2), (1, 3, 2))
