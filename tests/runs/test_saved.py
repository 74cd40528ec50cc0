"""A run directory read back is the run that was saved."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from smoacs.errors import InputError
from smoacs.export.design import choose_designs
from smoacs.report import build_payload
from smoacs.runs import read_run, save_run
from smoacs.runs.tables import rank_table, summary_text
from smoacs.runs.views import design_view, run_view
from smoacs.structures import frames
from smoacs.structures.ase_files import read_ase


@pytest.fixture
def folder(result, table, tmp_path):
    return save_run(result, table, tmp_path / "run", force=False)


def test_everything_comes_back(folder, result, table, structures):
    run = read_run(folder)
    ranked = rank_table(table, result.config.wanted).reset_index(drop=True)
    pd.testing.assert_frame_equal(run.table, ranked, check_dtype=False, rtol=0, atol=1e-6)
    assert run.config == result.config
    assert run.targets == result.config.wanted
    assert list(run.structures) == ["0001", "0002", "0003", "0004"]
    assert run.structures["0001"].species == structures[1].species
    np.testing.assert_allclose(
        run.structures["0001"].lattice.matrix, structures[1].lattice.matrix, atol=1e-8
    )
    assert run.summary["n"] == 5


def test_sodium_nitride_is_no_missing_value(folder):
    path = folder / "results.csv"
    path.write_text(path.read_text().replace("SrTiO3", "NaN"))
    run = read_run(folder)
    assert run.table["formula"].tolist() == ["KMgF3", "KMgF3", "NaN", "NaN", "KMgF3"]
    assert run.table["space_group"].iloc[4] == ""


def test_a_run_tells_what_its_numbers_are(result, table, tmp_path):
    scale = "PBE (Materials Project)"
    folder = save_run(
        result,
        table,
        tmp_path / "run",
        force=False,
        units={"band_gap": "eV", "formation_energy": "eV/atom"},
        scales={"band_gap": scale},
    )
    run = read_run(folder)
    assert [entry["name"] for entry in run.summary["columns"]] == list(run.table)
    assert run.summary["columns"][4] == {
        "name": "band_gap",
        "unit": "eV",
        "type": "number",
        "meaning": "what the predictor says",
        "scale": scale,
    }
    assert run.columns["band_gap"].scale == scale
    screen = Console(record=True, width=200, file=io.StringIO())
    for view in (design_view(run, 1), run_view(run), summary_text(run.summary, folder)):
        screen.print(view)
        assert scale in screen.export_text()
    payload = build_payload(folder)
    assert ["scale", f"band gap: {scale}"] in payload["settings"]
    assert any(scale in column["meaning"] for column in payload["columns"])


def test_choosing(folder):
    run = read_run(folder)
    assert run.select()["id"].tolist() == ["0001"]
    assert run.select(everything=True, limit=2)["id"].tolist() == ["0001", "0002"]
    assert run.select(ids=[3, "0001", "3"])["id"].tolist() == ["0003", "0001"]
    with pytest.raises(InputError, match="no candidate '7'"):
        run.select(ids=["7"])
    with pytest.raises(InputError, match="at least 1"):
        run.select(limit=0)


def test_what_is_no_run(folder, tmp_path):
    with pytest.raises(InputError, match="is no run directory"):
        read_run(tmp_path)
    (folder / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary\.json: cannot be read"):
        read_run(folder)


def test_structures_of_another_run(folder):
    path = folder / "results.csv"
    path.write_text(path.read_text().replace("SrTiO3", "BaTiO3"))
    with pytest.raises(InputError, match="does not hold the crystals"):
        _ = read_run(folder).structures


def test_of_a_few_crystals_no_others_are_read(folder, monkeypatch):
    whole = read_run(folder).structures
    read = []

    def counting(path, data, name):
        for found in read_ase(path, data, name):
            read.append(found)
            yield found

    monkeypatch.setattr(frames, "read_ase", counting)
    run = read_run(folder)
    few = run.crystals(["0003", "0001", "0005"])
    assert list(few) == ["0003", "0001"]
    assert all(few[name] == whole[name] for name in few)
    screen = Console(record=True, width=200, file=io.StringIO())
    screen.print(design_view(run, 2))
    assert len(read) == 3
    choose_designs(run, ids=[4])
    assert len(read) == 4


@pytest.mark.parametrize("damage", ["cut", "longer", "other"])
def test_damaged_crystals(folder, damage):
    path = folder / "structures.extxyz"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-200])
    elif damage == "longer":
        path.write_bytes(data + data)
    else:
        path.write_bytes(b"x" + data)
    with pytest.raises(InputError, match=r"structures\.extxyz"):
        read_run(folder).crystals(["0001"])


def test_a_table_that_was_cut_off(folder):
    path = folder / "results.csv"
    path.write_text(path.read_text()[:-400])
    with pytest.raises(InputError, match=r"results\.csv: is damaged: row \d has"):
        read_run(folder)


@pytest.mark.parametrize("text", ["", "id,formula\n", "id,formula\n1,2\n"])
def test_a_damaged_table(folder, text):
    (folder / "results.csv").write_text(text)
    with pytest.raises(InputError, match=r"results\.csv"):
        read_run(folder)
