"""Properties that the network holds as logarithms, from the layers to the file."""

import json

import pytest
import torch
from pymatgen.core import Lattice, Structure
from safetensors import safe_open
from safetensors.torch import save_file

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.network import Network, power_of_ten
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights, save_weights

SIZES = NetworkSettings(
    cutoff=4.0, channels=8, moment_channels=4, hidden=8, layers=1, radial=6, moment_radial=4
)
PROPERTIES = ("band_gap", "bulk_modulus")


@pytest.fixture
def pair():
    """The same weights, without and with a logarithm."""
    torch.manual_seed(0)
    plain = Network(SIZES, PROPERTIES)
    network = Network(SIZES, PROPERTIES, {"bulk_modulus": 2.5})
    network.load_state_dict(plain.state_dict())
    return plain, network


@pytest.fixture
def inputs():
    salt = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystals = Crystals.from_structures([salt], torch.float32)
    return crystals, neighbor_list(crystals, 4.0)


def header(**changes):
    units = {"band_gap": "eV", "bulk_modulus": "GPa"}
    return WeightsHeader(
        **{
            "name": "tiny",
            "settings": SIZES,
            "properties": units,
            "elements": ("Na",),
            "log10": {"bulk_modulus": 2.5},
            **changes,
        }
    )


def test_power_of_ten_goes_on_straight_with_the_same_slope():
    x = torch.tensor([-1.0, 0.0, 2.0, 2.5, 4.5], dtype=torch.float64, requires_grad=True)
    y = power_of_ten(x, 2.5)
    (slope,) = torch.autograd.grad(y.sum(), x)
    edge, ln10 = 10**2.5, 2.302585092994046
    assert y.tolist() == pytest.approx([0.1, 1, 100, edge, edge * (1 + 2 * ln10)])
    inside = [0.1 * ln10, ln10, 100 * ln10]
    assert slope[[0, 1, 2, 4]].tolist() == pytest.approx([*inside, edge * ln10])
    huge = power_of_ten(torch.tensor([1e4]), 2.5)
    assert huge.isfinite().all()


def test_network_gives_values_in_units(pair, inputs):
    plain, network = pair
    raw, values = plain(*inputs), network(*inputs)
    torch.testing.assert_close(network.raw(*inputs), raw, rtol=0, atol=0)
    torch.testing.assert_close(values[..., 0], raw[..., 0], rtol=0, atol=0)
    torch.testing.assert_close(values[..., 1], 10 ** raw[..., 1])


def test_file_keeps_the_logarithm(pair, inputs, tmp_path):
    _, network = pair
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network, header(), torch.tensor([1]))
    again, read, _ = read_weights(path)
    assert read.log10 == {"bulk_modulus": 2.5}
    torch.testing.assert_close(again(*inputs), network(*inputs))


def test_files_from_before_logarithms_are_read(pair, inputs, tmp_path):
    plain, _ = pair
    path = tmp_path / "tiny.safetensors"
    save_weights(path, plain, header(log10={}), torch.tensor([1]))
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["smoacs"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    del meta["log10"]
    save_file(tensors, path, metadata={"smoacs": json.dumps(meta)})
    again, read, _ = read_weights(path)
    assert read.log10 == {}
    torch.testing.assert_close(again(*inputs), plain(*inputs), rtol=0, atol=0)
