"""The tables of the paper: specification, records that resume, sums and the page."""

import json

import numpy as np
import pytest

from toys import Bowl, PairEnergy, perovskite_crystal

pytest.importorskip("cmaes")
pytest.importorskip("optuna")

from benchmarks.paper import __main__ as command
from benchmarks.paper.document import page
from benchmarks.paper.holds import add_holds
from benchmarks.paper.methods import METHODS, NotApplicableError, Task, solve
from benchmarks.paper.records import Store, fingerprint, from_record, run, to_record
from benchmarks.paper.specification import ROWS, Problem, Row
from benchmarks.paper.summary import Value, not_behind, summarise
from smoacs.checking import RelaxedDesign
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.targets import Target

TOY = Problem(name="toy", targets=("toy < 0.4", "0.8 <= tolerance_factor <= 1.0"), n=4, steps=10)
ROW = Row(table=4, name="toy", problem=TOY, criteria=TOY.targets, paper={"theirs": 0.5})


def toy_predictor():
    return CombinedPredictor([PairEnergy(), Bowl(), ToleranceFactor()])


def test_rows_cover_the_tables_and_can_be_asked_for():
    assert {row.table for row in ROWS} == {2, 3, 4, 5, 6, 7}
    assert len({row.key for row in ROWS}) == len(ROWS) == 18
    by_name = {}
    for row in ROWS:
        for text in (*row.criteria, *row.problem.targets):
            Target.parse(text)
        assert all(0 <= value <= 1 for value in row.paper.values())
        assert by_name.setdefault(row.problem.name, row.problem) == row.problem


@pytest.mark.parametrize("method", [m for m in METHODS if m not in {"exhaustive", "at-rest"}])
def test_a_run_is_judged_and_counted(method):
    task = Task(TOY, method, seed=0, n=TOY.n, steps=TOY.steps)
    record = run(task, [ROW], toy_predictor())
    assert record["calls"] <= TOY.n * TOY.steps
    verdict = record["rows"][ROW.key]
    assert 0 <= verdict["unique"] <= verdict["success"] <= 1
    assert {"toy_met", "tolerance_factor_met", "neutral", "template_kept"} <= set(
        verdict["criteria"]
    )
    assert len(verdict["sample"]) == round(verdict["unique"] * TOY.n)
    found = record["found"]
    assert found["total"] >= verdict["unique"] * TOY.n - 1e-9
    assert found["calls"] == sorted(found["calls"])
    json.dumps(record)


def test_what_cannot_be_run_says_why(tmp_path):
    predictor = toy_predictor()
    cases = {
        "no critical_temperature": Problem(name="x", targets=("critical_temperature > 1",)),
        "too many compositions": Problem(name="x", targets=("toy < 1",), repeat=3),
        "x.parquet is not there": Problem(name="x", targets=("toy < 1",), data="x.parquet"),
    }
    for words, problem in cases.items():
        method = "exhaustive" if problem.repeat > 1 else "random"
        task = Task(problem, method, seed=0, n=2, steps=2, data=tmp_path)
        with pytest.raises(NotApplicableError, match=words):
            solve(task, predictor)
        assert words in run(task, [], predictor)["not_run"]


def test_records_are_kept_until_the_predictor_changes(tmp_path, monkeypatch, capsys):
    predictor = toy_predictor()
    monkeypatch.setattr(command, "load_predictor", lambda *_, **__: predictor)
    monkeypatch.setattr(command, "ROWS", (ROW,))
    arguments = ["toy", "--methods", "random", "--seeds", "2", "--out", str(tmp_path)]
    command.main(arguments)
    files = sorted(tmp_path.glob("toy/*.json"))
    assert [file.name for file in files] == [
        "random-n4x10-seed0.json",
        "random-n4x10-seed1.json",
    ]
    before = [file.stat().st_mtime_ns for file in files]
    command.main(arguments)
    assert [file.stat().st_mtime_ns for file in files] == before
    assert capsys.readouterr().out.count("2/2 toy random seed 1") == 2
    task = Task(TOY, "random", seed=0, n=4, steps=10)
    assert Store(tmp_path, fingerprint(predictor)).load(task) is not None
    assert Store(tmp_path, fingerprint(Bowl())).load(task) is None


