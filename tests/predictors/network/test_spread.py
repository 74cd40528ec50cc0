import dataclasses
import math

import pytest
import torch

from smoacs.crystals import neighbor_list
from smoacs.predictors.builtin import NetworkPredictor
from smoacs.predictors.domain import TrainingDomain
from smoacs.predictors.network import Network, power_of_ten
from smoacs.predictors.network.spread import (
    SpreadHead,
    between,
    feature_count,
    member_spread,
    slope_of_power,
)
from smoacs.predictors.weights.storage import read_weights, save_weights, stack_members
from smoacs.testing import CHECKS
from smoacs.testing.samples import default_crystals

FORMULAS = torch.tensor([1, 2], dtype=torch.int64)


def with_spread(settings, log10=None, members=2):
    """An ensemble of random networks with a random spread."""
    torch.manual_seed(5)
    settings = dataclasses.replace(settings, members=members)
    network = Network(settings, ("formation_energy", "band_gap"), log10)
    width = settings.channels + settings.attention_heads
    head = SpreadHead(feature_count(members, width, 98, 2), 2)
    with torch.no_grad():
        head.weight.normal_(std=0.05)
        head.low.fill_(-4.0)
        head.high.fill_(2.0)
        head.floor.fill_(0.01)
    network.spread = head
    return network


def predictor_of(network, header):
    header = dataclasses.replace(header, settings=network.settings)
    return NetworkPredictor(network, header, FORMULAS)


@pytest.mark.parametrize("name", ["outputs", "batching", "supercell", "gradient"])
@pytest.mark.parametrize("members", [1, 2])
def test_kit(settings, header, name, members):
    CHECKS[name](predictor_of(with_spread(settings, members=members).double(), header))


def test_spread_follows_soft_species(settings, header):
    predictor = predictor_of(with_spread(settings).double(), header)
    crystals = default_crystals(predictor.elements)
    probs = crystals.species_probs.clone().requires_grad_()
    soft = crystals.replace(species_probs=probs)
    out = predictor(soft, neighbor_list(soft, predictor.cutoff))
    (slope,) = torch.autograd.grad(out["band_gap.std"].sum(), probs)
    assert slope.isfinite().all()
    assert slope.abs().max() > 1e-4


def test_logarithms_come_in_the_unit(settings, header):
    network = with_spread(settings, {"band_gap": 1.0}).double()
    predictor = predictor_of(network, header)
    crystals = default_crystals(predictor.elements)
    neighbors = neighbor_list(crystals, predictor.cutoff)
    raw, pooled = network.raw_and_pooled(crystals, neighbors)
    decades = network.spread(network.features_of(raw, pooled, crystals), member_spread(raw))[:, 1]
    slope = slope_of_power(raw.mean(0)[:, 1], 1.0)
    torch.testing.assert_close(predictor(crystals, neighbors)["band_gap.std"], slope * decades)


def test_slope_is_that_of_the_power():
    x = torch.linspace(-2, 4, 25, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(power_of_ten(x, 2.1).sum(), x)
    torch.testing.assert_close(slope_of_power(x.detach(), 2.1), slope)


def test_between_keeps_order_and_range():
    x = torch.linspace(-10, 10, 400, dtype=torch.float64)
    y = between(x, torch.tensor(-2.0), torch.tensor(1.0))
    assert (y.diff() >= 0).all()
    assert y.min() >= -2.0
    assert y.max() <= 1.0 + 1e-6
    inside = (x > -1.2) & (x < 0.2)
    assert (y - x)[inside].abs().max() < 1e-3


def test_far_from_the_data_the_members_count(settings):
    head = with_spread(settings).spread
    features = torch.full((1, head.weight.shape[0]), 1e6)
    near, far = (head(features, torch.full((1, 2), s)) for s in (0.1, 50.0))
    assert near.max() < 10
    assert (far > 49).all()


def test_rescale(settings):
    head = with_spread(settings).spread
    features, members = torch.randn(7, head.weight.shape[0]), torch.rand(7, 2)
    before = head(features, members)
    head.rescale(torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(head(features, members), before * torch.tensor([2.0, 0.5]))


def test_weights_file_keeps_spread_and_domain(tmp_path, settings, header):
    network = with_spread(settings)
    domain = TrainingDomain(element_counts={"O": 3}, ranges={"density": (1.0, 9.5)})
    header = dataclasses.replace(header, settings=network.settings, domain=domain)
    save_weights(tmp_path / "w.safetensors", network, header, FORMULAS)
    again, read, _ = read_weights(tmp_path / "w.safetensors")
    assert read.domain == domain
    assert again.spread is not None
    for name, tensor in network.spread.state_dict().items():
        torch.testing.assert_close(again.spread.state_dict()[name], tensor)


def test_spread_of_an_earlier_version_is_left_out(tmp_path, settings, header, caplog):
    network = with_spread(settings)
    values = predictor_of(network, header)
    weight = network.spread.weight
    network.spread = SpreadHead(len(weight) - 2, 2)
    path = tmp_path / "w.safetensors"
    save_weights(path, network, dataclasses.replace(header, settings=network.settings), FORMULAS)
    again, _, _ = read_weights(path)
    assert again.spread is None
    assert str(path) in caplog.text
    assert "smoacs.training.calibrate" in caplog.text
    crystals = default_crystals(values.elements)
    neighbors = neighbor_list(crystals, values.cutoff)
    found = predictor_of(again, header)(crystals, neighbors)
    assert found["band_gap.std"].isfinite().all()


def test_stacked_members_are_not_calibrated(settings):
    stacked = stack_members([with_spread(settings), with_spread(settings)])
    assert stacked.spread is None
    assert stacked.settings.members == 4


def test_without_calibration_the_members_spread(network, header):
    torch.manual_seed(0)
    other = Network(network.settings, network.properties)
    other.scale.copy_(network.scale)
    ensemble = stack_members([network, other])
    predictor = predictor_of(ensemble, header)
    crystals = default_crystals(predictor.elements)
    neighbors = neighbor_list(crystals, predictor.cutoff)
    values = ensemble(crystals.to("cpu", torch.float32), neighbors)
    out = predictor(crystals, neighbors)["band_gap.std"]
    torch.testing.assert_close(out, values.std(0)[:, 1])
    assert math.isfinite(float(out[0]))
