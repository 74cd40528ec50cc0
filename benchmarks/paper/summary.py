"""Means and standard deviations over the seeds of each row and method."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paper.methods import EXHAUSTIVE, METHODS, OURS
from benchmarks.paper.records import Record
from benchmarks.paper.specification import Row

DEFAULT = "default"
RIVALS_OF_DEFAULT = tuple(method for method in METHODS if method not in {DEFAULT, "at-rest"})
"""Those that the default preset is to be ahead of; the published settings are among them."""


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
        return mean if float(std) == 0 else f"{mean} ± {std}"


@dataclass(frozen=True)
class Summary:
    """What a method reaches on a row.

    Attributes:
        method: Its name.
        seeds: How many runs there are.
        values: By column: success, unique, new, at_rest, holds, per_1000_calls, calls, seconds.
        criteria: Share of the candidates that meet each criterion.
        size: Candidates and predictor calls per candidate.
        ended: Why the runs ended.
    """

    method: str
    seeds: int
    values: Mapping[str, Value | None]
    criteria: Mapping[str, Value]
    size: tuple[int, int]
    ended: tuple[str, ...]


def read_records(folder: Path) -> list[Record]:
    """All records of a folder of results; those of the predictor with the newest record only."""
    files = sorted(folder.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return [record for record in records if record["predictor"] == records[-1]["predictor"]]


def summarise(row: Row, records: Sequence[Record]) -> list[Summary]:
    """Of each method that has been run on a row, in the order of METHODS."""
    found = []
    for method in METHODS:
        runs = [
            record
            for record in records
            if (record["problem"], record["method"]) == (row.problem.name, method)
            and row.key in record.get("rows", {})
        ]
        if runs:  # of several sizes, the largest counts
            size = max((run["n"], run["steps"]) for run in runs)
            same = [run for run in runs if (run["n"], run["steps"]) == size]
            found.append(_summary(row, method, same, size))
    return found


def reasons(row: Row, records: Sequence[Record]) -> dict[str, str]:
    """Why methods could not be run on a row."""
    return {
        record["method"]: record["not_run"]
        for record in records
        if record["problem"] == row.problem.name and "not_run" in record
    }


def _summary(row: Row, method: str, runs: Sequence[Record], size: tuple[int, int]) -> Summary:
    verdicts = [run["rows"][row.key] for run in runs]
    names = list(dict.fromkeys(name for v in verdicts for name in v.get("criteria", {})))
    columns = {
        name: Value.of([v[name] for v in verdicts if v.get(name) is not None])
        for name in ("success", "unique", "new", "at_rest", "holds")
    }
    columns["per_1000_calls"] = Value.of(
        [1000 * run["found"]["total"] / run["calls"] for run in runs if run["calls"]]
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
        size=size,
        ended=tuple(sorted({run["ended"] for run in runs})),
    )


def not_behind(summaries: Sequence[Summary]) -> dict[str, list[str]]:
    """For each rival that the default is not ahead of: in what, success or distinct per call."""
    ours = next((s for s in summaries if s.method == DEFAULT), None)
    if ours is None:
        return {}
    found: dict[str, list[str]] = {}
    for rival in summaries:
        if rival.method not in RIVALS_OF_DEFAULT or rival.size != ours.size:
            continue
        for column, words in (
            ("success", "success"),
            ("per_1000_calls", "distinct successes per predictor call"),
        ):
            mine, its = ours.values[column], rival.values[column]
            if mine is not None and its is not None and its.mean >= mine.mean:
                found.setdefault(rival.method, []).append(words)
    return found


WORDS: Mapping[str, str] = {
    **dict.fromkeys(OURS, ""),
    "default": "smoacs, default preset",
    "at-rest": "smoacs, designs at rest",
    "paper": "smoacs, published settings (preset `paper`)",
    EXHAUSTIVE: "every composition relaxed (`search = exhaustive`)",
    "random": "random under the same hard constraints",
    "tpe": "TPE (Optuna), neutral, radii filtered",
    "tpe-unfiltered": "TPE (Optuna), without filters",
    "cma": "CatCMA (evolution strategy)",
    "ga": "genetic algorithm, relaxed",
}
"""What each method is, for tables."""
