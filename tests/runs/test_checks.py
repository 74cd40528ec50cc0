"""Checks of a run: what they add, what they keep, and that a killed one loses nothing."""

import errno
import json
from types import MappingProxyType

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest

import smoacs.runs.checks as checks_module
from smoacs.checking import CheckSettings, RelaxedDesign
from smoacs.chemistry import ELEMENTS
from smoacs.dft import DftLabel, DftValues
from smoacs.errors import InputError, ResourceError
from smoacs.files import is_workspace, whole
from smoacs.runs import check, checks_text, read_run, save_run, write_report
from smoacs.runs.checked import cell_text
from toys import perovskite_crystal as perovskite


class Gap:
    """Every crystal has the gap that was asked for."""

    cutoff = 0.0
    elements = frozenset(ELEMENTS)
    properties = MappingProxyType({"band_gap": "eV", "formation_energy": "eV/atom"})

    def __call__(self, crystals, neighbors):
        del neighbors
        zero = 0 * crystals.volume
        return {"band_gap": zero + 2.5, "formation_energy": zero - 1}


class Swelling:
    """Swells crystals by a share of their lengths."""

    def __init__(self, share=0.01):
        self.name = f"swelling {share}"
        self.share = share
        self.asked = 0

    def relax(self, structures, settings):
        del settings
        for structure in structures:
            self.asked += 1
            end = structure.copy().remove_oxidation_states()
            end.scale_lattice(end.volume * (1 + self.share) ** 3)
            yield [RelaxedDesign(end, -3.0, 5, converged=True)]


def stable(structures, potential, *, cache, settings, progress):
    """What phonons say of crystals without soft modes, in no time."""
    del potential, cache
    progress(len(structures), len(structures))
    columns = {
        "phonon_frequency": [settings.threshold / 2] * len(structures),
        "dynamically_stable": [True] * len(structures),
        "phonon_failure": [""] * len(structures),
    }
    return pd.DataFrame(columns)


@pytest.fixture
def folder(result, table, tmp_path):
    table = table.assign(template_kept=True)
    return save_run(result, table, tmp_path / "run", force=False)


@pytest.fixture
def potential(monkeypatch):
    potential = Swelling()
    monkeypatch.setattr(checks_module, "load_potential", lambda _: potential)
    monkeypatch.setattr(checks_module, "phonon_table", stable)
    return potential


def lines(folder):
    return (folder / "results.csv").read_text().splitlines()


