import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from smoacs.predictors.network import Network
from smoacs.predictors.network.edges import TRAINING_WALL, WALL
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.training.data import Noise, build_dataset, make_batch
from smoacs.training.fitting.evaluation import evaluate, predict_dataset, score
from smoacs.training.fitting.fit import FitSettings, fit
from smoacs.training.fitting.loss import LOSS_TERMS, energy_derivatives
from smoacs.training.start import start_from_composition

CUTOFF = 4.0
SIZES = NetworkSettings(
    cutoff=CUTOFF,
    channels=16,
    moment_channels=4,
    hidden=16,
    layers=1,
    radial=8,
    moment_radial=4,
    attention_heads=1,
)
SETTINGS = FitSettings(
    epochs=40, batch_size=8, warmup=0.05, learning_rate=5e-3, noise=Noise(share=0.0), validations=4
)


def loss_terms(properties):
    return [LOSS_TERMS[name] for name in properties]


@pytest.fixture
def data(rows, properties):
    return build_dataset(rows, properties, CUTOFF)


@pytest.fixture
def terms(properties):
    return [LOSS_TERMS[name] for name in properties]


@pytest.fixture
def network(data, properties, terms):
    torch.manual_seed(0)
    network = Network(SIZES, properties)
    start_from_composition(network, data, terms)
    return network


def same(first, second):
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_short_fit_reduces_the_errors(network, data, terms, properties, tmp_path):
    before = score(evaluate(network, data), properties, terms)
    checkpoint, told = tmp_path / "member.pt", []
    errors = fit(
        network,
        data,
        data,
        terms=terms,
        settings=SETTINGS,
        checkpoint=checkpoint,
        on_progress=told.append,
    )
    assert score(errors, properties, terms) < 0.7 * before
    assert {"formation_energy", "band_gap", "formation_energy_off"} <= set(errors)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    lines = checkpoint.with_suffix(".log").read_text().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[-1]) == errors
    # The network that came back is the one whose errors were told, but for the wall of predictions.
    network.geometry.wall = TRAINING_WALL
    for name, value in evaluate(network, data).items():
        assert errors[name] == pytest.approx(value, abs=1e-5)


def test_layers_are_fitted_under_a_lower_wall_than_that_of_predictions(
    network, data, terms, tmp_path
):
    walls = []

    def told(_: float) -> None:
        walls.append(network.geometry.wall)

    settings = replace(SETTINGS, epochs=1)
    path = tmp_path / "member.pt"
    fit(network, data, data, terms=terms, settings=settings, checkpoint=path, on_progress=told)
    assert set(walls) == {TRAINING_WALL}
    assert network.geometry.wall == WALL
    ratios = torch.linspace(0, 1, 50)
    energies = [wall.strength * torch.relu(wall.onset - ratios) ** 2 for wall in (WALL, *walls[:1])]
    assert (energies[0] >= energies[1]).all()
    assert energies[0][0] > energies[1][0] + 50  # eV


def test_same_seed_same_weights(network, data, terms, tmp_path):
    settings = replace(SETTINGS, epochs=3, noise=Noise(share=0.5))
    twins = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        twin = Network(SIZES, network.properties)
        twin.load_state_dict(network.state_dict())
        chosen = replace(settings, seed=seed)
        fit(twin, data, data, terms=terms, settings=chosen, checkpoint=tmp_path / name)
        twins.append(twin)
    assert same(twins[0], twins[1])
    assert not same(twins[0], twins[2])


class Killed(Exception):  # noqa: N818
    """Ends a fit in the middle."""


def test_fit_goes_on_from_its_checkpoint_as_if_nothing_had_happened(network, data, terms, tmp_path):
    settings = replace(SETTINGS, epochs=6, noise=Noise(share=0.5), checkpoint_seconds=0.0)
    broken, start = Network(SIZES, network.properties), Network(SIZES, network.properties)
    broken.load_state_dict(network.state_dict())
    start.load_state_dict(network.state_dict())
    fit(network, data, data, terms=terms, settings=settings, checkpoint=tmp_path / "whole.pt")

    def kill(progress):
        if progress > 0.5:
            raise Killed

    halves = {"terms": terms, "settings": settings, "checkpoint": tmp_path / "halves.pt"}
    with pytest.raises(Killed):
        fit(broken, data, data, on_progress=kill, **halves)
    fit(start, data, data, **halves)
    assert same(start, network)


def test_start_predicts_from_composition(rows, data, properties, terms):
    network = Network(SIZES, properties)
    with torch.no_grad():  # nothing but the shifts
        for head in (network.site_head, network.pool_head):
            head.second.weight.zero_()
    start_from_composition(network, data, terms)
    relaxed = ~data.off_equilibrium
    labels = data.labels[relaxed, 0]
    error = np.abs(predict_dataset(network, data)[relaxed, 0] - labels).mean()
    assert error < 0.9 * np.abs(labels - labels.mean()).mean()
    assert (network.scale > 0).all()


def test_prediction_does_not_depend_on_the_batch(network, data):
    np.testing.assert_allclose(
        predict_dataset(network, data, 128), predict_dataset(network, data, 3), atol=1e-5
    )


def test_relaxed_crystals_can_be_taught_to_be_at_rest(network, rows, properties, terms, tmp_path):
    # larger cells: no training takes away the repulsion of overlapping atoms
    rows["lattice"] = [[1.3 * x for x in cell[:3]] + cell[3:] for cell in rows["lattice"]]
    data = build_dataset(rows, properties, CUTOFF)
    relaxed = np.flatnonzero(~data.off_equilibrium)

    def pull(net):
        batch = make_batch(data, relaxed, CUTOFF)
        _, forces, stress = energy_derivatives(net, batch, 0)
        return (forces.abs().mean() + stress.abs().mean()).item()

    pulls = []
    for share in (0.0, 1.0):
        fitted = copy.deepcopy(network)
        with torch.no_grad():  # so that forces are far from zero
            fitted.site_head.second.weight *= 30
        settings = replace(
            SETTINGS, epochs=8, rest_share=share, force_weight=1e3, stress_weight=1e3
        )
        checkpoint = tmp_path / f"{share}.pt"
        fit(fitted, data, data, terms=terms, settings=settings, checkpoint=checkpoint)
        pulls.append(pull(fitted))
    assert pulls[1] < 0.7 * pulls[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
def test_compiled_steps_give_the_same_fit(network, data, terms, tmp_path):
    fitted = []
    for compiled in (False, True):
        one = copy.deepcopy(network)
        settings = replace(SETTINGS, epochs=2, mixtures=2, compiled=compiled)
        fit(one, data, data, terms=terms, settings=settings, checkpoint=tmp_path / f"{compiled}.pt")
        fitted.append(predict_dataset(one, data))
    np.testing.assert_allclose(fitted[0], fitted[1], rtol=1e-3, atol=1e-4)
