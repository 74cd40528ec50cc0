"""`smoacs judge --benchmark`: any folder of crystals against a row of the paper's tables."""

import csv
import io

import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.cli import run
from smoacs.judging import BENCHMARKS, benchmark
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights
from smoacs.targets import Target
from toys import PEROVSKITE_SITES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Crystals of a stranger's generator, and a network that has learnt nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    species = {"good": ["Ca", "Ti", "O", "O", "O"], "charged": ["Ca", "K", "O", "O", "O"]}
    for name, symbols in species.items():
        crystal = Structure(Lattice.cubic(3.9), symbols, PEROVSKITE_SITES)
        crystal.to(tmp_path / "made" / f"{name}.cif")
    torch.manual_seed(0)
    settings = NetworkSettings(
        channels=8, moment_channels=2, hidden=8, layers=1, radial=4, moment_radial=2
    )
    header = WeightsHeader(
        name="tiny",
        settings=settings,
        properties={"formation_energy": "eV/atom", "band_gap": "eV"},
        elements=ELEMENTS[:94],
        metrics={},
    )
    network = Network(settings, tuple(header.properties))
    save_weights(tmp_path / "w.safetensors", network, header, torch.zeros(1, dtype=torch.int64))
    return [str(path) for path in sorted((tmp_path / "made").iterdir())]


def test_every_row_of_the_tables_is_there():
    assert [row.table for row in BENCHMARKS.values()] == sorted(
        row.table for row in BENCHMARKS.values()
    )
    assert {row.table for row in BENCHMARKS.values()} == {2, 3, 4, 5, 6, 7}
    assert len(BENCHMARKS) == 18
    for row in BENCHMARKS.values():
        assert [Target.parse(text).property for text in row.targets]
    assert benchmark("135-atoms-4.0").repeat == 3


def test_a_folder_is_judged_by_a_row(folder, capsys):
    base = ["judge", *folder, "--predictor", "w.safetensors", "--device", "cpu"]
    assert run([*base, "--benchmark", "perovskite-2.5"]) == 0
    told = capsys.readouterr()
    charged, good = csv.DictReader(io.StringIO(told.out))
    assert charged["file"].endswith("charged.cif")
    assert (good["neutral"], charged["neutral"]) == ("True", "False")
    assert (good["template_kept"], good["tolerance_factor_met"]) == ("True", "True")
    assert {"band_gap_met", "formation_energy_met"} <= set(good)
    assert told.err.startswith("smoacs: perovskite-2.5: 0 of 2 crystals succeed (0.00)")
    assert "SMOACS (ALIGNN) 0.39" in told.err
    assert (
        run([*base, "--benchmark", "perovskite-2.5", "--rest", "symmetry", "--out", "judged.csv"])
        == 0
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert "0 of 2 crystals succeed at rest" in told.err


def test_crystals_of_any_kind_need_no_template(folder, capsys):
    base = ["judge", *folder, "--predictor", "w.safetensors", "--device", "cpu"]
    assert run([*base, "--benchmark", "wide-4.0"]) == 0
    row, _ = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert "template_kept" not in row


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--benchmark", "perovskite-25"], 'did you mean "perovskite-2.5"'),
        (["--benchmark", "wide-4.0", "-t", "density > 1"], "--benchmark brings its own criteria"),
        (["--benchmark", "wide-4.0", "--repeat", "3"], "repeat is given as well"),
        (["--benchmark", "tc-3"], "critical_temperature"),
    ],
)
def test_mistakes_are_refused(folder, options, words, capsys):
    assert run(["judge", *folder, *options, "--predictor", "w.safetensors"]) == 2
    assert words in capsys.readouterr().err