def test_columns_join_and_nothing_else_changes(folder, potential):
    before = lines(folder)
    told = []
    checked = check(folder, predictor=Gap(), progress=lambda *x: told.append(x))
    after = lines(folder)
    assert [b == a[: len(b)] for b, a in zip(before, after, strict=True)] == [True] * 6
    table = checked.run.table
    assert checked.ids == ("0001", "0002")
    assert table["survives_relaxation"].tolist() == [True, True, None, None, None]
    assert table["success_checked"].tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(table["length_change"][:2], 0.01, atol=1e-6)
    np.testing.assert_allclose(table["relaxed_band_gap"][:2], 2.5)
    assert table["smact_valid"].tolist()[:2] == [True, True]
    assert ("relaxation", 2, 2) in told
    assert ("chemistry", 2, 2) in told
    frames = ase.io.read(folder / "relaxed.extxyz", index=":")
    assert [atoms.info["design"] for atoms in frames] == ["id-0001", "id-0002"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n"] == 5
    assert summary["checks"]["relaxation"]["survival_rate"] == 1
    assert summary["checks"]["relaxation"]["settings"]["potential"] == "swelling 0.01"
    assert "survives relaxation" in (folder / "report.html").read_text().replace("_", " ")
    with ase.db.connect(folder / "designs.db") as database:
        assert [row.candidate for row in database.select("survives_relaxation")] == [1, 2]


def test_again_is_the_same_and_costs_nothing(folder, potential):
    check(folder, predictor=Gap())
    first = lines(folder)
    check(folder, predictor=Gap())
    assert potential.asked == 3, "two successes, one of which is distinct and rattled"
    assert lines(folder) == first
    check(folder, predictor=Gap(), force=True)
    assert potential.asked == 6
    assert lines(folder) == first


def test_a_few_designs_then_all(folder, potential):
    first = check(folder, limit=1, predictor=Gap())
    assert first.ids == ("0001",)
    assert first.run.table["success_checked"].tolist() == [True, None, False, False, False]
    both = check(folder, predictor=Gap())
    assert potential.asked == 3
    assert both.run.table["success_checked"].tolist() == [True, True, False, False, False]
    assert len(ase.io.read(folder / "relaxed.extxyz", index=":")) == 2


def test_another_potential_replaces_what_the_first_found(folder, potential, monkeypatch):
    check(folder, predictor=Gap())
    monkeypatch.setattr(checks_module, "load_potential", lambda _: Swelling(0.1))
    checked = check(folder, limit=1, predictor=Gap())
    assert checked.run.table["survives_relaxation"].tolist() == [False, None, None, None, None]
    assert checked.checks["relaxation"]["designs"] == 1
    assert checked.checks["relaxation"]["survival_rate"] == 0
    assert len(ase.io.read(folder / "relaxed.extxyz", index=":")) == 1


def test_a_kill_before_the_end_loses_nothing(folder, potential, monkeypatch):
    before = lines(folder)

    def full(*args):
        raise ResourceError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(checks_module, "chemistry_table", full)
        with pytest.raises(ResourceError):
            check(folder, predictor=Gap())
    assert lines(folder) == before
    assert json.loads((folder / "summary.json").read_text()).get("checks") is None
    check(folder, predictor=Gap())
    assert potential.asked == 3


def test_without_successes_there_is_nothing_to_check(result, table, tmp_path, potential):
    none = table.assign(success=False, unique=False)
    folder = save_run(result, none, tmp_path / "failed", force=False)
    checked = check(folder, predictor=Gap())
    assert checked.ids == ()
    assert checked.run.table["success_checked"].tolist() == [False] * 5
    assert checked.checks["relaxation"]["designs"] == 0


def test_a_reference(folder, potential, tmp_path):
    known = tmp_path / "known.json"
    known.write_text(json.dumps({"mp-1": perovskite().as_dict()}))
    checked = check(folder, reference=str(known), predictor=Gap())
    assert checked.run.table["known_formula_in_reference"].tolist() == [
        True,
        True,
        None,
        None,
        None,
    ]
    assert checked.checks["novelty"]["known_formula_in_reference"] == 2


def test_first_principles(folder, potential, monkeypatch):
    asked = []

    def labels(structures, settings, **options):
        asked.append((len(structures), options["cache"].name, options["workers"]))
        values = DftValues(
            band_gap=2.9,
            band_gap_direct=3.0,
            energy_per_atom=-3.0,
            pressure=1.5,
            stress=None,
            forces=((0.0, 0.0, 0.0),),
            max_force=0.02,
            magnetic_moment=0.0,
            spin_polarized=False,
            hubbard_u={},
            cutoff=500.0,
            kpoints=(4, 4, 4),
            iterations=9,
            engine="fake 1",
        )
        return [DftLabel(key="k", settings="s", results=values) for _ in structures]

    monkeypatch.setattr(checks_module, "label", labels)
    checked = check(folder, potential="none", dft="vasp", workers=2, predictor=Gap())
    assert asked == [(1, "dft_vasp.jsonl", 2)], "designs of one formula once"
    assert "survives_relaxation" not in checked.run.table
    assert checked.run.table["confirmed"].tolist() == [True, None, None, None, None]
    assert checked.run.table["dft_status"].tolist() == ["ok", "", "", "", ""]
    assert checked.run.columns["dft_band_gap"].scale == "PBE and PBE+U (vasp)"
    text = checks_text(checked.checks, folder)
    assert "dft (vasp), 1 design: 1 confirmed" in text


def test_designs_that_are_let_go_from_a_rattled_supercell(folder, potential):
    told = []
    checked = check(folder, predictor=Gap(), progress=lambda *x: told.append(x))
    table = checked.run.table
    assert ("rattled", 1, 1) in told
    assert table["keeps_lattice"].tolist() == [True, None, None, None, None], "distinct ones only"
    assert table["keeps_structure"][0]
    assert table["keeps_targets"][0]
    assert table["rattled_energy_gain"][0] == 0
    assert table["rattled_band_gap"][0] == 2.5
    (end,) = ase.io.read(folder / "rattled.extxyz", index=":")
    assert end.info["design"] == "id-0001"
    assert len(end) == 40
    assert checked.checks["rattled"]["settings"]["displacement"] == 0.05
    last = checks_text(checked.checks, folder).splitlines()[-1]
    assert last == (
        "1 of 1 is dynamically stable, 1 of 1 keeps its lattice, 1 of 1 keeps its targets"
    )
    assert checked.run.columns["rattled_band_gap"].unit == "eV"


def test_a_check_that_is_killed_between_two_rattled_crystals_goes_on(
    folder, potential, monkeypatch
):
    table = read_run(folder).table
    ids = table["id"].tolist()[:2]
    monkeypatch.setattr(
        checks_module,
        "choose",
        lambda run, _: run.table[run.table["id"].isin(ids)].assign(unique=True),
    )
    whole = potential.relax

    def killed(structures, settings):
        for number, batch in enumerate(whole(structures, settings)):
            if len(structures[0]) > 5 and number == 1:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(potential, "relax", killed)
        with pytest.raises(KeyboardInterrupt):
            check(folder, predictor=Gap())
    findings = folder / "checks" / "rattled.jsonl"
    first = findings.read_text()
    assert first.count("\n") == 1
    asked = potential.asked
    checked = check(folder, predictor=Gap())
    assert potential.asked == asked + 1
    assert findings.read_text().startswith(first)
    assert checked.checks["rattled"]["designs"] == 2


def test_what_is_not_asked_for_is_not_looked_at(folder, potential):
    checked = check(folder, predictor=Gap(), rattled=False, phonons=False)
    assert set(checked.checks) == {"relaxation", "chemistry"}
    assert potential.asked == 2
    assert checks_text(checked.checks, folder).splitlines()[-1].startswith("columns in")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 2, "sample": 2}, "not both"),
        ({"limit": 0}, "limit is 0; it is at least 1"),
        ({"workers": 0}, "workers is 0"),
        ({"sample": 1, "seed": -1}, "seed is -1"),
        ({"dft_tolerance": 0.0}, "it is positive"),
        ({"potential": "none", "phonons": True}, "phonons need a potential"),
        ({"potential": "none", "dft_relaxed": True}, "need a potential that relaxes"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(InputError, match=message):
        CheckSettings(**settings)


def test_mistakes_leave_no_trace(folder, potential, tmp_path):
    before = sorted(path.name for path in folder.iterdir())
    for wrong in ({"dft": "abinit"}, {"reference": str(tmp_path / "gone.json")}):
        with pytest.raises(InputError):
            check(folder, predictor=Gap(), **wrong)
    assert sorted(path.name for path in folder.iterdir()) == before
    with pytest.raises(InputError, match="no run directory"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("designs.db", b""), ("designs.db", b"\xff\x00\xfe"), ("relaxed.extxyz", b"no crystal\n")],
)
def test_a_damaged_file_is_found_before_the_work(folder, potential, name, content):
    (folder / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=f"{name}: is damaged.*remove it"):
        check(folder, predictor=Gap())
    assert potential.asked == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert not (folder / "checks").exists()


