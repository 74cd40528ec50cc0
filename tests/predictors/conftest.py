"""A small network with random weights."""

import pytest
import torch

from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader

PROPERTIES = {"formation_energy": "eV/atom", "band_gap": "eV"}
ELEMENTS = ("H", "O", "F", "Na", "Cl", "Ca", "Ti", "Sr")


@pytest.fixture
def settings():
    return NetworkSettings(
        channels=16,
        moment_channels=4,
        hidden=16,
        layers=2,
        radial=8,
        moment_radial=4,
        attention_heads=2,
    )


@pytest.fixture
def network(settings):
    torch.manual_seed(3)
    network = Network(settings, tuple(PROPERTIES))
    with torch.no_grad():
        network.element_shift.normal_(generator=torch.Generator().manual_seed(4))
        network.scale.fill_(5.0)
    return network


@pytest.fixture
def header(settings):
    return WeightsHeader(
        name="tiny",
        settings=settings,
        properties=PROPERTIES,
        elements=ELEMENTS,
        training_data=("random numbers, public domain",),
        metrics={"band_gap": {"mae": 0.5, "n": 3}},
    )
