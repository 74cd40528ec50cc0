"""What the report knows: read from the run directory's files, checked against them."""

import csv
import json

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase.data import covalent_radii

from smoacs.errors import InputError
from smoacs.report import build_payload
from smoacs.report.columns import describe
from smoacs.report.movement import MAX_POINTS, movement
from smoacs.results import saved_columns


@pytest.fixture(scope="module")
def payload(run):
    return build_payload(run)


def column(payload, key):
    return next(c for c in payload["columns"] if c["key"] == key)


def values(payload, key):
    place = payload["keys"].index(key)
    return [row[place] for row in payload["rows"]]


def test_the_payload_is_plain_json(payload):
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


def test_rows_are_those_of_the_table(payload, run):
    rows = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    assert values(payload, "id") == [row["id"] for row in rows]
    assert values(payload, "band_gap")[:-1] == [float(row["band_gap"]) for row in rows[:-1]]
    assert values(payload, "band_gap")[-1] is None
    assert values(payload, "success") == [row["success"] == "True" for row in rows]
    assert values(payload, "confirmed")[:3] == [True, False, None]
    assert values(payload, "dft_band_gap")[:2] == [3.25, None]


def test_spreads_belong_to_their_property_however_they_are_named(payload):
    assert column(payload, "formation_energy")["std"] == "formation_energy.std"
    assert column(payload, "band_gap")["std"] == "band_gap_std"
    assert "band_gap_std" in payload["keys"]
    assert "band_gap_std" not in [c["key"] for c in payload["columns"]]


def test_columns_of_later_checks_are_shown_with_their_unit(payload):
    assert column(payload, "dft_band_gap")["group"] == "further"
    assert column(payload, "dft_band_gap")["unit"] == "eV"
    assert column(payload, "confirmed")["kind"] == "flag"
    assert column(payload, "remark")["kind"] == "text"


def test_targeted_properties_come_first():
    kinds = dict.fromkeys(("density", "id", "band_gap", "bulk_modulus"), "number")
    assert [c.key for c in describe(kinds, saved_columns({}, kinds), ["bulk_modulus"])] == [
        "id",
        "bulk_modulus",
        "density",
        "band_gap",
    ]


def test_targets_carry_bounds_words_and_units(payload):
    gap, energy = payload["targets"]
    assert (gap["low"], gap["high"], gap["text"]) == (2.3, 2.7, "2.3 ≤ band gap ≤ 2.7 eV")
    assert (energy["low"], energy["high"]) == (None, -0.5)
    assert energy["text"] == "formation energy < −0.5 eV/atom"
    assert [gap["short"], energy["short"]] == ["2.3 to 2.7", "< −0.5"]


def test_criteria_count_what_passes_and_what_fails_alone(payload, run):
    table = pd.read_csv(run / "results.csv")
    gap, energy, neutral = payload["criteria"]
    assert gap["passed"] == table["band_gap_met"].sum()
    assert gap["only"] == (~table["band_gap_met"] & table["formation_energy_met"]).sum()
    assert energy["only"] == (~table["formation_energy_met"] & table["band_gap_met"]).sum()
    assert (neutral["passed"], neutral["known"], neutral["only"]) == (40, 40, 0)
    confirmed = next(row for row in payload["further"] if row["key"] == "confirmed")
    judged = table["success"] & table["confirmed"].notna()
    assert confirmed["known"] == judged.sum()


def test_crystals_are_those_of_the_extxyz_file(payload, run):
    frames = ase.io.read(run / "structures.extxyz", index=":")
    assert payload["crystals"][-1] is None
    for packed, frame in zip(payload["crystals"], frames, strict=False):
        cell = np.reshape(packed["cell"], (3, 3))
        np.testing.assert_allclose(cell, frame.cell.array, atol=1e-7)
        positions = np.reshape(packed["frac"], (-1, 3)) @ cell
        np.testing.assert_allclose(positions, frame.positions, atol=1e-6)
        assert [payload["species"][k] for k in packed["kinds"]] == frame.get_chemical_symbols()
        assert packed["states"] == frame.arrays["oxidation_states"].tolist()
        assert [payload["sites"][k] for k in packed["places"]] == ["A", "B", "X", "X", "X"]


def test_each_element_has_a_colour_and_a_radius(payload):
    assert set(payload["elements"]) == set(payload["species"])
    assert payload["elements"]["O"] == {"color": "#ff0d0d", "radius": covalent_radii[8]}
    assert payload["symbols"][79 - 1] == "Au"


def test_movement_gives_quantiles_of_the_finite_values():
    history = pd.DataFrame({"step": [1] * 5 + [2] * 5, "candidate": [*range(5)] * 2})
    history["x"] = [0.0, 1, 2, 3, 4, np.nan, np.inf, 10, 20, 30]
    result = movement(history)
    assert result["steps"] == [1, 2]
    np.testing.assert_allclose(
        np.transpose(result["quantiles"]["x"])[1],
        np.quantile([10, 20, 30], (0.1, 0.25, 0.5, 0.75, 0.9)),
    )
    assert result["quantiles"]["x"][2] == [2.0, 20.0]


def test_a_step_without_any_finite_value_is_empty(payload):
    assert payload["history"]["quantiles"]["formation_energy"][2][:2] == [None, -1.0]


def test_long_histories_are_thinned_and_keep_both_ends():
    steps = np.arange(1, 5001)
    result = movement(pd.DataFrame({"step": steps, "candidate": 0, "x": 1.0}))
    assert len(result["steps"]) <= MAX_POINTS
    assert (result["steps"][0], result["steps"][-1]) == (1, 5000)


def test_a_run_without_steps_has_no_movement():
    empty = pd.DataFrame({"step": [], "candidate": [], "x": []})
    assert movement(empty) == {"steps": [], "quantiles": {"x": [[]] * 5}}


def test_runs_that_do_not_tell_their_sites_have_one_kind(broken_run):
    file = broken_run / "summary.json"
    summary = json.loads(file.read_text())
    del summary["site_labels"]
    file.write_text(json.dumps(summary))
    assert build_payload(broken_run)["sites"] == ["all sites"]


@pytest.mark.parametrize(
    "name", ["results.csv", "summary.json", "structures.extxyz", "history.parquet"]
)
def test_a_missing_file_is_named(broken_run, name):
    (broken_run / name).unlink()
    with pytest.raises(InputError, match=f"no run directory: {name} is missing"):
        build_payload(broken_run)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.csv", "id,success\n0001\n"),
        ("results.csv", ""),
        ("summary.json", "{"),
        ("summary.json", "{}"),
        ("summary.json", "[]"),
        ("structures.extxyz", "5\nno comment\nSr 0\n"),
        ("history.parquet", "text"),
    ],
)
def test_a_damaged_file_gives_one_sentence(broken_run, name, text):
    (broken_run / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}: is damaged"):
        build_payload(broken_run)


def test_a_run_without_any_finite_candidate_has_a_report(broken_run):
    lines = (broken_run / "results.csv").read_text().splitlines()
    (broken_run / "results.csv").write_text("\n".join([lines[0], lines[-1]]) + "\n")
    (broken_run / "structures.extxyz").write_text("")
    assert build_payload(broken_run)["crystals"] == [None]


def test_the_table_says_whether_crystals_are_at_rest(payload):
    assert column(payload, "pressure")["shown"]
    kinds = {"in_domain": "flag", "domain_warning": "text", "survives_relaxation": "flag"}
    shown = {c.key: c.shown for c in describe(kinds, saved_columns({}, kinds), [])}
    assert shown == {"in_domain": True, "domain_warning": False, "survives_relaxation": True}
