"""The calibrated spread finds where a made-up ensemble errs, and by how much."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.evaluation import evaluate
from smoacs.predictors.builtin import load_network
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.network.spread import summary_count
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights, save_weights
from smoacs.training.calibrate import calibrate_file, main
from smoacs.training.data import build_dataset
from smoacs.training.spread import calibration, widths
from smoacs.training.spread.calibration import Evaluated, calibrate, evaluate_ensemble, some_of

FEATURES = 12
FOLDS = 3


def made_up(n, seed, *, log10=False, shrink=1.0):
    """Errors whose size depends on two features; the members agree as they please."""
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(n, FEATURES, generator=rng)
    sigma = shrink * 0.05 * torch.exp(0.8 * features[:, 0] - 0.6 * features[:, 3])
    error = sigma * torch.randn(n, generator=rng)
    truth = torch.rand(n, generator=rng)
    members = 0.02 * torch.rand(n, 1, generator=rng)
    raw = (truth + error)[:, None]
    labels = 10**truth if log10 else truth
    predicted = 10**raw if log10 else raw
    fold = torch.randint(FOLDS, (n,), generator=rng)
    return Evaluated(features, members, raw, predicted, labels[:, None], fold)


@pytest.fixture
def synthetic(monkeypatch):
    monkeypatch.setattr(calibration, "evaluate_ensemble", lambda _, data, __: data)

    def network(*, log10=False):
        limits = {"charm": 5.0} if log10 else {}
        return SimpleNamespace(properties=("charm",), log10=limits)

    return network


@pytest.mark.parametrize("log10", [False, True])
def test_finds_size_and_place_of_the_errors(synthetic, log10):
    train, val = made_up(1500, 1, log10=log10, shrink=0.4), made_up(800, 2, log10=log10)
    head = calibrate(synthetic(log10=log10), train, val)
    test = made_up(4000, 3, log10=log10)
    std = head(test.features, test.members)[:, 0]
    if log10:
        std = std * np.log(10) * 10 ** test.raw[:, 0]
    error = (test.predicted - test.labels)[:, 0].abs()
    assert spearmanr(std, error).statistic > 0.5
    assert spearmanr(test.members[:, 0], error).statistic < 0.1
    assert float((error <= 1.645 * std).float().mean()) == pytest.approx(0.9, abs=0.03)


def test_few_labels_leave_the_members_spread(synthetic):
    head = calibrate(synthetic(), made_up(50, 1), made_up(10, 2))
    test = made_up(30, 3)
    torch.testing.assert_close(head(test.features, test.members), test.members)


def test_with_few_labels_only_values_and_their_doubt_count(synthetic):
    rng = torch.Generator().manual_seed(5)
    features = torch.randn(180, 400, generator=rng)
    sigma = 0.05 * torch.exp(features[:, -1])  # the logarithm of the value
    raw = (sigma * torch.randn(180, generator=rng))[:, None]
    members = torch.full((180, 1), 0.01)
    fold = torch.arange(180) % FOLDS
    val = Evaluated(features, members, raw, raw, torch.zeros(180, 1), fold)
    none = Evaluated(features[:0], members[:0], raw[:0], raw[:0], torch.zeros(0, 1), fold[:0])
    head = calibrate(synthetic(), none, val)
    first = 400 - summary_count(1)
    assert first == 395
    assert (head.weight[:first] == 0).all()
    assert head.weight[-1] > 0.3


def test_missing_labels_are_left_out(synthetic):
    val = made_up(300, 2)
    val.labels[::3] = torch.nan
    head = calibrate(synthetic(), made_up(300, 1), val)
    assert all(tensor.isfinite().all() for tensor in head.state_dict().values())


def test_errors_of_zero_do_no_harm(synthetic):
    val = made_up(400, 2)
    val.labels[:200] = val.predicted[:200]
    head = calibrate(synthetic(), val, val)
    assert (head(val.features, val.members) > 0).all()


@pytest.mark.parametrize("outlier", [100.0, 1000.0])
def test_a_step_that_is_too_long_does_no_harm(outlier):
    """A crystal unlike all others made the exponential overflow in a third of these fits."""
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        features = torch.randn(100, 6, generator=rng)
        features[0] *= outlier
        error = 0.05 * torch.exp(1.5 * torch.randn(100, generator=rng))
        members, trained = torch.full((100,), 1e-3), torch.zeros(100)
        sample = calibration._Labelled(features, members, error, trained, torch.arange(100) % FOLDS)
        fit = calibration._fit([sample], ridge=0.01)
        assert fit.std(sample)[1:].isfinite().all()
        assert fit.weight.any()


def test_a_fit_that_failed_is_not_chosen(synthetic, monkeypatch):
    fit = calibration._fit

    def failing(samples, ridge, first=0):
        found = fit(samples, ridge, first)
        return replace(found, bias=found.bias * torch.nan) if ridge == 0.01 else found

    monkeypatch.setattr(calibration, "_fit", failing)
    head = calibrate(synthetic(), made_up(300, 1), made_up(300, 2))
    assert all(tensor.isfinite().all() for tensor in head.state_dict().values())


@pytest.fixture
def tiny(rows, properties, tmp_path):
    """Untrained weights and data to calibrate them on."""
    settings = NetworkSettings(
        cutoff=3.5, channels=8, moment_channels=4, hidden=8, layers=1, members=2
    )
    network = Network(settings, properties)
    header = WeightsHeader(
        name="tiny",
        settings=settings,
        properties={
            "formation_energy": "eV/atom",
            "band_gap": "eV",
            "energy_above_hull": "eV/atom",
        },
        elements=("O",),
    )
    save_weights(tmp_path / "tiny.safetensors", network, header, torch.tensor([1]))
    table = pd.concat([rows.assign(split=s, kind="relaxed") for s in ("train", "val", "test")])
    table.to_parquet(tmp_path / "whole.parquet")
    return tmp_path


def test_calibrates_a_file(tiny):
    calibrate_file(
        tiny / "tiny.safetensors", [str(tiny / "whole.parquet")], tiny / "better.safetensors"
    )
    network, header, formulas = read_weights(tiny / "better.safetensors")
    assert network.spread is not None
    assert header.domain is not None
    assert header.domain.element_counts["O"] > 0
    assert formulas.tolist() == [1]
    before, _, _ = read_weights(tiny / "tiny.safetensors")
    torch.testing.assert_close(network.embedding, before.embedding)


def test_widening_changes_no_tensor(tiny, monkeypatch):
    whole = str(tiny / "whole.parquet")
    with pytest.raises(InputError, match="no calibrated spread to widen"):
        calibrate_file(tiny / "tiny.safetensors", [whole], tiny / "w.safetensors", only_widen=True)
    calibrate_file(tiny / "tiny.safetensors", [whole], tiny / "a.safetensors")
    monkeypatch.setattr(widths, "LEAST_CRYSTALS", 1)
    calibrate_file(tiny / "a.safetensors", [whole], tiny / "b.safetensors", only_widen=True)
    before, first, _ = read_weights(tiny / "a.safetensors")
    after, second, _ = read_weights(tiny / "b.safetensors")
    tensors = before.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in after.state_dict().items())
    assert first.widening != second.widening
    assert second.widening.factors
    assert second.domain == first.domain


@pytest.mark.parametrize(
    ("data", "out", "words"),
    [("none.parquet", "out.safetensors", "none.parquet"), ("whole.parquet", "out.pt", "must end")],
)
def test_mistakes_on_the_command_line(tiny, monkeypatch, capsys, data, out, words):
    weights = str(tiny / "tiny.safetensors")
    arguments = ["calibrate", weights, str(tiny / data), "--out", str(tiny / out)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_shipped_weights_on_real_crystals(shared_data):
    """Small crystals only, for speed; the benchmark takes them all."""
    table = pd.read_parquet(shared_data / "megnet_mp2018.parquet")
    table = table[table["n_atoms"] <= 8].rename(
        columns={"formation_energy_per_atom": "formation_energy"}
    )
    predictor = load_network("mp2018")
    network = predictor.network
    network.spread = None
    sets = {
        split: build_dataset(
            table[table["split"] == split][:n], network.properties, predictor.cutoff
        )
        for split, n in (("train", 300), ("val", 500), ("test", 400))
    }
    network.spread = calibrate(network, sets["train"], sets["val"])
    test = evaluate_ensemble(network, sets["test"])
    std = network.spread(test.features, test.members)
    error = (test.predicted - test.labels).abs()
    labelled = test.labels.isfinite().any(0)  # these crystals have no moduli
    covered = (error <= 1.645 * std).float().mean(0)[labelled]
    assert ((covered > 0.82) & (covered < 0.97)).all()
    assert spearmanr(std[:, 1], error[:, 1]).statistic > 0.4
    crystals = Crystals(
        species_probs=torch.eye(98)[sets["test"].numbers[:1].astype(int) - 1],
        frac_coords=torch.zeros(1, 3),
        cell=4.0 * torch.eye(3)[None],
        system_idx=torch.zeros(1, dtype=torch.int64),
    )
    assert evaluate(predictor, crystals)["band_gap.std"][0] > 0


def test_some_of_takes_each_property(rows, monkeypatch):
    monkeypatch.setitem(calibration.CRYSTALS, "train", 5)
    table = rows.assign(rare=[1.0 if k == 7 else np.nan for k in range(len(rows))])
    found = some_of(table, "train", ("energy_above_hull", "rare"))
    assert 7 in found.index
    assert 5 <= len(found) <= 6
