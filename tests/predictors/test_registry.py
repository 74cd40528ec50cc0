import pytest
import torch

from smoacs.errors import InputError
from smoacs.predictors import (
    BUILTIN,
    CombinedPredictor,
    NetworkPredictor,
    installed_predictors,
    load_predictor,
    load_settling_predictor,
    registry,
)
from smoacs.predictors.weights.storage import save_weights
from toys import PairEnergy


class Plugin:
    """What an entry point looks like."""

    name = "pairs"

    @staticmethod
    def load():
        def build(device):
            predictor = PairEnergy()
            predictor.device = device
            return predictor

        return build


def test_built_in_weights_are_listed():
    assert BUILTIN in installed_predictors()


def test_unknown_name():
    with pytest.raises(InputError, match=r"no predictor 'mp2019'.*mp2018"):
        load_predictor("mp2019")


def test_weights_file(tmp_path, network, header):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network, header, torch.zeros(0, dtype=torch.int64))
    predictor = load_predictor(str(path), device="cpu")
    assert {"formation_energy", "band_gap", "density", "tolerance_factor"} <= set(
        predictor.properties
    )
    assert predictor.elements == set(header.elements)


def test_plugin(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", lambda: [Plugin])
    assert installed_predictors()[-1] == "pairs"
    predictor = load_predictor("pairs", device="cpu")
    assert "formation_energy" in predictor.properties
    assert predictor.parts[0].device == "cpu"


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "cpu:x", "meta", "privateuseone"])
def test_device_that_is_not_there(device):
    with pytest.raises(InputError, match=device):
        load_predictor(device=device)


def test_designs_settle_on_the_predictor_itself_unless_it_brings_an_energy_for_that(
    monkeypatch, network, header
):
    monkeypatch.setattr(registry, "settling_network", lambda: None)
    builtin = load_predictor(device="cpu")
    assert load_settling_predictor(builtin) is builtin
    own = NetworkPredictor(network, header, torch.zeros(0, dtype=torch.int64))
    monkeypatch.setattr(registry, "settling_network", lambda: own)
    assert load_settling_predictor(builtin) is own
    others = CombinedPredictor([PairEnergy(), builtin])
    assert load_settling_predictor(others) is others  # the energy is another's
