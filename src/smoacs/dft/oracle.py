"""Labels for structures by density-functional theory: one calculation per process, all kept."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymatgen.core.structure import Structure

from smoacs.dft.calculation import Calculation, plan_calculation
from smoacs.dft.labels import DftLabel, LabelFile, open_labels
from smoacs.dft.process import EngineProcess
from smoacs.dft.programs import PROGRAMS
from smoacs.dft.settings import DftSettings
from smoacs.errors import InputError

GPAW_ENGINE: Final = (sys.executable, "-m", "smoacs.dft.gpaw_engine")
"""Command of the built-in engine."""

GPAW: Final = "gpaw"

_POLL: Final = 0.05
"""Seconds between looks at the running processes."""

_LONGEST_TICK: Final = 1.0
"""Longest step of the clock that counts: a program that was stopped (SIGSTOP) ages no more."""


@dataclass(frozen=True, kw_only=True)
class LabelProgress:
    """State of a round of labelling, told after each label.

    Attributes:
        done: Structures that have a label, right or failed, cached ones included.
        total: Structures in all.
        failed: How many of the done ones have no results.
        cached: How many of the done ones needed no calculation.
        seconds_left: Estimate of the time to the end; None before the first calculation ends.
        label: The label that just came in; None at the start.
    """

    done: int
    total: int
    failed: int
    cached: int
    seconds_left: float | None
    label: DftLabel | None


def engine_command(name: str) -> tuple[str, ...]:
    """The engine of a name: "gpaw", "vasp", "espresso", or "module:function".

    The last three go through ASE; the function takes a `Calculation` and returns a calculator.

    Raises:
        InputError: There is no such engine.
    """
    if name == GPAW:
        return GPAW_ENGINE
    if name in PROGRAMS or ":" in name:
        return (sys.executable, "-m", "smoacs.dft.ase_engine", name)
    known = ", ".join(map(repr, (GPAW, *PROGRAMS)))
    raise InputError(
        f"there is no DFT engine {name!r}; it is {known} or 'module:function', which takes a "
        "smoacs.dft.Calculation and returns an ASE calculator"
    )


def label(
    structures: Sequence[Structure],
    settings: DftSettings | None = None,
    *,
    cache: str | Path,
    workers: int = 1,
    engine: Sequence[str] = GPAW_ENGINE,
    progress: Callable[[LabelProgress], None] | None = None,
) -> list[DftLabel]:
    """Label structures, at the geometry that they have.

    Each calculation runs in a process of its own, on one thread, and is killed when it is over
    its limits. A calculation that gives nothing gets a label with the reason instead of values.
    Every label goes to the cache at once; what is there is not calculated again, be it a result
    or a failure, except one by a limit that is larger now. So a killed run goes on where it was.

    Args:
        structures: Ordered structures; oxidation states on their sites decide on spin.
        settings: None for the default.
        cache: File of labels; made if it does not exist.
        workers: Calculations at a time.
        engine: Command that does one calculation (see `smoacs.dft.worker`).
        progress: Is told the state at the start and after each label.

    Returns:
        The label of each structure, in their order.

    Raises:
        InputError: A structure has partly occupied sites, workers is below 1, or the cache is in
            use or broken.
        MissingExtraError: The engine is not installed, or broken.
        ResourceError: The disk is full.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; it is at least 1")
    settings = DftSettings() if settings is None else settings
    plans = [plan_calculation(structure, settings) for structure in structures]
    with open_labels(cache) as file:
        _Round(plans, settings, file, progress).run(workers, tuple(engine))
        return [file.records[plan.key] for plan in plans]


class _Round:
    """The calculations that are still to be done, and the running ones."""

    def __init__(
        self,
        plans: Sequence[Calculation],
        settings: DftSettings,
        file: LabelFile,
        progress: Callable[[LabelProgress], None] | None,
    ) -> None:
        self._settings = settings
        self._file = file
        self._progress = progress
        self._copies: dict[str, int] = {}
        for plan in plans:
            self._copies[plan.key] = self._copies.get(plan.key, 0) + 1
        todo = {plan.key: plan for plan in plans if not self._is_labelled(plan.key)}
        self._queue = list(todo.values())[::-1]
        self._total = len(plans)
        self._cached = self._done = sum(n for key, n in self._copies.items() if key not in todo)
        self._failed = sum(
            n
            for key, n in self._copies.items()
            if key not in todo and not file.records[key].results
        )
        self._n_todo = len(todo)
        self._elapsed = 0.0

    def run(self, workers: int, engine: tuple[str, ...]) -> None:
        """Do all calculations; on any exception the running ones are killed."""
        running: list[EngineProcess] = []
        self._report(None)
        last = time.monotonic()
        try:
            while self._queue or running:
                while self._queue and len(running) < workers:
                    running.append(EngineProcess.start(self._queue.pop(), self._settings, engine))
                time.sleep(_POLL)
                now = time.monotonic()
                tick = min(now - last, _LONGEST_TICK)
                last = now
                self._elapsed += tick
                for process in list(running):
                    outcome = process.poll(tick)
                    if outcome is not None:
                        running.remove(process)
                        self._keep(outcome)
        finally:
            for process in running:
                process.kill()

    def _is_labelled(self, key: str) -> bool:
        known = self._file.records.get(key)
        if known is None:
            return False
        limits = {
            "time": self._settings.time_limit,
            "memory": self._settings.memory_limit,
            None: 0.0,
        }
        return limits[known.limit] <= known.limit_value

    def _keep(self, outcome: DftLabel) -> None:
        self._file.append(outcome.key, outcome)
        copies = self._copies[outcome.key]
        self._done += copies
        self._failed += copies * (outcome.results is None)
        self._n_todo -= 1
        self._report(outcome)

    def _report(self, outcome: DftLabel | None) -> None:
        if self._progress is None:
            return
        calculated = self._done - self._cached
        left = self._elapsed / calculated * self._n_todo if calculated else None
        self._progress(
            LabelProgress(
                done=self._done,
                total=self._total,
                failed=self._failed,
                cached=self._cached,
                seconds_left=left,
                label=outcome,
            )
        )