def test_a_random_sample_is_the_same_for_the_same_seed(folder):
    run = read_run(folder)
    run.table.loc[1, "unique"] = True
    chosen = {
        tuple(checks_module.choose(run, CheckSettings(sample=1, seed=seed))["id"])
        for seed in range(20)
    }
    assert chosen == {("0001",), ("0002",)}
    again = checks_module.choose(run, CheckSettings(sample=1, seed=3))
    assert again.equals(checks_module.choose(run, CheckSettings(sample=1, seed=3)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (np.float64(0.1), "0.100000"),
        (True, "True"),
        (3, "3"),
        ("", ""),
    ],
)
def test_cells(value, text):
    assert cell_text(value) == text


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("last", ["results.csv", "summary.json", "designs.db", "report.html"])
def test_a_disk_that_fills_up_leaves_all_files_as_they_were(last, folder, potential, monkeypatch):
    before = contents(folder)
    flush = whole._flush

    def full(file):
        if file.name == last:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    with monkeypatch.context() as patch:
        patch.setattr(whole, "_flush", full)
        with pytest.raises(ResourceError, match="the disk is full, nothing was written"):
            check(folder, predictor=Gap())
    assert contents(folder) == before
    check(folder, predictor=Gap())
    assert potential.asked == 3
    after = contents(folder)
    assert all(after[name] != before[name] for name in ("results.csv", "summary.json", last))
    assert after["report.html"] == write_report(folder).read_bytes()


def test_a_check_that_was_killed_while_its_files_took_their_places_is_brought_to_its_end(
    folder, potential, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    check(folder, predictor=Gap(), limit=1)
    before = contents(folder)
    end = whole._end
    with monkeypatch.context() as patch:
        patch.setattr(whole, "_end", kill)
        with pytest.raises(Killed):
            check(folder, predictor=Gap())
    monkeypatch.setattr(whole, "_end", end)
    assert contents(folder) == before
    table = read_run(folder).table
    assert table["survives_relaxation"].tolist() == [True, True, None, None, None]
    assert not [path for path in folder.iterdir() if is_workspace(path)]


def test_a_run_is_checked_by_a_relative_path(folder, potential, monkeypatch):
    monkeypatch.chdir(folder.parent)
    checked = check(folder.name, predictor=Gap())
    assert checked.run.table["survives_relaxation"].tolist() == [True, True, None, None, None]
