"""The tables of the paper: specification, records that resume, sums and the page."""

import json

import numpy as np
import pytest

from toys import Bowl, PairEnergy, perovskite_crystal

pytest.importorskip("cmaes")
pytest.importorskip("optuna")

from benchmarks.paper import __main__ as command
from benchmarks.paper import plan
from benchmarks.paper.document import TITLES, page, table_page
from benchmarks.paper.existing import existing
from benchmarks.paper.holds import add_holds
from benchmarks.paper.methods import AT_REST, METHODS, NotApplicableError, Task, solve
from benchmarks.paper.plan import FIRST, TIERS, Clock, ordered
from benchmarks.paper.records import Store, fingerprint, from_record, run, to_record
from benchmarks.paper.specification import ROWS, Problem, Row
from benchmarks.paper.summary import PUBLISHED, RESTING, WORDS, Value, not_behind, summarise
from benchmarks.rivals import GENERATIVE
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


@pytest.mark.parametrize("method", sorted({*METHODS} - {"exhaustive", *GENERATIVE}))
def test_a_run_is_judged_and_counted(method):
    task = Task(TOY, method, seed=0, n=TOY.n, steps=TOY.steps)
    record = run(task, [ROW], toy_predictor())
    late = 1.05 if method == "default" else 1.0  # slopes for the last swaps come on top
    assert record["calls"] <= late * TOY.n * TOY.steps
    assert record["budget_share"] == 1
    verdict = record["rows"][ROW.key]
    assert 0 <= verdict["unique"] <= verdict["success"] <= 1
    assert {"toy_met", "tolerance_factor_met", "neutral", "template_kept"} <= set(
        verdict["criteria"]
    )
    kinds = [("rows", "found")]
    if method in AT_REST:
        kinds.append(("rows_at_rest", "found_at_rest"))
        assert "at_rest" in record["rows_at_rest"][ROW.key]["criteria"]
        assert record["found_at_rest"]["total"] <= record["found"]["total"]
    else:
        assert "rows_at_rest" not in record
    for rows, finds in kinds:
        judged, found = record[rows][ROW.key], record[finds]
        assert found["total"] >= judged["unique"] * TOY.n - 1e-9
        assert found["calls"] == sorted(found["calls"])
    assert len(judged["sample"]) == round(judged["unique"] * TOY.n)
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
        if problem.repeat > 1:
            nothing = run(Task(problem, "vae", seed=0, n=2, steps=2), [], predictor)
            assert "perovskites of five atoms" in nothing["not_run"]
        task = Task(problem, method, seed=0, n=2, steps=2, data=tmp_path)
        with pytest.raises(NotApplicableError, match=words):
            solve(task, predictor)
        assert words in run(task, [], predictor)["not_run"]


def test_records_are_kept_until_the_predictor_changes(tmp_path, monkeypatch, capsys):
    predictor = toy_predictor()
    monkeypatch.setattr(command, "load_predictor", lambda *_, **__: predictor)
    for module in (command, plan):
        monkeypatch.setattr(module, "ROWS", (ROW,))
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


