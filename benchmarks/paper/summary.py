"""Means and standard deviations over the seeds of each row and method."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paper.methods import AT_REST, EXHAUSTIVE, METHODS
from benchmarks.paper.records import Record
from benchmarks.paper.specification import Row

Size = tuple[int, int]
"""Candidates and predictor calls per candidate."""


@dataclass(frozen=True)
class Contest:
    """One comparison on a row: by the published criteria, or at rest as well.

    Attributes:
        pace: Our method that times are compared with.
        methods: All that take part, in the order of the tables.
        rows: Where the verdicts are in a record.
        found: Where the finds are.
        words: What it is called.
    """

    pace: str
    methods: tuple[str, ...]
    rows: str
    found: str
    words: str


PUBLISHED = Contest(
    pace="no-rest",
    methods=tuple(m for m in METHODS if not m.endswith("-rest") or m == "no-rest"),
    rows="rows",
    found="found",
    words="by the published criteria",
)
RESTING = Contest(
    pace="default",
    methods=tuple(method for method in METHODS if method in AT_REST),
    rows="rows_at_rest",
    found="found_at_rest",
    words="at rest as well",
)
CONTESTS = (PUBLISHED, RESTING)
"""In the second all crystals are relaxed. In the first nobody's need be, and rivals' are not; our
default, whose are, is held against them all the same. The published settings count as a rival."""

OURS = "default"
NO_RIVALS = {OURS, "no-rest"}


@dataclass(frozen=True)
class Value:
    """Mean and standard deviation over seeds."""

    mean: float
    std: float

    @staticmethod
    def of(values: Sequence[float]) -> "Value | None":
        """Of the seeds' values; None if there are none."""
        if not values:
            return None
        return Value(statistics.fmean(values), statistics.pstdev(values))

    def text(self, digits: int = 2) -> str:
        """Such as 0.93 ± 0.01; without ± where the seeds agree in all digits shown."""
        mean, std = f"{self.mean:,.{digits}f}", f"{self.std:,.{digits}f}"
        return mean if not std.strip("0.") else f"{mean} ± {std}"


@dataclass(frozen=True)
class Summary:
    """What a method reaches on a row.

    Attributes:
        method: Its name.
        seeds: How many runs there are.
        values: By column: success, unique, new, at_rest, holds, per_1000_calls, calls, seconds.
        criteria: Share of the candidates that meet each criterion.
        size: Candidates and predictor calls per candidate.
        share: Of the paper's budget.
        ended: Why the runs ended.
    """

    method: str
    seeds: int
    values: Mapping[str, Value | None]
    criteria: Mapping[str, Value]
    size: Size
    share: float
    ended: tuple[str, ...]


def read_records(folder: Path) -> list[Record]:
    """All records of a folder of results; those of the predictor with the newest record only."""
    files = sorted(folder.glob("*/*.json"))
    if not files:
        return []
    records = {path: json.loads(path.read_text(encoding="utf-8")) for path in files}
    newest = records[max(files, key=lambda path: path.stat().st_mtime)]
    return [record for record in records.values() if record["predictor"] == newest["predictor"]]


def sizes(row: Row, records: Sequence[Record]) -> list[Size]:
    """Budgets that a row has been run with, the largest first; they are never shown together."""
    return sorted(
        {(r["n"], r["steps"]) for r in records if row.key in r.get("rows", {})}, reverse=True
    )


def summarise(
    row: Row, records: Sequence[Record], size: Size, contest: Contest = PUBLISHED
) -> list[Summary]:
    """Of each method of a contest that has been run on a row with a budget."""
    found = []
    for method in contest.methods:
        runs = [
            record
            for record in records
            if (record["problem"], record["method"]) == (row.problem.name, method)
            and (record["n"], record["steps"]) == size
            and row.key in record.get(contest.rows, {})
        ]
        if runs:
            found.append(_summary(row, method, runs, contest))
    return found


def reasons(row: Row, records: Sequence[Record]) -> dict[str, str]:
    """Why methods could not be run on a row."""
    return {
        record["method"]: record["not_run"]
        for record in records
        if record["problem"] == row.problem.name and "not_run" in record
    }


def _summary(row: Row, method: str, runs: Sequence[Record], contest: Contest) -> Summary:
    verdicts = [run[contest.rows][row.key] for run in runs]
    names = list(dict.fromkeys(name for v in verdicts for name in v.get("criteria", {})))
    columns = {
        name: Value.of([v[name] for v in verdicts if v.get(name) is not None])
        for name in ("success", "unique", "new", "at_rest", "holds")
    }
    columns["per_1000_calls"] = Value.of(
        [1000 * run[contest.found]["total"] / run["calls"] for run in runs if run["calls"]]
    )
    for name in ("calls", "seconds"):
        columns[name] = Value.of([run[name] for run in runs])
    criteria = {
        name: Value.of([v["criteria"][name] for v in verdicts if name in v.get("criteria", {})])
        for name in names
    }
    return Summary(
        method=method,
        seeds=len(runs),
        values=columns,
        criteria={name: value for name, value in criteria.items() if value is not None},
        size=(runs[0]["n"], runs[0]["steps"]),
        share=runs[0]["budget_share"],
        ended=tuple(sorted({run["ended"] for run in runs})),
    )


BARS = {"success": "success", "per_1000_calls": "distinct successes per predictor call"}
"""Columns in which ours is to be ahead."""


def not_behind(summaries: Sequence[Summary]) -> dict[str, list[str]]:
    """For each rival that our default is not ahead of: in what, success or distinct per call."""
    ours = next((s for s in summaries if s.method == OURS), None)
    if ours is None:
        return {}
    found: dict[str, list[str]] = {}
    for rival in summaries:
        if rival.method in NO_RIVALS:
            continue
        for column, words in BARS.items():
            mine, its = ours.values[column], rival.values[column]
            if mine is not None and its is not None and its.mean >= mine.mean:
                found.setdefault(rival.method, []).append(words)
    return found


WORDS: Mapping[str, str] = {
    "default": "smoacs as it comes: designs at rest",
    "no-rest": "smoacs, `at_rest = false`; measured before both kinds of designs shared one stage",
    "paper": "smoacs, published settings (preset `paper`)",
    EXHAUSTIVE: "every composition relaxed (`search = exhaustive`)",
    "random": "random under the same hard constraints",
    "tpe": "TPE (Optuna), neutral, radii filtered",
    "tpe-unfiltered": "TPE (Optuna), without filters",
    "cma": "CatCMA (evolution strategy)",
    "ga": "genetic algorithm, every crystal relaxed",
    "random-rest": "random, every crystal relaxed",
    "tpe-rest": "TPE over charges and elements, every crystal relaxed",
    "vae": "conditional autoencoder (Perov-5), its latent led by the predictor's gradient",
    "vae-rest": "the same, every crystal relaxed",
}
"""What each method is, for tables."""
