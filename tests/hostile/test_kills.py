"""100 kills: every file is whole or absent, nothing is left, and no label is computed twice."""

import json
import shutil
import sys
import time
from pathlib import Path

import ase.db
import pytest
import torch

import smoacs.runs.checks as checks_module
from hostile.kills import killed, moments, seconds_of
from learning.conftest import ToyOracle, save_toy_weights
from smoacs.cli import run
from smoacs.learning import LearnSettings, run_learning
from smoacs.predictors.weights.storage import read_weights
from smoacs.request import DesignConfig
from smoacs.runs import add_to_database, check_database, read_run
from smoacs.structures import read_structures
from smoacs.training.report import REPORT_FILE

PERIODS = ("seconds", "timings", "total_seconds")
ENGINE = (sys.executable, str(Path(__file__).parents[1] / "dft" / "fake_engine.py"))
DESIGN = [
    *("design", "perovskite", "-t", "density > 0.001", "-n", "6", "--steps", "12"),
    *("--site", "A=K,Rb,Cs", "--predictor", "tiny.safetensors", "--device", "cpu", "--out", "run"),
    *("--rest", "symmetry"),
]

pytestmark = pytest.mark.slow


def some(number):
    """So many kills in a test."""
    return pytest.mark.parametrize("number", [number])


