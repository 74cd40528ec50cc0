"""What a search for designs at a minimum gives back: successes first, then what came near."""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd

from smoacs.relaxation import Settled
from smoacs.request import DesignConfig
from smoacs.search.result import DesignResult
from smoacs.search.settling.rounds import Outcome, Rounds

NOT_LET_GO = Settled(
    structure=None,
    energy=nan,
    parent_energy=nan,
    lowest_frequency=nan,
    parent_frequency=nan,
    parent_space_group=0,
    space_group=0,
    converged=False,
    failure="it was not let go",
)
"""Of parents whose turn did not come."""


def settled_result(
    config: DesignConfig,
    results: Sequence[DesignResult],
    rounds: Rounds,
    *,
    seconds: float,
    end: str,
    interrupted: bool,
) -> DesignResult:
    """One result of all waves and what settled.

    The n best, and beside them every crystal whose settling failed: none is lost without a word.

    Args:
        config: What was asked for.
        results: Of the searches for parents.
        rounds: What was let go.
        seconds: That settling took.
        end: Why it ended, in words.
        interrupted: Whether the user ended it.
    """
    rows = _chosen(config, rounds, all_of_them=not interrupted)
    parents = [rounds.pool.parents[row] for row in rows]
    outcomes = [rounds.outcomes.get(row) for row in rows]
    settled = [NOT_LET_GO if outcome is None else outcome.settled for outcome in outcomes]
    first = results[0]
    timings: dict[str, float] = {}
    for result in results:
        for name, value in result.timings.items():
            timings[name] = timings.get(name, 0.0) + value
    timings |= {"settling": seconds, "total": timings.get("total", 0.0) + seconds}
    return replace(
        first,
        config=config,
        structures=[
            parent.structure if item.structure is None else item.structure
            for parent, item in zip(parents, settled, strict=True)
        ],
        combinations=[parent.combination for parent in parents],
        history=_history(results, rounds, rows),
        predictor_calls=sum(result.predictor_calls for result in results),
        timings=timings,
        steps=sum(result.steps for result in results),
        interrupted=interrupted,
        met=tuple(outcome is not None and outcome.met for outcome in outcomes),
        losses=tuple(
            rounds.parent_loss(row) if outcome is None else outcome.loss
            for row, outcome in zip(rows, outcomes, strict=True)
        ),
        search={**results[0].search, **_counts(rounds), "note": _notes(results, end)},
        templates=tuple(parent.template for parent in parents) if first.templates else (),
        originals=tuple(p.original for p in parents if p.original is not None),
        settled=tuple(settled),
        parents=tuple(parent.structure for parent in parents),
    )


def _chosen(config: DesignConfig, rounds: Rounds, *, all_of_them: bool) -> list[int]:
    """Rows of the pool, successes first; of an interrupted search also what waits for its turn."""
    outcomes = rounds.outcomes
    met = [row for row, outcome in outcomes.items() if outcome.met]
    if config.wanted.extremes:
        met.sort(key=lambda row: (outcomes[row].loss, row))
    met = met[: config.n]
    failed = [row for row, outcome in outcomes.items() if outcome.settled.structure is None]
    others = [row for row in outcomes if row not in {*met, *failed}]
    others.sort(key=lambda row: _nearness(outcomes[row], row))
    chosen = [*met, *others[: config.n - len(met)], *failed]
    if all_of_them:
        return chosen
    waiting = [row for row in range(len(rounds.pool.parents)) if row not in outcomes]
    return [*chosen, *waiting[: max(0, config.n - len(chosen))]]


def _nearness(outcome: Outcome, row: int) -> tuple[bool, float, int]:
    return not outcome.holds, outcome.loss, row


def _history(results: Sequence[DesignResult], rounds: Rounds, rows: Sequence[int]) -> pd.DataFrame:
    """Histories of the parents, their candidates numbered as the rows are."""
    place = {
        (rounds.pool.parents[row].wave, rounds.pool.parents[row].candidate): number
        for number, row in enumerate(rows)
    }
    tables, before = [], 0
    for wave, result in enumerate(results):
        numbers = result.history["candidate"].map(lambda k, w=wave: place.get((w, k), -1))
        table = result.history.assign(
            candidate=numbers.astype(np.int64), step=result.history["step"] + before
        )
        tables.append(table[table["candidate"] >= 0])
        before += result.steps
    return pd.concat(tables, ignore_index=True).sort_values(
        ["step", "candidate"], kind="stable", ignore_index=True
    )


def _counts(rounds: Rounds) -> dict[str, object]:
    outcomes = rounds.outcomes.values()
    return {
        "candidates": len(rounds.pool.parents),
        "let_go": len(outcomes),
        "at_a_minimum": sum(outcome.holds for outcome in outcomes),
        "settling_failed": sum(outcome.settled.structure is None for outcome in outcomes),
        "met_at_minimum": rounds.n_met,
    }


def _notes(results: Sequence[DesignResult], end: str) -> str:
    return "; ".join(filter(None, [str(results[0].search.get("note", "")), end]))
