"""A command line that is watched: what it says, whether it ends, and that nothing runs or stays."""

import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from pymatgen.core import Lattice, Structure

from runs.server import server  # noqa: F401 - a fixture
from smoacs.chemistry import ELEMENTS
from smoacs.cli import run
from smoacs.predictors.builtin import NetworkPredictor
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights
from training.conftest import rows  # noqa: F401 - a fixture

SECONDS = 60
"""Within which a command ends."""

LONGEST = 400


class Began(BaseException):
    """The work would begin now: the input has passed all checks."""


class Endless(BaseException):
    """The command has not ended in time."""


@dataclass
class Watch:
    """Runs commands and collects what must not be."""

    capsys: pytest.CaptureFixture
    faults: list[str] = field(default_factory=list)
    refused: int = 0

    def __call__(self, name, arguments):
        """Run a command; whatever is wrong with its end is a fault under this name."""
        try:
            with _alarm(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = run(arguments)
        except Began:
            code = 0
        except Endless:
            self.faults.append(f"{name}: no end")
            code = None
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            self.faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            code = None
        said = [line for line in self.capsys.readouterr().err.split("\n") if "error: " in line]
        if code in {2, 3}:
            self.refused += 1
            if not said:
                self.faults.append(f"{name}: no message")
            if any(len(line) >= LONGEST or not line.isprintable() for line in said):
                self.faults.append(f"{name}: {said}")
        return code


@contextmanager
def _alarm():
    def ring(*_):
        raise Endless

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def watch(capsys):
    return Watch(capsys)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A weights file of a tiny network that has learnt nothing."""
    torch.manual_seed(0)
    settings = NetworkSettings(
        channels=8, moment_channels=2, hidden=8, layers=1, radial=4, moment_radial=2
    )
    header = WeightsHeader(
        name="tiny",
        settings=settings,
        properties={
            "formation_energy": "eV/atom",
            "band_gap": "eV",
            "energy_above_hull": "eV/atom",
        },
        elements=ELEMENTS[:94],
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    network = Network(settings, tuple(header.properties))
    save_weights(path, network, header, torch.zeros(1, dtype=torch.int64))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, tiny):
    """A working directory with weights and a structure."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.safetensors").write_bytes(tiny.read_bytes())
    Structure(Lattice.cubic(3.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(
        tmp_path / "seed.cif"
    )
    return tmp_path


@pytest.fixture
def no_work(monkeypatch):
    """Whatever asks a network for its values has begun to work, and is stopped."""

    def begin(*_args, **_kwargs):
        raise Began

    monkeypatch.setattr(NetworkPredictor, "__call__", begin)


def numbers(whole, *, part=0.04):
    """Parameters of a test: a part of the numbers in the fast tests, all of them in the slow."""
    few = range(0, whole, round(1 / part))
    return pytest.mark.parametrize(
        "chosen",
        [
            pytest.param(few, id="some"),
            pytest.param(range(whole), id="all", marks=pytest.mark.slow),
        ],
    )