def contents(folder):
    """What a folder holds, files by their path, times of the clock left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix in {".html", ".db", ".png"} or not path.is_file():
            found[name] = "there"
        elif path.suffix == ".json":
            table = json.loads(path.read_text())
            for period in PERIODS:
                table.pop(period, None)
            table.get("config", {}).pop("predictor", None)  # absolute in a run that was resumed
            for check in table.get("checks", {}).values():
                check.pop("seconds", None)
            found[name] = table
        elif path.suffix == ".jsonl":
            found[name] = len(path.read_text().splitlines())
        else:
            found[name] = path.read_bytes()
    return found


def assert_readable(folder):
    """Every file of a run is whole, and they belong together."""
    saved = read_run(folder)
    assert len(saved.structures) == len(saved.table)
    assert len(read_structures(sorted((folder / "structures").glob("*.cif")))) == len(saved.table)
    with ase.db.connect(folder / "designs.db") as database:
        keys = {key for row in database.select() for key in row.key_value_pairs}
    assert ("survives_relaxation" in keys) == ("survives_relaxation" in saved.table)
    assert (folder / "report.html").read_text().rstrip().endswith("</html>")


@pytest.fixture
def finished(here):
    assert run(DESIGN) == 0
    return here / "run"


@some(20)
def test_design(number, here):
    seconds = seconds_of(lambda: run(DESIGN))
    whole = contents(here / "run")
    shutil.rmtree(here / "run")
    files = {path.name for path in here.iterdir()}
    for moment in moments(seconds, number):
        killed(lambda: run(DESIGN), moment)
        if (here / "run").exists():
            assert_readable(here / "run")
        assert run(["resume", "run"]) == 0 or run(DESIGN) == 0
        assert contents(here / "run") == whole
        shutil.rmtree(here / "run")
        assert {path.name for path in here.iterdir()} == files


@some(25)
def test_check(number, here, finished, monkeypatch):
    log = here / "log.txt"
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.setattr(checks_module, "engine_command", lambda _: ENGINE)
    command = ["check", "run", "--potential", "ase_toy:make", "--dft", "fake"]
    (here / "ase_toy.py").write_text(
        "from ase.calculators.lj import LennardJones\n"
        "def make():\n"
        "    return LennardJones(sigma=2.3, epsilon=0.1, rc=6, smooth=True)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    kept = here / "kept"
    shutil.copytree(finished, kept)
    seconds = seconds_of(lambda: run(command))
    whole = contents(finished)
    for moment in moments(seconds, number):
        shutil.rmtree(finished)
        shutil.copytree(kept, finished)
        log.write_text("")
        killed(lambda: run(command), moment)
        time.sleep(0.2)  # engines see that nobody waits for them
        assert_readable(finished)
        labels = finished / "checks" / "dft_fake.jsonl"
        known = labels.read_bytes().count(b"\n") if labels.exists() else 0
        before = len(log.read_text().split())
        assert run(command) in {0, 1}
        assert len(log.read_text().split()) - before == 6 - known, "a label is computed twice"
        assert contents(finished) == whole


@some(12)
@pytest.mark.parametrize("to", ["cif"])
def test_export(number, to, here, finished):
    command = ["export", "run", "--to", to, "--all", "--out", "new"]
    seconds = seconds_of(lambda: run(command))
    whole = contents(here / "new")
    shutil.rmtree(here / "new")
    files = {path.name for path in here.iterdir()} | {"new"}
    for moment in moments(seconds, number):
        if not killed(lambda: run(command), moment):
            assert contents(here / "new") == whole
            shutil.rmtree(here / "new")
        if not (here / "new").exists():
            assert run(command) == 0
        assert contents(here / "new") == whole
        run(["show", "run"])
        assert {path.name for path in here.iterdir()} == files
        shutil.rmtree(here / "new")


@some(12)
def test_report(number, here, finished):
    page = finished / "report.html"
    seconds = seconds_of(lambda: run(["report", "run"]))
    whole, text = contents(finished), page.read_text()
    for moment in moments(seconds, number):
        killed(lambda: run(["report", "run"]), moment)
        assert page.read_text() == text
        assert run(["show", "run"]) == 0
        assert contents(finished) == whole


@some(8)
def test_train(number, here, rows):
    split = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    rows.assign(split=split).to_parquet(here / "data.parquet")
    (here / "train.toml").write_text(TRAINING)
    command = ["train", "train.toml"]
    seconds = seconds_of(lambda: run(command))
    whole, _, _ = read_weights(here / "mine.safetensors")
    names = set(contents(here))
    for moment in moments(seconds, number):
        (here / "mine.safetensors").unlink()
        shutil.rmtree(here / "mine.training")
        killed(lambda: run(command), moment)
        time.sleep(2)  # members see that they are alone
        report = here / "mine.training" / REPORT_FILE
        if not ((here / "mine.safetensors").exists() and report.exists()):
            assert run(command) == 0
        again, _, _ = read_weights(here / "mine.safetensors")
        for key, value in whole.state_dict().items():
            assert torch.equal(value, again.state_dict()[key]), key
        assert set(contents(here)) == names


TRAINING = """
name = "mine"
out = "mine.safetensors"
data = ["data.parquet"]
properties = ["formation_energy", "band_gap"]
epochs = 12
members = 1
batch_size = 8
validations = 3
device = "cpu"
network = { cutoff = 3.5, channels = 8, moment_channels = 4, hidden = 8, layers = 1 }
"""


@some(8)
def test_learn(number, tmp_path):
    weights = save_toy_weights(tmp_path / "toy.safetensors")
    config = DesignConfig(
        targets=("band_gap = 5 ± 0.2",),
        n=12,
        steps=4,
        predictor=str(weights),
        device="cpu",
        elements=("K", "Rb", "Cs", "Mg", "Ca", "F", "Cl", "Br"),
        rest="symmetry",
    )
    settings = LearnSettings(rounds=2, per_round=3, epochs=3, learning_rate=0.1)
    oracle = ToyOracle()
    oracle.log, oracle.delay = tmp_path / "log.txt", 0.05

    def learn(out):
        run_learning(config, out, settings, oracle=oracle)

    oracle.log.write_text("")
    seconds = seconds_of(lambda: learn(tmp_path / "whole"))
    whole = (tmp_path / "whole" / "round_1" / "designs.csv").read_text()
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    for k, moment in enumerate(moments(seconds, number)):
        out = tmp_path / f"killed_{k}"
        oracle.log.write_text("")
        killed(lambda out=out: learn(out), moment)
        learn(out)
        keys = oracle.log.read_text().split()
        assert len(keys) == len(set(keys)), "a label is computed twice"
        assert (out / "round_1" / "designs.csv").read_text() == whole
        assert {path.name for path in out.iterdir()} == names


def database_survives(number, address, folder, forget):
    """Kills of a program that adds a run: all rows or none, and all of them once in the end."""
    n = len(read_run(folder).table)
    check_database(address)
    seconds = seconds_of(lambda: add_to_database(folder, address) and 0)
    for moment in moments(seconds, number):
        forget()
        killed(lambda: add_to_database(folder, address) and 0, moment)
        check_database(address)
        with ase.db.connect(address) as database:
            assert database.count() in {0, n}
        add_to_database(folder, address)
        with ase.db.connect(address) as database:
            assert database.count() == n


@some(10)
def test_database_file(number, here, finished):
    path = here / "all.db"
    database_survives(number, str(path), finished, lambda: path.unlink(missing_ok=True))
    assert {p.name for p in here.iterdir()} == {"all.db", "run", "seed.cif", "tiny.safetensors"}


@some(5)
def test_postgresql(number, here, finished, server):
    def forget():
        with ase.db.connect(server) as database:
            database.delete([row.id for row in database.select()])

    database_survives(number, server, finished, forget)
