"""Starting from weights: what is kept, what is new, what does not fit."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from smoacs.errors import InputError
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights, stack_members
from smoacs.training.config import TrainConfig
from smoacs.training.data import build_dataset, make_batch
from smoacs.training.fitting.evaluation import predict_dataset
from smoacs.training.start import initial_network, load_start, loss_terms, network_settings

SIZES = NetworkSettings(
    cutoff=4.0, channels=8, moment_channels=4, hidden=8, layers=1, radial=6, moment_radial=4
)
OLD = ("band_gap", "bulk_modulus", "formation_energy")


@pytest.fixture
def weights(tmp_path):
    """An ensemble of two with three properties, the modulus as a logarithm."""
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = Network(SIZES, OLD, {"bulk_modulus": 3.0})
        network.scale.copy_(torch.tensor([0.5, 0.2, 1.5]))
        networks.append(network)
    header = WeightsHeader(
        name="old",
        settings=replace(SIZES, members=2),
        properties={"band_gap": "eV", "bulk_modulus": "GPa", "formation_energy": "eV/atom"},
        elements=("Na", "Cl"),
        log10={"bulk_modulus": 3.0},
    )
    path = tmp_path / "old.safetensors"
    save_weights(path, stack_members(networks), header, torch.tensor([5]))
    return path


def config_for(weights, *properties, **settings):
    return TrainConfig(
        name="new",
        out="new.safetensors",
        data=["none.parquet"],
        properties=properties,
        epochs=1,
        start=str(weights),
        **settings,
    )


@pytest.fixture
def crystals(rows):
    return rows.assign(charm=rows["band_gap"] + 3.0, bulk_modulus=50.0, kind="relaxed")


def test_heads_that_exist_are_kept_and_others_are_new(weights, crystals):
    properties = ("formation_energy", "charm", "bulk_modulus")
    config = config_for(weights, *properties, heads={"charm": {"unit": "K"}})
    start = load_start(config)
    data = build_dataset(crystals, properties, SIZES.cutoff)
    batch = make_batch(data, np.arange(30), SIZES.cutoff)
    with torch.no_grad():
        before = start.network(batch.crystals, batch.neighbors)
        for member in range(3):
            network = initial_network(config, member, data, start)
            assert network.settings == network_settings(config, start) == SIZES
            assert network.log10 == {"bulk_modulus": 3.0}
            after = network(batch.crystals, batch.neighbors)[0]
            torch.testing.assert_close(after[:, 0], before[member % 2, :, 2])
            torch.testing.assert_close(after[:, 2], before[member % 2, :, 1])
    # The new head begins with the composition fit.
    charm = predict_dataset(network, data)[:, 1]
    known = np.isfinite(data.labels[:, 1])
    assert np.abs(charm - data.labels[:, 1])[known].mean() < 1.5
    assert 0 < float(network.scale[1]) < 3


def test_terms_follow_the_start_and_the_settings(weights):
    heads = {"charm": {"unit": "K", "log10": True, "weight": 2.0}}
    config = config_for(weights, "bulk_modulus", "charm", "band_gap", heads=heads)
    modulus, charm, gap = loss_terms(config, load_start(config))
    assert modulus.log10
    assert modulus.scale == pytest.approx(0.15)
    assert charm.log10
    assert charm.scale is None
    assert charm.weight == 2.0
    assert gap.censored


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"network": {**asdict(SIZES), "channels": 16}},
            r"network\.channels = 8, the settings say 16: leave \[network\] out",
        ),
        ({"heads": {"bulk_modulus": {"log10": False}}}, r"bulk_modulus\.log10 = true"),
        ({"heads": {"band_gap": {"log10": True}}}, r"band_gap\.log10 = false"),
    ],
)
def test_what_does_not_fit(weights, settings, message):
    with pytest.raises(InputError, match=message):
        load_start(config_for(weights, "band_gap", "bulk_modulus", **settings))


def test_equal_sizes_may_be_given(weights):
    assert load_start(config_for(weights, "band_gap", network=SIZES)) is not None
    assert load_start(config_for(weights, "band_gap").model_copy(update={"start": None})) is None


def test_other_unit(weights, monkeypatch):
    config = config_for(weights, "band_gap")
    monkeypatch.setattr(TrainConfig, "unit", lambda *_: "meV")
    with pytest.raises(InputError, match="has band_gap in eV, the settings say meV"):
        load_start(config)


def test_start_that_is_no_weights_file(tmp_path):
    with pytest.raises(InputError, match=r"start = 'nothing' is neither .* nor one of .*mp2018"):
        load_start(config_for("nothing", "band_gap"))
    torch.save({"weights": torch.ones(2)}, tmp_path / "pickled.pt")
    (tmp_path / "text.safetensors").write_text("none")
    for name in ("pickled.pt", "text.safetensors"):
        with pytest.raises(InputError, match="not a readable safetensors file"):
            load_start(config_for(tmp_path / name, "band_gap"))


def test_cut_off_and_foreign_weights(weights, tmp_path):
    whole = weights.read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_start(config_for(tmp_path / "half.safetensors", "band_gap"))
    save_file({"w": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="was not written by smoacs"):
        load_start(config_for(tmp_path / "foreign.safetensors", "band_gap"))


def test_builtin_weights_are_a_start():
    config = config_for("mp2018", "band_gap", "critical_temperature")
    start = load_start(config)
    assert start.header.name == "mp2018"
    assert network_settings(config, start).members == 1
