"""Labels for the chosen designs of a round, within the budget, told one by one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pymatgen.core import Structure

from smoacs.checking import dft_table
from smoacs.dft import DftLabel, DftSettings, LabelProgress, plan_calculation, read_labels
from smoacs.learning.numbers import budget_spent
from smoacs.learning.settings import LearnSettings
from smoacs.targets import Target

_HOUR: Final = 3600.0


class Oracle(Protocol):
    """Labels structures, as `smoacs.dft.label` does."""

    def __call__(
        self,
        structures: Sequence[Structure],
        settings: DftSettings | None = None,
        *,
        cache: str | Path,
        workers: int = 1,
        progress: Callable[[LabelProgress], None] | None = None,
    ) -> list[DftLabel]:
        """Return the label of each structure; those in the cache are not calculated again."""
        ...


@dataclass(frozen=True)
class LabelState:
    """How far the labels of a round are.

    Attributes:
        labelled: Designs that have a label.
        wanted: Designs that get one.
        confirmed: Labelled ones that are confirmed.
        seconds: Time since the first was begun.
        seconds_left: Estimate of the time to the last; None if there is none yet.
    """

    labelled: int
    wanted: int
    confirmed: int
    seconds: float = 0.0
    seconds_left: float | None = None


NOTHING: Final = LabelState(0, 0, 0)
"""Before designs are chosen."""


@dataclass
class Labelling:
    """Labels the designs of one round.

    Attributes:
        oracle: Gives the labels.
        settings: How to learn.
        targets: What was wanted.
        cache: File of labels.
        spent: Core hours of the rounds before.
        tell: Told how far it is.
    """

    oracle: Oracle
    settings: LearnSettings
    targets: Sequence[Target]
    cache: Path
    spent: float
    tell: Callable[[LabelState], None]

    def run(self, structures: Sequence[Structure]) -> list[DftLabel]:
        """Label the structures in their order, until the budget is spent.

        Returns:
            A label for each of the first structures; for all, unless the budget ended before.
        """
        n = len(structures)
        # With a budget, no more calculations at a time than run side by side.
        size = n if self.settings.core_hours is None else self.settings.workers
        told = _Told(self, n, self._from_cache(structures))
        labels: list[DftLabel] = []
        for start in range(0, n, size or 1):
            seconds = sum(label.seconds for label in labels)
            if budget_spent(self.spent + seconds / _HOUR, self.settings):
                break
            labels += self.oracle(
                structures[start : start + size],
                self.settings.dft_settings,
                cache=self.cache,
                workers=self.settings.workers,
                progress=told.hear,
            )
        return labels

    def confirmed(self, labels: Sequence[DftLabel]) -> int:
        """How many labels confirm their design."""
        table = dft_table(labels, self.targets, tolerance=self.settings.tolerance)
        return int(table["confirmed"].sum())

    def _from_cache(self, structures: Sequence[Structure]) -> list[DftLabel]:
        known = read_labels(self.cache)
        keys = [plan_calculation(s, self.settings.dft_settings).key for s in structures]
        return [known[key] for key in keys if key in known]


class _Told:
    """Labels as they come in: those that were there, and the new ones."""

    def __init__(self, labelling: Labelling, wanted: int, there: Sequence[DftLabel]) -> None:
        self._labelling, self._wanted = labelling, wanted
        self._labels = {label.key: label for label in there}
        self._before = len(self._labels)
        self._begin = time.monotonic()

    def hear(self, state: LabelProgress) -> None:
        """Note a label, and tell."""
        if state.label is not None:
            self._labels[state.label.key] = state.label
        done = len(self._labels)
        new = done - self._before
        seconds = time.monotonic() - self._begin
        self._labelling.tell(
            LabelState(
                labelled=done,
                wanted=self._wanted,
                confirmed=self._labelling.confirmed(list(self._labels.values())),
                seconds=seconds,
                seconds_left=seconds / new * (self._wanted - done) if new else None,
            )
        )
