"""In which order runs are done, and which of them fit into the time that is left."""

import statistics
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from benchmarks.paper.methods import Task
from benchmarks.paper.records import Record
from benchmarks.paper.specification import ROWS, Problem

FIRST = "perovskite-2.5"
"""The problem whose times are reported; it is done before the others."""

TIERS = (
    ("default", "no-rest", "paper", "ga", "cma"),
    ("random", "vae", "vae-rest", "random-rest"),
    ("tpe", "tpe-rest"),
    ("exhaustive", "tpe-unfiltered"),
)
"""All problems are done by a tier's methods before the next tier's begin: ours and the strongest
rivals first, what takes longest last."""

FEWEST = 8
"""Candidates of the smallest share of a budget."""


def problems() -> dict[str, Problem]:
    """All problems by name, in the order of the tables."""
    return {row.problem.name: row.problem for row in ROWS}


def ordered(
    names: Collection[str], methods: Collection[str], seeds: int
) -> list[tuple[str, str, int]]:
    """Problem, method and seed of all runs, the most telling and the cheapest first."""
    known = [problem for problem in problems().values() if problem.name in names]
    known.sort(key=lambda p: (p.name != FIRST, p.repeat, p.data is not None))
    return [
        (problem.name, method, seed)
        for seed in range(seeds)
        for tier in TIERS
        for problem in known
        for method in tier
        if method in methods and not (method == "exhaustive" and seed > 0)  # nothing is random
    ]


def candidates(problem: Problem, share: float) -> int:
    """Candidates that get a share of the budget; each keeps all its steps."""
    return min(problem.n, max(FEWEST, round(share * problem.n)))


@dataclass
class Clock:
    """Ends a benchmark in time.

    Attributes:
        minutes: Of the benchmark; None for no end.
        records: Runs that are done, from which others' times are guessed.
    """

    minutes: float | None
    records: list[Record] = field(default_factory=list)
    _begin: float = field(default_factory=time.monotonic)

    @property
    def deadline(self) -> float:
        """By `time.monotonic`."""
        return float("inf") if self.minutes is None else self._begin + 60 * self.minutes

    def fits(self, task: Task) -> bool:
        """Whether a run will probably end in time."""
        return time.monotonic() + self.expected(task) <= self.deadline

    def expected(self, task: Task) -> float:
        """Seconds of a run, from those of the runs most like it, by calls and size of the cell."""
        done = [record for record in self.records if "seconds" in record]
        like = [record for record in done if _kin(record["problem"]) == _kin(task.problem.name)]
        for own in (
            [r for r in like if (r["problem"], r["method"]) == (task.problem.name, task.method)],
            [r for r in like if r["method"] == task.method],
            like,
            [r for r in done if r["method"] == task.method],
            done,
        ):
            if own:
                each = [r["seconds"] / _size(r["problem"], r["n"] * r["steps"]) for r in own]
                return statistics.fmean(each) * _size(task.problem.name, task.n * task.steps)
        return 0.0


def _kin(name: str) -> tuple[object, ...]:
    """Problems alike in what a call costs."""
    problem = problems().get(name)
    return (name,) if problem is None else (problem.repeat, problem.data)


def _size(name: str, calls: int) -> float:
    """Calls, times the cells of the template that each is for."""
    problem = problems().get(name)
    return calls * (1 if problem is None else problem.repeat**3)
