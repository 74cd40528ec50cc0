"""`smoacs train` as a user sees it: weights, report, resume, and one line for each mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.cli import run
from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import load_predictor
from smoacs.predictors.weights.storage import read_weights

CONFIG = """
name = "mine"
out = "runs/mine.safetensors"
data = ["whole.parquet"]
properties = ["formation_energy", "band_gap", "charm"]
sources = ["made up, no licence"]
epochs = 2
members = 2
batch_size = 8
validations = 3
device = "cpu"
heads.band_gap = { scale = "PBE (made up)" }
heads.charm = { unit = "K", log10 = true, share = 0.2 }
network = { cutoff = 3.5, channels = 8, moment_channels = 4, hidden = 8, layers = 1 }
"""
SALT = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = SALT.to(fmt="cif")


@pytest.fixture
def here(rows, tmp_path, monkeypatch):
    """A working directory with data in all splits and the settings in `training.toml`."""
    monkeypatch.chdir(tmp_path)
    split = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    charm = [10.0 ** (k % 4) if k % 4 < 2 else None for k in range(30)]
    rows.assign(split=split, charm=charm).to_parquet("whole.parquet")
    (tmp_path / "training.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def settings(here, **changes):
    """The settings with whole lines replaced."""
    text = CONFIG
    for key, value in changes.items():
        line = f"{key} = {value}"
        text, n = re.subn(rf"^{re.escape(key)} = .*$", line, text, flags=re.MULTILINE)
        text = text if n else f"{line}\n{text}"
    if "properties" in changes:  # settings of others would be a mistake
        text = re.sub(r"^heads\.(?!charm)\w+ = .*\n", "", text, flags=re.MULTILINE)
    (here / "training.toml").write_text(text, encoding="utf-8")


def test_from_a_table_to_weights_and_report(here, capfd):
    assert run(["train", "training.toml"]) == 0
    captured = capfd.readouterr()
    assert captured.out.strip() == "runs/mine.safetensors"
    assert "epoch" in captured.err
    assert "charm_log10" in captured.err

    network, header, formulas = read_weights(here / "runs" / "mine.safetensors")
    assert network.settings.members == 2
    assert dict(header.properties) == {
        "formation_energy": "eV/atom",
        "band_gap": "eV",
        "charm": "K",
    }
    assert list(header.log10) == ["charm"]
    assert header.scales == {"band_gap": "PBE (made up)"}
    assert header.training_data == ("made up, no licence",)
    assert header.metrics["band_gap"]["n"] > 0
    assert header.metrics["charm"]["mae_log10"] > 0
    assert len(formulas) > 5

    predictor = load_predictor("runs/mine.safetensors", "cpu")
    values = evaluate(predictor, Crystals.from_structures([SALT], torch.float32))
    assert values["charm"][0] > 0
    assert values["charm.std"][0] > 0

    folder = here / "runs" / "mine.training"
    report = json.loads((folder / "report.json").read_text())
    entry = report["properties"]["band_gap"]
    assert entry["unit"] == "eV"
    assert entry["test"]["mae"] == pytest.approx(header.metrics["band_gap"]["mae"])
    assert sum(row["n"] for row in entry["by_size"]) == entry["test"]["n"]
    assert report["crystals"] == {"train": 20, "val": 5, "test": 5}
    assert [len(history) for history in report["learning_curve"]] == [3, 3]
    text = (folder / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert pictures == [
        "parity_formation_energy.png",
        "parity_band_gap.png",
        "parity_charm.png",
        "learning_curve.png",
    ]
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert f"{entry['test']['mae']:.4g}" in text

    # The same again is refused, and so is a change of settings under the same name.
    assert run(["train", "training.toml"]) == 2
    assert re.search(r"is trained already: delete .*mine\.training", capfd.readouterr().err)
    settings(here, epochs=3)
    assert run(["train", "training.toml"]) == 2
    assert re.search(r"holds a training with another 'epochs'", capfd.readouterr().err)

    # Weights of our own are a start for the next training.
    settings(here, out='"runs/next.safetensors"', start='"runs/mine.safetensors"', members=1)
    lines = (here / "training.toml").read_text().splitlines()
    (here / "training.toml").write_text("\n".join(x for x in lines if "network" not in x))
    assert run(["train", "training.toml"]) == 0
    _, header, more = read_weights(here / "runs" / "next.safetensors")
    assert header.training_data == (
        "made up, no licence",
        "mine, which this started from: made up, no licence",
    )
    assert set(formulas.tolist()) <= set(more.tolist())
    assert header.scales == {"band_gap": "PBE (made up)"}


@pytest.mark.slow
def test_kill_and_resume(here):
    settings(here, epochs=60, out='"runs/whole.safetensors"', members=1)
    assert run(["train", "training.toml"]) == 0
    settings(here, epochs=60, out='"runs/killed.safetensors"', members=1)
    command = [sys.executable, "-c", "from smoacs.cli import main; main()", "train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "training.toml"], env=environment)  # noqa: S603
    checkpoint = here / "runs" / "killed.training" / "member0.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (here / "runs" / "killed.safetensors").exists()
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert step > 0
    time.sleep(3)  # the orphan notices and ends
    first = checkpoint.stat().st_mtime_ns
    time.sleep(1)
    assert checkpoint.stat().st_mtime_ns == first
    assert run(["train", "training.toml"]) == 0
    whole, killed = (
        read_weights(here / "runs" / f"{name}.safetensors")[0] for name in ("whole", "killed")
    )
    for key, value in whole.state_dict().items():
        assert torch.equal(value, killed.state_dict()[key]), key


def break_column(name, value):
    table = pd.read_parquet("whole.parquet")
    table[name] = [value] * 30
    table.to_parquet("whole.parquet")


MISTAKES = {
    "all labels NaN": (lambda _: break_column("band_gap", None), r"'band_gap' has no label"),
    "unknown element": (lambda _: break_column("numbers", [11, 130]), r"130 is no atomic number"),
    "missing column": (
        lambda _: (
            pd.read_parquet("whole.parquet").drop(columns="lattice").to_parquet("whole.parquet")
        ),
        r"whole\.parquet lacks the column\(s\) lattice",
    ),
    "no label column": (
        lambda here: settings(here, data='[{path = "whole.parquet", columns = {charm = "x"}}]'),
        r"no column 'x' \(for charm\)",
    ),
    "start missing": (lambda here: settings(here, start='"none"'), r"start = 'none'"),
    "start foreign": (
        lambda here: settings(here, start='"whole.parquet"'),
        r"whole\.parquet is not a readable safetensors file",
    ),
    "start of other sizes": (
        lambda here: settings(here, start='"mp2018"'),
        r"network\.cutoff = 5\.0, the settings say 3\.5",
    ),
    "no such device": (lambda here: settings(here, device='"toaster"'), r"toaster"),
    "no settings": (lambda here: (here / "training.toml").unlink(), r"no such file; give a TOML"),
    "no data": (lambda here: (here / "whole.parquet").unlink(), r"no training data file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_line_and_leaves_nothing(name, here, capfd):
    change, message = MISTAKES[name]
    change(here)
    before = sorted(path.name for path in here.rglob("*"))
    assert run(["train", "training.toml"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"smoacs: error: [^\n]+\n", captured.err)
    assert re.search(message, captured.err)
    assert sorted(path.name for path in here.rglob("*")) == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"salt.cif": ""}, r"mine/salt\.cif: the file is empty"),
        ({"salt.cif": "data_x\n_cell_length_a 4\n"}, r"mine/salt\.cif"),
        ({}, r"mine/salt\.cif: no such file"),
        ({"id_prop.csv": "salt,1\nsalt,hard", "salt.cif": CIF}, r"line 2: 'hard' is no number"),
    ],
)
def test_a_mistake_in_a_folder(files, message, here, capfd):
    (here / "mine").mkdir()
    for name, text in {"id_prop.csv": "salt,1.0", **files}.items():
        (here / "mine" / name).write_text(text)
    settings(
        here,
        data='[{ path = "mine", columns = { charm = 1 } }]',
        properties='["charm"]',
    )
    assert run(["train", "training.toml"]) == 2
    assert re.search(message, capfd.readouterr().err)


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_two_atoms_on_one_spot(shift, here, capfd):
    (here / "mine").mkdir()
    double = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0, 0, shift]])
    double.to(here / "mine" / "salt.cif")
    (here / "mine" / "id_prop.csv").write_text("salt,1.0")
    settings(here, data='[{ path = "mine", columns = { charm = 1 } }]', properties='["charm"]')
    assert run(["train", "training.toml"]) == 2
    assert re.search(r"salt.* two atoms on one spot", capfd.readouterr().err)