def test_one_run_that_fails_does_not_end_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_predictor", lambda *_, **__: toy_predictor())
    for module in (command, plan):
        monkeypatch.setattr(module, "ROWS", (ROW,))
    real = command.run

    def broken(task, rows, predictor):
        if task.method == "cma":
            raise RuntimeError("no luck")
        return real(task, rows, predictor)

    monkeypatch.setattr(command, "run", broken)
    arguments = ["toy", "--methods", "cma", "random", "--seeds", "1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="1 of 2 runs failed: 1/2 toy cma seed 0"):
        command.main(arguments)
    assert "no luck" in capsys.readouterr().err
    assert [file.name for file in tmp_path.glob("toy/*.json")] == ["random-n4x10-seed0.json"]


def test_what_matters_most_comes_first_and_nothing_twice():
    names = {row.problem.name for row in ROWS}
    assert sorted(method for tier in TIERS for method in tier) == sorted(METHODS) == sorted(WORDS)
    runs = ordered(names, METHODS, 2)
    assert len(runs) == len(set(runs)) == len(names) * (2 * len(METHODS) - 1)
    assert runs[0] == (FIRST, "default", 0)
    first = runs[: len(names) * len(TIERS[0])]
    assert {method for _, method, _ in first} == set(TIERS[0])
    assert {seed for _, _, seed in runs[: len(names) * len(METHODS)]} == {0}
    assert not [run for run in runs if run[1:] == ("exhaustive", 1)]


def test_a_run_that_would_end_too_late_is_not_begun():
    task = Task(ROWS[-1].problem, "ga", seed=0, n=64, steps=200)
    head = {"n": 32, "steps": 200, "seconds": 60.0}
    other = {"problem": "perovskite-2.5", "method": "random", **head, "seconds": 30.0}
    same = {"problem": "perovskite-2.5", "method": "ga", **head}
    large = {"problem": "135-atoms-4.0", "method": "ga", **head, "seconds": 1e6}
    assert Clock(minutes=0.5).fits(task)  # nothing is known
    assert Clock(minutes=1.5, records=[large, other]).fits(task)
    cell = Task(ROWS[11].problem, "cma", seed=0, n=32, steps=200)
    assert Clock(minutes=None, records=[other]).expected(cell) == 27 * 30
    assert Clock(minutes=1.5, records=[other, same]).expected(task) == 120
    assert not Clock(minutes=1.5, records=[other, same]).fits(task)
    assert Clock(minutes=None, records=[same]).fits(task)


def test_a_share_of_the_budget_is_kept_apart(tmp_path):
    args = command.parsed(["perovskite-2.5", "--methods", "ga", "--budget-share", "0.25"])
    (task, _), *_ = command.tasks(args)
    assert (task.n, task.steps, task.budget_share) == (64, 200, 0.25)
    with pytest.raises(SystemExit):
        command.parsed(["--budget-share", "0"])
    records = [record("default", 0, 0.8, 6), record("ga", 0, 0.9, 5, n=4, budget_share=0.5)]
    text = pages(records, tmp_path, records[-1]["predictor"])
    assert "**Budget: 8 × 10 predictor calls, the paper's**; seeds: 1." in text
    assert "**Budget: 4 × 10 predictor calls, 50.0 % of the paper's**; seeds: 1." in text
    assert "`default` is not ahead" not in text
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "perovskite-2.5-8x10.png",
        "perovskite-2.5-4x10.png",
    }


def test_quick_is_small():
    args = command.parsed(["--quick"])
    todo = command.tasks(args)
    assert sum(task.n * task.steps for task, _ in todo) < 20_000
    assert all(rows for _, rows in todo)
    with pytest.raises(SystemExit):
        command.parsed(["perovskit"])


def pages(records, folder, present):
    """The first page and those of the tables, one after the other."""
    tables = [table_page(number, records, folder / "images", "images") for number in TITLES]
    return "\n".join([page(records, present=present), *tables])


