"""`smoacs check --dft gpaw` from end to end: a real calculation, and what is said without GPAW."""

import dataclasses
import importlib.util
import json
import sys

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from runs.conftest import SITES, config, result, structures, table  # noqa: F401 - fixtures
from smoacs.cli import run as smoacs
from smoacs.runs import save_run
from smoacs.targets import Target

needs_gpaw = pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed (extra `dft`)"
)
CHECK = ("--potential", "none", "--dft", "gpaw", "--limit", "1")


@pytest.fixture
def folder(result, table, tmp_path):  # noqa: F811
    """A run whose only success is KMgF3 at rest."""
    result.structures[1] = Structure(Lattice.cubic(4.0), ("K+", "Mg2+", "F-", "F-", "F-"), SITES)
    wanted = result.config.model_copy(update={"targets": (Target.parse("band_gap = 7.0 ± 0.2"),)})
    only = table.assign(success=[False, True, False, False, False])
    asked = dataclasses.replace(result, config=wanted)
    return save_run(asked, only, tmp_path / "run", force=False)


@pytest.mark.slow
@needs_gpaw
def test_one_design_is_confirmed_by_a_real_calculation(folder, capsys):
    """Cubic KMgF3 at 4.00 Å: 7.25 eV in PBE, and 1.5 GPa (docs/dft.md)."""
    assert smoacs(["check", str(folder), *CHECK]) == 0
    assert "dft (gpaw), 1 design: 1 confirmed" in capsys.readouterr().out
    rows = pd.read_csv(folder / "results.csv", dtype={"id": str})
    (row,) = rows[rows["dft_status"] == "ok"].to_dict("records")
    assert row["formula"] == "KMgF3"
    assert row["dft_band_gap"] == pytest.approx(7.25, abs=0.05)
    assert row["dft_pressure"] == pytest.approx(1.5, abs=0.5)
    assert row["confirmed"] is True
    assert "GPAW" in row["dft_engine"]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["checks"]["dft"]["confirmed"] == 1
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "DFT band gap" in report
    assert "calculated designs are confirmed by DFT" in report
    assert smoacs(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "confirmed by DFT" in shown
    assert "1 of 1 calculated" in shown


def engine_says(monkeypatch, tmp_path, message):
    """An engine that answers as GPAW's does where it is missing or broken."""
    program = tmp_path / "engine.py"
    program.write_text(f"import json, sys; sys.stdin.readline(); print(json.dumps({message!r}))")
    monkeypatch.setattr("smoacs.dft.oracle.GPAW_ENGINE", (sys.executable, str(program)))


@pytest.mark.parametrize(
    "reason",
    [
        "DFT needs GPAW, which is not installed; get it with pip install gpaw",
        "GPAW is installed but does not load (libxc.so.9: cannot open shared object file)",
    ],
)
def test_without_gpaw_there_is_one_clear_line(folder, capsys, monkeypatch, tmp_path, reason):
    engine_says(monkeypatch, tmp_path, {"missing": reason})
    assert smoacs(["check", str(folder), *CHECK]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert "dft_status" not in (folder / "results.csv").read_text(encoding="utf-8")
