"""A saved run: every file of the contract, best first, byte for byte the same again."""

import csv
import dataclasses
import io
import json

import ase.io
import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from smoacs.request import DesignConfig
from smoacs.runs import save_run
from smoacs.runs.tables import rank_table, summary_text
from smoacs.structures import read_structures
from smoacs.targets import Targets

FILES = [
    ".smoacs-run",
    "config.toml",
    "designs.db",
    "history.parquet",
    "history.png",
    "report.html",
    "results.csv",
    "structures",
    "structures.extxyz",
    "summary.json",
]
COLUMNS = (
    "id,success,formula,n_atoms,band_gap,formation_energy,band_gap_met,formation_energy_met,"
    "neutral,template_kept,min_distance,space_group,a,b,c,alpha,beta,gamma,oxidation_states,"
    "design,unique,novel,structure_file"
)


@pytest.fixture
def run(result, table, tmp_path):
    return save_run(result, table, tmp_path / "run", force=False)


def test_all_files_are_there_and_nothing_beside(run):
    assert sorted(path.name for path in run.iterdir()) == FILES
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_results_are_sorted_best_first(run):
    text = (run / "results.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["0001", "0002", "0003", "0004", "0005"]
    assert [row["band_gap"] for row in rows] == ["2.600000", "2.500000", "3.000000", "9.000000", ""]
    assert [row["success"] for row in rows] == ["True", "True", "False", "False", "False"]
    assert [row["structure_file"] for row in rows] == [
        "structures/0001_KMgF3.cif",
        "structures/0002_KMgF3.cif",
        "structures/0003_SrTiO3.cif",
        "structures/0004_SrTiO3.cif",
        "",
    ]


def test_the_best_of_a_design_is_the_unique_one(table, config):
    ranked = rank_table(table.iloc[::-1].reset_index(drop=True), config.wanted)
    assert ranked.index.tolist() == [2, 3, 4, 1, 0]
    assert ranked["unique"].tolist() == [True, False, False, False, False]
    assert ranked["design"].tolist() == [1, 1, 0, 0, 0]
    other = rank_table(table.assign(design=[0, 1, 2, 0, 0]), config.wanted)
    assert other["unique"].tolist() == [True, True, False, False, False]
    assert other["design"].tolist() == [1, 2, 0, 0, 0]  # from the best on


def test_extremes_sort_the_successes(table):
    config = DesignConfig(targets=("minimize band_gap",))
    ranked = rank_table(table, config.wanted)
    assert ranked["band_gap"].tolist()[:2] == [2.5, 2.6]


def test_conservative_runs_are_sorted_by_the_worse_side(table):
    table["band_gap.std"] = [0.1, 0.05, 0.4, 0.1, float("nan")]
    targets = Targets.of(["minimize band_gap"])
    assert rank_table(table, targets)["band_gap"].tolist()[:2] == [2.5, 2.6]
    cautious = rank_table(table, Targets(targets.each, conservative=1.0))
    assert cautious["band_gap"].tolist()[:2] == [2.6, 2.5]
    assert cautious.index.tolist()[-1] == 4


def test_structures_read_back_as_they_were(run, structures):
    rows = pd.read_csv(run / "results.csv", dtype={"id": str}).head(4)
    files = [run / name for name in rows["structure_file"]]
    read = [item.structure for item in read_structures(files)]
    frames = [item.structure for item in read_structures([run / "structures.extxyz"])]
    for candidate, cif, frame in zip([1, 2, 0, 3], read, frames, strict=True):
        original = structures[candidate]
        assert frame.species == original.species
        assert frame.lattice.parameters == pytest.approx(original.lattice.parameters)
        assert frame.frac_coords == pytest.approx(original.frac_coords, abs=1e-6)
        # The CIF is the same crystal in its conventional cell.
        matcher = StructureMatcher(ltol=1e-3, stol=5e-3, angle_tol=0.1, scale=False)
        assert matcher.fit(cif, original)


def test_extxyz_carries_the_properties(run):
    atoms = ase.io.read(run / "structures.extxyz", index=0)
    assert atoms.info["formula"] == "KMgF3"
    assert atoms.info["success"]
    assert atoms.info["band_gap"] == pytest.approx(2.6)
    assert atoms.arrays["oxidation_states"].tolist() == [1, 2, -1, -1, -1]


def test_summary(run, config):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["n"] == 5
    assert summary["success_rate"] == pytest.approx(0.4)
    assert summary["unique_success_rate"] == pytest.approx(0.2)
    assert summary["met_rates"] == pytest.approx(
        {"band_gap": 0.4, "formation_energy": 0.6, "neutral": 1.0, "template_kept": 0.6}
    )
    assert summary["neutral_rate"] == 1
    assert summary["non_finite"] == 1
    assert (summary["steps"], summary["predictor_calls"], summary["seed"]) == (3, 12, 4)
    assert summary["seconds"] == 2
    assert summary["timings"]["predictor"] == pytest.approx(1.235)
    assert set(summary["versions"]) == {"python", "smoacs", "torch", "pymatgen"}
    assert DesignConfig.from_mapping(summary["config"]) == config


def test_the_end_says_first_how_many_were_found(run, config):
    summary = json.loads((run / "summary.json").read_text())
    summary["config"]["n"] = 64
    first = summary_text(summary, run).splitlines()[0]
    assert first == (
        "1 found of 64 wanted and no more within the budget: 1 distinct designs; 2 of 5 candidates "
        "succeed"
    )
    assert (summary["wanted"], summary["found"]) == (config.n, 1)


def test_config_and_history_read_back(run, config, result):
    assert DesignConfig.from_toml(run / "config.toml") == config
    pd.testing.assert_frame_equal(pd.read_parquet(run / "history.parquet"), result.history)
    assert (run / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_design_gives_the_same_bytes(run, result, table):
    slower = dataclasses.replace(result, timings={"predictor": 9.0, "total": 99.0})
    again = save_run(slower, table, run.parent / "again", force=False)
    for name in ("results.csv", "structures.extxyz", "config.toml", "history.png"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


def test_a_run_without_any_usable_structure_is_saved(result, table, tmp_path):
    broken = table.assign(success=False, min_distance=float("nan"), band_gap=float("nan"))
    history = result.history.assign(band_gap=float("nan"))
    run = save_run(
        dataclasses.replace(result, history=history), broken, tmp_path / "run", force=False
    )
    assert sorted(path.name for path in run.iterdir()) == FILES
    assert json.loads((run / "summary.json").read_text())["non_finite"] == 5


def test_an_exhaustive_run_draws_what_there_is(tmp_path, result, table):
    everything = pd.DataFrame(
        {"band_gap": [0.0, 2.4, 2.6, np.nan], "met": [False, True, False, False]}
    )
    folder = save_run(
        dataclasses.replace(result, decorations=everything), table, tmp_path / "all", force=False
    )
    assert (folder / "decorations.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "history.png").exists()
    assert len(pd.read_csv(folder / "decorations.csv")) == 4
