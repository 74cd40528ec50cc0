"""The rounds of a learning: each part is done once, whatever kills the program."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd
from pymatgen.core import Structure

from smoacs.files import write_file
from smoacs.learning.choose import choose
from smoacs.learning.folder import (
    LearnFolder,
    RoundFolder,
    read_designs,
    verdicts,
    write_parquet,
    write_table,
)
from smoacs.learning.labelled import design_table, labelled_table
from smoacs.learning.labelling import NOTHING, Labelling, LabelState, Oracle
from smoacs.learning.numbers import RoundNumbers, known_share, stop_reason
from smoacs.learning.settings import LearnSettings
from smoacs.learning.tune import Tuning, fine_tune
from smoacs.request import DesignConfig
from smoacs.runs import SavedRun, execute, read_run, resume
from smoacs.runs.directory import is_unfinished

_SEEDS: Final = 2**63
"""Seeds are below this."""


@dataclass(frozen=True, kw_only=True)
class LearnProgress:
    """Where a learning is.

    Attributes:
        round: Number of the round, from 0.
        rounds: Most rounds.
        stage: "design", "label", "train", or "done" with the round.
        labelled: Designs of the round that have a label.
        wanted: Designs of the round that get one; 0 before they are chosen.
        confirmed: Labelled ones that are confirmed.
        seconds_left: Estimate of the time to the end of all rounds; None if there is none yet.
    """

    round: int
    rounds: int
    stage: str
    labelled: int = 0
    wanted: int = 0
    confirmed: int = 0
    seconds_left: float | None = None


LearnCallback = Callable[[LearnProgress], None]


@dataclass
class Rounds:
    """All that the rounds of one learning share.

    Attributes:
        folder: Where they leave what they find.
        config: What to design.
        settings: How to learn.
        first: Name or path of the first weights.
        oracle: Gives the labels.
        progress: Told where the learning is.
    """

    folder: LearnFolder
    config: DesignConfig
    settings: LearnSettings
    first: str
    oracle: Oracle
    progress: LearnCallback | None

    def run(self) -> tuple[pd.DataFrame, Path | None, str]:
        """Go on from the first round that is not complete to the end.

        Returns:
            The numbers of all rounds, the last weights, and why there is no other round.
        """
        done = self.folder.complete()
        while (reason := stop_reason(done, self.settings)) is None:
            done.append(self._round(done))
        self.folder.write_summary(done)
        weights = self.folder.weights if self.folder.weights.is_file() else None
        return pd.DataFrame([item.to_dict() for item in done]), weights, reason

    def _round(self, before: Sequence[RoundNumbers]) -> RoundNumbers:
        """Design, label and learn, each unless a killed program has done it already."""
        begin = time.monotonic()
        number = len(before)
        here = self.folder.round(number)
        here.path.mkdir(exist_ok=True)
        run = self._design(here, number)
        known = self.folder.known_formulas(number)
        if not here.chosen.is_file():
            write_table(here.chosen, choose(run.select(), known, self.settings))
        designs = self._label(run, here, before)
        self._tune(run, here, number, designs["id"].tolist())
        successes = run.select()["formula"].tolist()
        labelled = [*self.folder.verdicts(number), *verdicts(designs)]
        numbers = RoundNumbers.of(
            designs,
            before,
            candidates=len(run.table),
            success_rate=float(run.table["success"].mean()),
            new_successes=len(set(successes).difference(known)),
            known_share=known_share(successes, labelled),
            seconds=time.monotonic() - begin,
        )
        write_file(here.numbers, json.dumps(numbers.to_dict(), indent=1))
        self.folder.write_summary([*before, numbers])
        n = numbers.labelled
        self._tell(number, "done", LabelState(n, n, numbers.confirmed))
        return numbers

    def _design(self, here: RoundFolder, number: int) -> SavedRun:
        """Make the round's run directory, or go on with it."""
        if is_unfinished(here.run):
            self._tell(number, "design")
            resume(here.run)
        elif not here.run.exists():
            self._tell(number, "design")
            seed = (self.config.seed + number) % _SEEDS
            update = {"predictor": self._weights(number), "seed": seed}
            execute(self.config.model_copy(update=update), here.run)
        run = read_run(here.run)
        if run.summary["interrupted"]:
            raise KeyboardInterrupt
        return run

    def _label(
        self, run: SavedRun, here: RoundFolder, before: Sequence[RoundNumbers]
    ) -> pd.DataFrame:
        """Label the chosen designs, and write them down beside what was predicted."""
        if here.labels.is_file():
            return read_designs(here.designs)
        chosen = read_designs(here.chosen)
        crystals = run.crystals(chosen["id"].tolist())
        structures = [crystals[name] for name in chosen["id"]]
        labels = Labelling(
            oracle=self.oracle,
            settings=self.settings,
            targets=run.targets,
            cache=self.folder.labels,
            spent=before[-1].total_core_hours if before else 0.0,
            tell=partial(self._tell, len(before), "label"),
        ).run(structures)
        tolerance = self.settings.tolerance
        designs = design_table(chosen, run.table, labels, run.targets, tolerance=tolerance)
        names = [f"{here.path.name}-{name}" for name in designs["id"]]
        done = structures[: len(labels)]
        write_table(here.designs, designs)
        write_parquet(here.labels, labelled_table(names, done, labels, self.settings.dft_settings))
        return read_designs(here.designs)

    def _tune(self, run: SavedRun, here: RoundFolder, number: int, taken: Sequence[str]) -> None:
        """Make the round's weights, if there is anything new to learn from."""
        if here.weights.is_file() or pd.read_parquet(here.labels).empty:
            return
        self._tell(number, "train")
        others: list[Structure] = [
            structure for name, structure in run.structures.items() if name not in set(taken)
        ]
        tuning = Tuning(
            first=self.first,
            start=self._weights(number),
            labelled=self.folder.all_labelled(number + 1),
            others=others,
            template=self.config.template,
            settings=self.settings,
            device=self.config.device,
            seed=(self.config.seed + number) % _SEEDS,
        )
        fine_tune(tuning, here.weights, here.training)

    def _weights(self, number: int) -> str:
        """The last weights that a round before this one has made, or the first."""
        files = [self.folder.round(k).weights for k in range(number)]
        made = [file for file in files if file.is_file()]
        return str(made[-1]) if made else self.first

    def _tell(self, number: int, stage: str, state: LabelState = NOTHING) -> None:
        """Tell of a stage; later rounds will take as long as the labels of this one."""
        if self.progress is None:
            return
        left = state.seconds_left
        if left is not None:
            left += (state.seconds + left) * (self.settings.rounds - number - 1)
        self.progress(
            LearnProgress(
                round=number,
                rounds=self.settings.rounds,
                stage=stage,
                labelled=state.labelled,
                wanted=state.wanted,
                confirmed=state.confirmed,
                seconds_left=left,
            )
        )
