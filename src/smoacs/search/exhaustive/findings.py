"""What came of the decorations that an exhaustive search has gone through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Candidates
from smoacs.predictors import physical
from smoacs.search.exhaustive.survey import Space
from smoacs.targets import Targets
from smoacs.targets.front import front_ranks

Arrays = dict[str, NDArray[Any]]
"""Results by name, a row for each decoration."""

NEAREST_MISSES = 10
"""Crystals returned where none meets the targets."""


@dataclass(frozen=True)
class Found:
    """What an exhaustive search found.

    Attributes:
        candidates: The crystals to return, best first, [R].
        losses: Of the targets, [R].
        history: Properties of the crystals to return, in long form, as of a single step.
        decorations: A row for each decoration that was evaluated: `combination`, `sites` (its
            elements in the order of the sites), the targets' properties, whether it was
            `given_up` before it came to rest, and whether the targets are `met`.
        calls: Predictor calls.
        relaxed: Decorations that were relaxed to the end.
        given_up: Those that were given up before, too far from the targets.
        not_looked_at: Those that it did not come to.
        successes: Those that meet the targets.
        distinct: Compositions among them.
        seconds: Time that it took, before a kill included.
        interrupted: Whether it was stopped before the last decoration.
        end: Why it ended where it did, in words; empty if there is nothing to say.
    """

    candidates: Candidates
    losses: tuple[float, ...]
    history: pd.DataFrame
    decorations: pd.DataFrame
    calls: int
    relaxed: int
    given_up: int
    not_looked_at: int
    successes: int
    distinct: int
    seconds: float
    interrupted: bool
    end: str = ""

    def shortage(self, n: int) -> str:
        """That all there is are fewer successes than the n asked for, in words; empty if not."""
        if self.distinct >= n:
            return ""
        found = f"{self.distinct:,} distinct" if self.distinct else "no"
        return f"all were gone through and {found} successes found, where {n:,} were asked for"


@dataclass(frozen=True)
class Findings:
    """Results of D decorations: which to return, and tables of them.

    Attributes:
        space: What was searched.
        rows: Which decorations of the space these are, [D].
        targets: What is wanted.
        properties: Names of the values.
        results: Among others `met`, `loss`, `given_up` and the values, raw, each [D].
    """

    space: Space
    rows: NDArray[np.int64]
    targets: Targets
    properties: Sequence[str]
    results: Arrays

    @property
    def successes(self) -> NDArray[np.int64]:
        """Decorations that meet the targets."""
        return np.flatnonzero(self.results["met"])

    @property
    def n_distinct(self) -> int:
        """Compositions among the successes."""
        return len(np.unique(self._compositions(self.successes), axis=0))

    def nearest(self) -> NDArray[np.int64]:
        """Decorations that miss the targets by least."""
        return np.argsort(self.results["loss"], kind="stable")[:NEAREST_MISSES]

    def best(self, n: int) -> NDArray[np.int64]:
        """At most n successes, the best of each composition; nearest misses if there are none.

        Of successes that are equally good those with the usual oxidation numbers come first.
        """
        if not len(self.successes):
            return self.nearest()[:n]
        unusual = self.space.unusual(self.rows)
        order = np.lexsort((unusual, self.results["loss"], self._ranks(n)))
        successes = order[self.results["met"][order]]
        _, first = np.unique(self._compositions(successes), axis=0, return_index=True)
        chosen: NDArray[np.int64] = successes[np.sort(first)][:n]
        return chosen

    def _ranks(self, n: int) -> NDArray[np.int64]:
        """Ranks of the fronts of successes, [D]: 0 without conflicting targets."""
        wanted = self.targets.extremes
        ranks = np.zeros(len(self.results["met"]), dtype=np.int64)
        if len(wanted) > 1:
            met = self.successes
            costs = [-t.direction * self.results[t.property][met].astype(float) for t in wanted]
            found = front_ranks(np.stack(costs, axis=1), most=n)
            ranks[met] = np.where(found < 0, len(met), found)
        return ranks

    def _compositions(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.space.compositions(self.rows[rows])

    def table(self, rows: NDArray[np.int64], columns: dict[str, object]) -> pd.DataFrame:
        """Some columns, and the properties of some decorations as users see them."""
        values = {n: physical(n, self.results[n][rows].astype(float)) for n in self.properties}
        return pd.DataFrame({**columns, **values})

    def decorations(self) -> pd.DataFrame:
        """All decorations: what sits where, the values, and what became of it."""
        space = self.space
        symbols = np.array(ELEMENTS, dtype=object)
        names = np.array(space.template.combination_names, dtype=object)
        columns: dict[str, object] = {
            "combination": names[space.combination[self.rows]],
            "sites": [" ".join(symbols[row]) for row in space.elements[self.rows]],
        }
        everyone = np.arange(len(self.rows))
        met, given_up = self.results["met"], self.results["given_up"]
        return self.table(everyone, columns).assign(given_up=given_up, met=met)
