"""Readouts fitted to a finished trunk: by `fit_readouts`, on weights, by `smoacs train`."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from smoacs.cli import run
from smoacs.errors import InputError
from smoacs.predictors.builtin import formula_hash
from smoacs.predictors.network import Network
from smoacs.predictors.network.readout import LINEAR, SQRT
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights, save_weights
from smoacs.training.calibrate import calibrate_file
from smoacs.training.config import TrainConfig
from smoacs.training.data import build_dataset
from smoacs.training.fitting.evaluation import evaluate, predict_dataset
from smoacs.training.fitting.fit import FitSettings, fit
from smoacs.training.fitting.loss import LossTerm
from smoacs.training.spread import calibration
from smoacs.training.spread.readout import fit_readouts, form_of

SIZES = NetworkSettings(cutoff=3.5, channels=8, moment_channels=4, hidden=8, layers=2, members=2)
TEMPERATURE = "critical_temperature"
NAMES = ("formation_energy", TEMPERATURE)


@pytest.fixture
def table(rows):
    """Sixty crystals with a temperature that the composition tells."""
    more = pd.concat([rows, rows.assign(lattice=[[6.0, 6.0, 6.0, 90, 90, 90]] * len(rows))])
    heavy = [float(np.mean(numbers)) for numbers in more["numbers"]]
    split = (["train"] * 20 + ["val"] * 5 + ["test"] * 5) * 2
    return more.assign(
        formation_energy=more["formation_energy_per_atom"],
        critical_temperature=np.square(heavy) / 20,
        kind="relaxed",
        split=split,
        formula=[f"made up {k}" for k in range(60)],
    ).reset_index(drop=True)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(SIZES, NAMES).requires_grad_(requires_grad=False)


def test_learns_and_holds_out(network, table):
    held_out = fit_readouts(network, table, [TEMPERATURE])[TEMPERATURE]
    assert network.readouts[0].form == SQRT
    known = table[table["split"] != "test"]
    assert held_out.index.equals(known.index)
    label = known[TEMPERATURE].to_numpy()
    guess = np.abs(label - np.median(label)).mean()
    honest = np.abs(held_out.to_numpy().mean(1) - label).mean()
    fitted = predict_dataset(network, build_dataset(known, NAMES, SIZES.cutoff))[:, 1]
    assert np.abs(fitted - label).mean() < honest < 0.6 * guess
    test = table[table["split"] == "test"]
    predicted = predict_dataset(network, build_dataset(test, NAMES, SIZES.cutoff))[:, 1]
    assert np.abs(predicted - test[TEMPERATURE]).mean() < 0.6 * guess


def test_labels_of_the_test_play_no_part(network, table):
    first = fit_readouts(network, table, [TEMPERATURE])[TEMPERATURE]
    table.loc[table["split"] == "test", TEMPERATURE] = 1e6
    pd.testing.assert_frame_equal(fit_readouts(network, table, [TEMPERATURE])[TEMPERATURE], first)


def test_forms():
    assert form_of(TEMPERATURE, {}) == SQRT
    assert form_of("formation_energy", {}) == LINEAR
    assert form_of("bulk_modulus", {"bulk_modulus": 3.0}) == LINEAR


def test_a_logarithm_is_read_out_as_such(table):
    torch.manual_seed(0)
    network = Network(SIZES, ("formation_energy", "bulk_modulus"), {"bulk_modulus": 3.0})
    table["bulk_modulus"] = 10 ** table[TEMPERATURE].clip(0, 3)
    fit_readouts(network, table, ["bulk_modulus"])
    data = build_dataset(table, network.properties, SIZES.cutoff)
    predicted = predict_dataset(network, data)[:, 1]
    assert np.corrcoef(np.log10(predicted), np.log10(data.labels[:, 1]))[0, 1] > 0.8


def test_what_cannot_be_read_out(network, table):
    with pytest.raises(InputError, match="no property 'charm'"):
        fit_readouts(network, table, ["charm"])
    with pytest.raises(InputError, match=r"has 8 labels .* at least 20"):
        fit_readouts(network, table[:8], [TEMPERATURE])


def test_spread_is_calibrated_on_what_was_held_out(network, table, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_CRYSTALS", 5)
    header = WeightsHeader(
        name="tiny",
        settings=SIZES,
        properties={"formation_energy": "eV/atom", TEMPERATURE: "K"},
        elements=("O",),
    )
    held_out = fit_readouts(network, table, [TEMPERATURE])
    rows = table[table["split"] == "val"]
    data = build_dataset(rows, NAMES, SIZES.cutoff)
    honest = torch.from_numpy(held_out[TEMPERATURE].loc[rows.index].to_numpy(copy=True))
    found = calibration.evaluate_ensemble(network, data, {1: honest})
    order = np.argsort(data.n_atoms, kind="stable")
    torch.testing.assert_close(found.predicted[:, 1].double(), honest.mean(1)[order])
    calibration.finish_ensemble(network, header, table, held_out)
    error = (found.predicted - found.labels)[:, 1].abs()
    std = network.spread(found.features, found.members)[:, 1]
    assert 0.5 <= float((error <= 1.645 * std).float().mean()) <= 1


def test_readout_for_weights_that_are_there(network, table, tmp_path):
    header = WeightsHeader(
        name="tiny",
        settings=SIZES,
        properties={"formation_energy": "eV/atom", TEMPERATURE: "K"},
        elements=("O",),
    )
    table.to_parquet(tmp_path / "all.parquet")
    save_weights(tmp_path / "old.safetensors", network, header, torch.tensor([1]))
    data = [str(tmp_path / "all.parquet")]
    new = tmp_path / "new.safetensors"
    calibrate_file(tmp_path / "old.safetensors", data, new, [TEMPERATURE])
    first, header, formulas = read_weights(new)
    learnt = table.loc[table["split"] != "test", "formula"]
    assert set(formulas.tolist()) == {1, *map(formula_hash, learnt)}
    assert header.metrics[TEMPERATURE]["n"] == 10
    assert header.readouts == {TEMPERATURE: SQRT}
    assert first.spread is not None
    calibrate_file(new, data, new)  # a second time: the readout is fitted again
    second, _, _ = read_weights(new)
    for key, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[key], value, msg=key)


def test_heads_of_weight_zero_do_not_learn(network, table, tmp_path):
    torch.manual_seed(0)
    member = Network(SIZES.__class__(**{**vars(SIZES), "members": 1}), NAMES)
    before = member.pool_head.second.weight[..., 1].clone()
    data = build_dataset(table, NAMES, SIZES.cutoff)
    terms = [LossTerm(scale=0.3), LossTerm(scale=3.0, weight=0.0)]
    settings = FitSettings(epochs=2, batch_size=16, validations=1)
    errors = fit(
        member, data, data, terms=terms, settings=settings, checkpoint=tmp_path / "member0.pt"
    )
    assert TEMPERATURE not in errors
    assert "formation_energy" in errors
    after = member.pool_head.second.weight[..., 1]
    torch.testing.assert_close(after, before, rtol=0.01, atol=0)  # it decays a little
    assert TEMPERATURE in evaluate(member, data)


CONFIG = """
name = "mine"
out = "mine.safetensors"
data = ["all.parquet"]
properties = ["formation_energy", "critical_temperature"]
epochs = 1
members = 1
batch_size = 16
validations = 1
device = "cpu"
[heads.critical_temperature]
readout = "kernel"
"""
SMALL = "[network]\ncutoff = 3.5\nchannels = 8\nmoment_channels = 4\nhidden = 8\nlayers = 1\n"


def test_train_fits_it_at_the_end(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.drop(columns="formation_energy_per_atom").to_parquet("all.parquet")
    (tmp_path / "training.toml").write_text(CONFIG + SMALL)
    assert run(["train", "training.toml"]) == 0
    network, header, _ = read_weights(tmp_path / "mine.safetensors")
    assert header.readouts == {TEMPERATURE: SQRT}
    assert len(network.readouts) == 1
    test = build_dataset(table[table["split"] == "test"], NAMES, SIZES.cutoff)
    error = np.abs(predict_dataset(network, test) - test.labels).mean(0)[1]
    assert header.metrics[TEMPERATURE]["mae"] == pytest.approx(error, rel=1e-4)
    report = json.loads((tmp_path / "mine.training" / "report.json").read_text())
    assert report["properties"][TEMPERATURE]["test"]["mae"] == pytest.approx(error, rel=1e-4)
    # Such weights are a start, too.
    again = CONFIG.replace("mine", "next").replace("epochs", 'start = "mine.safetensors"\nepochs')
    (tmp_path / "again.toml").write_text(again)
    assert run(["train", "again.toml"]) == 0
    assert read_weights(tmp_path / "next.safetensors")[1].readouts == {TEMPERATURE: SQRT}


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({TEMPERATURE: {"readout": "kernel", "share": 0.1}}, "has no share"),
        ({TEMPERATURE: {"readout": "kernel", "weight": 2.0}}, "has no weight"),
        ({TEMPERATURE: {"readout": "spline"}}, "'head' or 'kernel'"),
        ({"formation_energy": {"readout": "kernel"}}, "sum over atoms"),
        ({name: {"readout": "kernel"} for name in NAMES}, "a trunk needs a property"),
    ],
)
def test_settings_that_contradict(heads, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(
            name="x", out="x.safetensors", data=["x"], properties=NAMES, epochs=1, heads=heads
        )
