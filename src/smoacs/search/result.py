"""What a search found, before anybody has judged it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pandas as pd
from pymatgen.core import Structure

from smoacs.relaxation import Settled
from smoacs.request import DesignConfig
from smoacs.templates import Template

T = TypeVar("T")


@dataclass(frozen=True)
class DesignResult:
    """What a search found; not judged yet.

    Attributes:
        config: What was asked for, with `rest` decided.
        template: The template, restricted to the elements asked for; of seeds, the first one's.
        structures: One crystal per candidate, oxidation states on its sites.
        combinations: Name of the charge combination of each candidate.
        history: Properties of every candidate at every step, in long form.
        predictor_calls: Forward (and backward) passes, counted per candidate.
        timings: Seconds, by what they were spent on, and "total".
        steps: Optimisation steps.
        interrupted: Whether the search was stopped before its last step.
        met: Which structures the search holds for successes; empty if it does not say.
        losses: Loss of the targets of each structure, as the search counts it; of failures at rest,
            what they lack of it included; empty likewise.
        search: How it was searched, as in summary.json: `method`, `note` and, of an exhaustive
            search, what there was and what was found.
        decorations: Every decoration that an exhaustive search has evaluated, with its values; None
            of a search by gradients.
        templates: The template of each candidate where they come from seeds; else empty.
        originals: The same before any constraint was applied.
        skipped_seeds: Seeds that could not be used, each with the reason.
        settled: Where each candidate ended when it was let go, and if it did not, why; empty where
            designs need not be at a minimum.
        parents: Each candidate as it was at rest in its symmetry; empty likewise.
    """

    config: DesignConfig
    template: Template
    structures: list[Structure]
    combinations: list[str]
    history: pd.DataFrame
    predictor_calls: int
    timings: dict[str, float]
    steps: int
    interrupted: bool = False
    met: tuple[bool, ...] = ()
    losses: tuple[float, ...] = ()
    search: Mapping[str, object] = field(default_factory=dict)
    decorations: pd.DataFrame | None = None
    templates: tuple[Template, ...] = ()
    originals: tuple[Template, ...] = ()
    skipped_seeds: tuple[str, ...] = ()
    settled: tuple[Settled, ...] = ()
    parents: tuple[Structure, ...] = ()

    def part(self, rows: Sequence[int]) -> "DesignResult":
        """Some of the candidates, in this order, numbered anew; what is counted stays."""
        place = {row: number for number, row in enumerate(rows)}
        history = self.history[self.history["candidate"].isin(rows)]
        history = history.assign(candidate=history["candidate"].map(place))
        return replace(
            self,
            structures=[self.structures[row] for row in rows],
            combinations=[self.combinations[row] for row in rows],
            history=history.reset_index(drop=True),
            met=_some(self.met, rows),
            losses=_some(self.losses, rows),
            templates=_some(self.templates, rows),
            originals=_some(self.originals, rows),
            settled=_some(self.settled, rows),
            parents=_some(self.parents, rows),
        )


def _some(of_candidates: Sequence[T], rows: Sequence[int]) -> tuple[T, ...]:
    """Those of some candidates; none where there are none at all."""
    return tuple(of_candidates[row] for row in rows) if of_candidates else ()