def record(method, seed, success, found, **changes):
    verdict = {"success": success, "unique": success, "criteria": {"neutral": 1.0}}
    return {
        "problem": "perovskite-2.5",
        "method": method,
        "seed": seed,
        "n": 8,
        "steps": 10,
        "budget_share": 1.0,
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


def at_rest(own):
    return {**own, "rows_at_rest": own["rows"], "found_at_rest": own["found"]}


def test_the_page_shows_means_and_where_we_are_not_ahead(tmp_path):
    records = [
        record("no-rest", 0, 0.8, 6),
        record("no-rest", 1, 1.0, 8),
        at_rest(record("default", 0, 0.7, 5)),
        at_rest(record("ga", 0, 0.95, 2)),
        record("random", 0, 0.1, 1, ended="time"),
        record("tpe", 0, 0.2, 1, n=4),
    ]
    row = next(row for row in ROWS if row.name == "perovskite, gap 2.5 ± 0.2 eV")
    summaries = {s.method: s for s in summarise(row, records, (8, 10), PUBLISHED)}
    assert summaries["no-rest"].values["success"] == Value(0.9, pytest.approx(0.1))
    assert summaries["no-rest"].values["per_1000_calls"].mean == pytest.approx(87.5)
    assert "tpe" not in summaries  # which had another budget
    assert not_behind(list(summaries.values())) == {"ga": ["success"]}
    resting = summarise(row, records, (8, 10), RESTING)
    assert [s.method for s in resting] == ["default", "ga"]
    assert not_behind(resting) == {"ga": ["success"]}
    text = pages(records, tmp_path, records[-1]["predictor"])
    assert "| no-rest | 0.90 ± 0.10 |" in text
    assert text.count("| **ga** | **0.95** |") == 2
    assert text.count("**`default` is not ahead of `ga` in success.**") == 2
    glance = f"| **{row.key}** | **at rest as well** | **100 %** | **0.70** | **0.95 `ga`** |"
    assert glance in text
    assert "`random` ran out of time" in text
    assert text.count("Not run yet") == len(ROWS) - 1
    assert "SMOACS (ALIGNN) 0.39" in text
    assert (tmp_path / "images" / "perovskite-2.5-8x10.png").stat().st_size > 5000
    assert "| ga | 10 (0 s, 1.0 ×) | never | never | never |" in text
    assert "earlier weights" not in text
    later = pages(records, tmp_path, "q")
    assert "earlier weights (fingerprint `p`) than those in the package (`q`)" in later


def test_the_page_says_what_holds(tmp_path):
    half = {"budget_share": 0.5}
    records = [
        at_rest(record("default", 0, 0.7, 5, **half)),
        at_rest(record("ga", 0, 1.0, 2, **half)),
        record("random", 0, 1.0, 1, **half),
        record("cma", 0, 0.9, 1, **half),
    ]
    row = next(row for row in ROWS if row.name == "perovskite, gap 2.5 ± 0.2 eV")
    for one, holds in zip(records, (1.0, 0.25, 0.5, 0.75), strict=True):
        verdict = one["rows_at_rest" if "rows_at_rest" in one else "rows"]
        verdict[row.key] = {**verdict[row.key], "holds": holds, "holds_of": 20}
    text = pages(records, tmp_path, records[-1]["predictor"])
    assert "| `default` | 1 | 20 | 20 | 100 % |" in text
    assert "| `ga` | 1 | 20 | 5 | 25 % |" in text
    published, resting = (
        next(line for line in text.splitlines() if row.key in line and words in line)
        for words in (PUBLISHED.words, RESTING.words)
    )
    assert published.endswith("| **1.00** | **0.50 `random`** |"), "of those level in success"
    assert resting.endswith("| **1.00** | **0.25 `ga`** |")


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
    monkeypatch.setattr("benchmarks.paper.holds.load_potential", lambda _name: Still())
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


def test_values_with_thousands_have_their_spread():
    assert Value(4691.0, 1144.4).text(0) == "4,691 ± 1,144"
    assert Value(1.0, 0.001).text() == "1.00"


def test_what_exists_is_told_beside_what_was_found(tmp_path):
    run = {
        "distinct": 39,
        "recall": 0.98,
        "success": 1.0,
        "holds": 0.95,
        "predictor_calls": 13904,
        "seconds": 10.4,
    }
    tasks = [
        {"name": "gap", "exist": 40, "runs": [run, run | {"recall": 0.92}]},
        {"name": "nothing", "exist": 0, "runs": [run | {"distinct": 0, "recall": 0.0}]},
        {"name": "left", "left_out": "no shear_modulus in the predictor"},
    ]
    report = {"enumeration": {"relaxed": 12673, "seconds": 32.4}, "tasks": tasks}
    file = tmp_path / "recall.json"
    assert existing(file) == ""
    file.write_text(json.dumps(report))
    text = existing(file)
    assert "(12,673 of them, 32 s)" in text
    assert "| gap | 40 | 39 | 0.95 ± 0.03 | 1.00 | 0.95 | 13,904 | 10 |" in text
    assert "| nothing | 0 | 0 |  | 1.00 |" in text
    assert "left" not in text.split("seconds |")[1]
