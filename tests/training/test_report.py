"""Numbers, tables and plots of the training report."""

import numpy as np
import pandas as pd
import pytest

from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.training.data import build_dataset
from smoacs.training.fitting.metrics import errors_by_size, header_metrics, property_statistics
from smoacs.training.plots import plot_learning, plot_parity
from smoacs.training.report import report_text

PROPERTIES = ("band_gap", "bulk_modulus")


@pytest.fixture
def data(rows):
    """Gaps 0, 1, 2, ... and moduli of 100 for every other crystal, all at rest but the last."""
    kinds = ["relaxed"] * 29 + ["strained"]
    moduli = [100.0 if k % 2 else np.nan for k in range(30)]
    table = rows.assign(kind=kinds, band_gap=np.arange(30.0), bulk_modulus=moduli)
    return build_dataset(table, PROPERTIES, 3.5)


def test_statistics(data):
    predicted = data.labels.astype(float)
    predicted[:, 0] += np.where(np.arange(30) % 2, 1.0, -3.0)
    numbers = property_statistics(data, predicted, 0, 14.0)
    gaps = np.arange(29.0)
    assert numbers["n"] == 29
    assert numbers["mae"] == pytest.approx((14 * 1 + 15 * 3) / 29)
    assert numbers["rmse"] == pytest.approx(((14 * 1 + 15 * 9) / 29) ** 0.5)
    assert numbers["bias"] == pytest.approx((14 * 1 - 15 * 3) / 29)
    assert numbers["median_error"] == 3
    assert numbers["r2"] == pytest.approx(1 - (14 + 135) / ((gaps - 14) ** 2).sum())
    assert numbers["mae_of_median_guess"] == pytest.approx(np.abs(gaps - 14).mean())
    sizes = errors_by_size(data, predicted, 0)
    assert [(s["from"], s["to"], s["n"]) for s in sizes] == [(1, 5, 29)]


def test_property_without_test_labels(data):
    data.labels[:, 1] = np.nan
    assert property_statistics(data, data.labels.astype(float), 1, 1.0) == {}
    assert errors_by_size(data, data.labels.astype(float), 1) == []
    network = Network(NetworkSettings(channels=4, moment_channels=2, hidden=4), PROPERTIES)
    metrics = header_metrics(network, data, data.labels.astype(float))
    assert metrics["bulk_modulus"] == {"n": 0}
    assert metrics["band_gap"]["mae"] == 0
    text = report_text(
        {
            "name": "mine",
            "members": 1,
            "elements": 3,
            "crystals": {"train": 1},
            "derivatives": {"forces": 0.25},
            "properties": {
                "band_gap": {"unit": "eV", "test": {"n": 3, "mae": 0.5}, "by_size": []},
                "bulk_modulus": {"unit": "GPa", "test": {}, "by_size": []},
            },
        }
    )
    assert "| band gap | eV | 3 | 0.5 |" in text
    assert "| bulk modulus | GPa |  |" in text
    assert "forces (one component): 0.25 eV/Å" in text
    assert "parity_bulk_modulus" not in text


def test_errors_of_logarithms(data):
    network = Network(
        NetworkSettings(channels=4, moment_channels=2, hidden=4), PROPERTIES, {"bulk_modulus": 3.0}
    )
    predicted = data.labels.astype(float)
    predicted[:, 1] = 10.0
    assert header_metrics(network, data, predicted)["bulk_modulus"]["mae_log10"] == pytest.approx(1)


@pytest.mark.parametrize(("n", "log"), [(1, False), (50, True), (4000, False), (4000, True)])
def test_parity_plots(n, log, tmp_path):
    rng = np.random.default_rng(0)
    given = rng.uniform(1, 300, n)
    path = tmp_path / "parity.png"
    plot_parity(given, given * 1.1, path, label="bulk modulus", unit="GPa", log=log)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_learning_curve_of_members_that_stopped_at_different_times(tmp_path):
    histories = [
        [{"step": 10, "band_gap": 0.5}, {"step": 20, "band_gap": 0.4, "forces": 0.1}],
        [{"step": 10, "band_gap": 0.6}],
        [],
    ]
    path = tmp_path / "curve.png"
    plot_learning(histories, {"band_gap": "eV", "charm": "1"}, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_table_is_not_touched(rows):
    before = rows.copy(deep=True)
    build_dataset(rows, PROPERTIES, 3.5)
    pd.testing.assert_frame_equal(rows, before)