def test_quick_is_small():
    args = command.parsed(["--quick"])
    todo = command.tasks(args)
    assert sum(task.n * task.steps for task, _ in todo) < 20_000
    assert all(rows for _, rows in todo)
    with pytest.raises(SystemExit):
        command.parsed(["perovskit"])


def record(method, seed, success, found, **changes):
    verdict = {"success": success, "unique": success, "criteria": {"neutral": 1.0}}
    return {
        "problem": "perovskite-2.5",
        "method": method,
        "seed": seed,
        "n": 8,
        "steps": 10,
        "predictor": "p",
        "calls": 80,
        "seconds": 2.0,
        "ended": "budget",
        "found": {
            "total": found,
            "distinct": list(range(1, found + 1)),
            "calls": list(range(10, 10 + found)),
            "reached": {"1": [10, 0.5]},
        },
        "rows": {"4: perovskite, gap 2.5 ± 0.2 eV": verdict},
        **changes,
    }


def test_the_page_shows_means_and_where_we_are_not_ahead(tmp_path):
    records = [
        record("default", 0, 0.8, 6),
        record("default", 1, 1.0, 8),
        record("ga", 0, 0.95, 2),
        record("random", 0, 0.1, 1, ended="time"),
        record("tpe", 0, 0.2, 1, n=4),
    ]
    row = next(row for row in ROWS if row.name == "perovskite, gap 2.5 ± 0.2 eV")
    summaries = summarise(row, records)
    assert summaries[0].values["success"] == Value(0.9, pytest.approx(0.1))
    assert summaries[0].values["per_1000_calls"].mean == pytest.approx(87.5)
    assert not_behind(summaries) == {"ga": ["success"]}  # tpe had another budget
    text = page(records, tmp_path / "images", "images")
    assert "| default | 0.90 ± 0.10 |" in text
    assert "| **ga** | **0.95** |" in text
    assert "**`default` is not ahead of `ga` in success.**" in text
    assert "`random` ran out of time" in text
    assert text.count("Not run yet") == len(ROWS) - 1
    assert "SMOACS (ALIGNN) 0.39" in text
    assert (tmp_path / "images" / "perovskite-2.5.png").stat().st_size > 5000
    assert "| ga | 10 (0 s) | never | never |" in text


def test_structures_survive_their_records():
    crystal = perovskite_crystal()
    again = from_record(json.loads(json.dumps(to_record(crystal))))
    assert again.species == crystal.species
    assert np.allclose(again.lattice.matrix, crystal.lattice.matrix)


class Still:
    """A potential at whose minimum every second crystal already is; the others swell."""

    name = "still"

    def relax(self, structures, _):
        for k, structure in enumerate(structures):
            end = structure.copy()
            end.remove_oxidation_states()
            if k % 2:
                end.scale_lattice(1.5 * end.volume)
            yield [RelaxedDesign(end, -1.0, 3, True, "")]


def test_holds_is_added_to_records_that_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.paper.holds.load_potential", Still)
    predictor = toy_predictor()
    store = Store(tmp_path, fingerprint(predictor))
    easy = Problem(name="easy", targets=("toy < 2", "0.8 <= tolerance_factor <= 1.0"))
    row = Row(table=4, name="easy", problem=easy, criteria=easy.targets)
    task, missing = (Task(easy, method, seed=0, n=4, steps=10) for method in ("random", "ga"))
    record = run(task, [row], predictor)
    assert len(record["rows"][row.key]["sample"]) == 4
    store.save(task, record)
    for _ in range(2):
        add_holds(store, [(task, [row]), (missing, [row])], predictor)
        assert store.load(task)["rows"][row.key]["holds"] == 0.5
