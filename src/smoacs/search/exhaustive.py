"""The complete answer: every composition of a template, relaxed and compared with the targets."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.predictors import (
    ENERGY,
    SPREAD_SUFFIX,
    Predictor,
    is_at_rest,
)
from smoacs.search.findings import Arrays, Findings
from smoacs.search.guesses import RestGuess, set_variables, variables, variables_of
from smoacs.search.hopes import Hopes, Watch, Yardstick
from smoacs.search.progress import ProgressCallback, ProgressEvent
from smoacs.search.relax import Evaluator, Relaxation
from smoacs.search.rest import radius_length
from smoacs.search.state import Keeper, State
from smoacs.search.survey import Space
from smoacs.targets import Target

ATOMS_TOGETHER = 4_000
"""Atoms of the crystals that are relaxed at the same time."""

FIRST = 400
"""Decorations that are relaxed from the usual lattice; later ones start where these suggest."""

SAMPLE = 800
"""Decorations after them that are all relaxed, to learn how far values move; of the others, those
that are too far from the targets are given up."""

NEAR_REST = (0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08)
"""Factors of the relaxed lattice lengths that are tried, in turn, where designs need not rest."""

WITHOUT_ENERGY = (1.0, 0.96, 1.04, 0.92, 1.08, 0.88, 1.12, 0.84, 1.16, 0.8, 1.2, 0.76, 1.24)
"""The same, of the starting lengths, for predictors without a formation energy."""


@dataclass(frozen=True)
class Found:
    """What an exhaustive search found.

    Attributes:
        soft: Geometry of the crystals to return, best first.
        combination: Combination of each, [R].
        elements: Element of each site, [R·n].
        history: Properties of the crystals to return, in long form, as of a single step.
        decorations: A row for each decoration that was evaluated: `combination`, `sites` (its
            elements in the order of the sites), the targets' properties, whether it was
            `given_up` before it came to rest, and whether the targets are `met`.
        calls: Predictor calls.
        relaxed: Decorations that were relaxed to the end.
        given_up: Those that were given up before, too far from the targets.
        successes: Those that meet the targets.
        distinct: Compositions among them.
        seconds: Time that it took, before a kill included.
        interrupted: Whether it was stopped before the last decoration.
        end: Why it ended where it did, in words; empty if there is nothing to say.
    """

    soft: SoftCrystals
    combination: Tensor
    elements: Tensor
    history: pd.DataFrame
    decorations: pd.DataFrame
    calls: int
    relaxed: int
    given_up: int
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
class _Lessons:
    """What the decorations relaxed so far teach for the others; None for nothing yet."""

    guess: RestGuess | None = None
    hopes: Hopes | None = None


class Exhaustive:
    """Relaxes all decorations of a space, batch by batch, and keeps those that meet the targets."""

    def __init__(
        self,
        space: Space,
        targets: Sequence[Target],
        evaluator: Evaluator,
        *,
        at_rest: bool,
        conservative: float,
        repeat: int,
        seed: int,
    ) -> None:
        """Take what to search, and for what.

        Args:
            space: All decorations.
            targets: What is wanted.
            evaluator: Of the targets' properties, see `wanted_properties`.
            at_rest: Whether only the energy's minimum counts.
            conservative: Standard deviations by which values may be off, to the worse side.
            repeat: Of the template, for lengths that start from ionic radii.
            seed: Of the order in which decorations are relaxed.
        """
        # In random order, the first of them stand for all.
        self._order = np.random.default_rng(seed).permutation(len(space))
        self.space = space
        self.targets = tuple(targets)
        self.evaluator = evaluator
        self.at_rest = at_rest
        self.repeat = repeat
        self._yardstick = Yardstick(self.targets, conservative)
        self._relaxes = ENERGY in evaluator.predictor.properties
        self._complete: _Lessons | None = None

    def run(
        self,
        n: int,
        progress: ProgressCallback | None = None,
        keeper: Keeper | None = None,
        *,
        budget: int | None = None,
    ) -> Found:
        """Relax everything; return at most `n` crystals, new compositions first.

        Args:
            n: Most crystals to return.
            progress: Called after every batch.
            keeper: Keeps what is done, gives it back, and may ask for an end after a batch.
            budget: Predictor calls after which to end before everything is relaxed, as it then also
                does when it has n distinct successes and there is nothing to maximise or minimise.
        """
        batches = self._batches()
        results, spent = self._done_before(keeper)
        begin = time.perf_counter() - spent
        reached = sum(len(batch) for batch in batches[: len(results)])
        interrupted, end = False, ""
        for batch in batches[len(results) :]:
            end = "" if budget is None else self._end(reached, results, n, budget)
            if end:
                break
            results.append(self._batch(batch, self._lessons(reached, results)))
            reached += len(batch)
            if progress is not None:
                met = sum(int(result["met"].sum()) for result in results)
                stage = "relaxing every composition"
                progress(ProgressEvent(stage, reached, len(self.space), met / reached))
            if keeper is not None:
                interrupted = keeper.stop_asked and reached < len(self.space)
                if interrupted or keeper.due:
                    keeper.keep(self._state(results, time.perf_counter() - begin))
            if interrupted:
                break
        back = np.argsort(self._order[:reached])
        joined = {k: torch.cat([r[k] for r in results]).cpu().numpy()[back] for k in results[0]}
        findings = self._findings(np.sort(self._order[:reached]), joined)
        found = self._found(findings, n, begin, interrupted=interrupted)
        return replace(found, end=found.shortage(n) if reached == len(self.space) else end)

    def _end(self, reached: int, results: list[dict[str, Tensor]], n: int, budget: int) -> str:
        """Why to end before the next batch, in words; empty to go on."""
        if not results:
            return ""
        after = f"after {reached:,} of {len(self.space):,} decorations"
        met = torch.cat([result["met"] for result in results]).cpu().numpy()
        distinct = len(np.unique(self.space.compositions(self._order[:reached][met]), axis=0))
        if distinct >= n and not any(target.direction for target in self.targets):
            return f"it ended {after} with the {n:,} distinct successes asked for"
        calls = self.evaluator.calls
        if calls + calls / reached * (ATOMS_TOGETHER // self.space.template.n_sites) > budget:
            return f"it ended {after} with its budget spent"
        return ""

    def _findings(self, rows: NDArray[np.int64], joined: Arrays) -> Findings:
        """What was found of some decorations."""
        findings = Findings(self.space, rows, self.targets, self.evaluator.properties, joined)
        if not len(findings.successes):  # the nearest misses come back: they must rest, too
            nearest = findings.nearest()
            again = self._batch(rows[nearest], _Lessons())
            for name, values in again.items():
                joined[name][nearest] = values.cpu().numpy()
        return findings

    def _found(self, findings: Findings, n: int, begin: float, *, interrupted: bool) -> Found:
        joined = findings.results
        chosen = findings.best(n)
        soft, combination, elements = self._crystals(findings.rows[chosen])
        with torch.no_grad():
            soft.lengths.copy_(torch.as_tensor(joined["lengths"][chosen]) / soft.length_unit)
            soft.angles.copy_(torch.as_tensor(joined["angles"][chosen]))
            shifts = joined["displacements"][chosen].reshape(-1, 3)
            soft.displacements.copy_(torch.as_tensor(shifts))
        return Found(
            soft=soft,
            combination=combination,
            elements=elements,
            history=findings.table(chosen, {"step": 1, "candidate": np.arange(len(chosen))}),
            decorations=findings.decorations(),
            calls=self.evaluator.calls,
            relaxed=int((~joined["given_up"]).sum()),
            given_up=int(joined["given_up"].sum()),
            successes=len(findings.successes),
            distinct=findings.n_distinct,
            seconds=time.perf_counter() - begin,
            interrupted=interrupted,
        )

    def _batches(self) -> list[NDArray[np.int64]]:
        """Decorations of each batch: those to learn from first, then the others."""
        size = max(1, ATOMS_TOGETHER // self.space.template.n_sites)
        stages = np.split(self._order, [FIRST, FIRST + SAMPLE])
        return [
            batch
            for stage in stages
            for batch in np.split(stage, range(size, len(stage), size))
            if len(batch)
        ]

    def _done_before(self, keeper: Keeper | None) -> tuple[list[dict[str, Tensor]], float]:
        """Results of batches that were done before a kill, and the time that they took, s."""
        last = None if keeper is None else keeper.last()
        if last is None:
            return [], 0.0
        self.evaluator.calls = last["calls"]
        return list(last["results"]), float(last["seconds"])

    def _state(self, results: list[dict[str, Tensor]], seconds: float) -> State:
        calls = self.evaluator.calls
        return {"results": results, "calls": calls, "seconds": seconds, "history": {}}

    def _lessons(self, reached: int, results: list[dict[str, Tensor]]) -> _Lessons:
        """What the first decorations teach, once they are relaxed."""
        if self._complete is not None:
            return self._complete
        if reached < FIRST or not self._relaxes:
            return _Lessons()
        rows = self._order[: min(reached, FIRST + SAMPLE)]
        known = {k: torch.cat([r[k] for r in results])[: len(rows)] for k in results[0]}
        rests = known["rests"]
        if not rests.any():
            return _Lessons()
        usual = variables_of(self._start(rows)[0])
        change = variables(known["lengths"], known["angles"], known["displacements"]) - usual
        guess = RestGuess(self._parts(rows)[rests.cpu().numpy()], change[rests].cpu().numpy())
        if len(rows) < FIRST + SAMPLE:
            return _Lessons(guess)
        hopes = None
        if self.at_rest:
            rested = known["shortfalls"].where(rests[:, None], torch.nan)
            hopes = Hopes(known["begun"][FIRST:], rested[FIRST:])
        self._complete = _Lessons(guess, hopes)
        return self._complete

    def _parts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Combination, then the element of each site, of some decorations, [b, 1 + n]."""
        columns = self.space.combination[rows], self.space.elements[rows]
        return np.column_stack(columns).astype(np.int64)

    def _crystals(self, rows: NDArray[np.int64]) -> tuple[SoftCrystals, Tensor, Tensor]:
        """Crystals of some decorations, with combination [b] and elements [b·n]."""
        template, device = self.space.template, self.evaluator.device
        space = DesignSpace.from_templates([template] * len(rows), device)
        soft = SoftCrystals.start(space, torch.Generator())
        combination = torch.as_tensor(self.space.combination[rows].astype(np.int64))
        elements = torch.as_tensor(self.space.elements[rows].astype(np.int64).ravel())
        return soft, combination.to(device), elements.to(device)

    def _start(self, rows: NDArray[np.int64]) -> tuple[SoftCrystals, Tensor, Tensor]:
        """The same with the usual starting lattice: of touching ions, or the template's own."""
        soft, combination, elements = self._crystals(rows)
        with torch.no_grad():
            length = radius_length(soft.hard_crystals(combination, elements))
            lengths = soft.space.lengths if length is None else self.repeat * length[:, None]
            soft.lengths.copy_((lengths / soft.length_unit).expand(-1, 3))
        soft.project()
        return soft, combination, elements

    def _batch(self, rows: NDArray[np.int64], lessons: _Lessons) -> dict[str, Tensor]:
        """Relax some decorations: whether they meet the targets, geometries and values."""
        soft, combination, elements = self._start(rows)
        missing = torch.full_like(soft.lengths.detach()[:, 0], torch.nan)
        values = {name: missing.clone() for name in self.evaluator.properties}
        allowed = rests = given_up = missing == 0
        watch = Watch(self._yardstick, lessons.hopes, len(rows), self.evaluator.device)
        factors: tuple[float, ...] = WITHOUT_ENERGY
        if self._relaxes:
            relaxation = Relaxation(soft, combination, elements, self.space.symmetry)
            if lessons.guess is not None:
                change = torch.as_tensor(lessons.guess(self._parts(rows)))
                set_variables(soft, variables_of(soft) + change.to(soft.lengths))
                relaxation.symmetrise()
            values, finite, pressure, force = relaxation.run(self.evaluator, watch)
            given_up = relaxation.given_up
            rests = finite & is_at_rest(pressure, force) & ~given_up
            allowed, factors = (rests, ()) if self.at_rest else (finite, NEAR_REST)
        loss, met = self._yardstick.verdict(values, allowed)
        shortfalls = self._yardstick.shortfalls(values)
        trial = _Trial(soft, combination, elements, values, loss, met)
        for factor in factors:
            self._try_scaled(trial, factor)
        return {
            "met": trial.met,
            "loss": trial.loss,
            "lengths": trial.lengths * soft.length_unit,
            "angles": soft.angles.detach(),
            "displacements": soft.displacements.detach().view(len(rows), -1, 3),
            "rests": rests,
            "given_up": given_up,
            "begun": watch.begun,
            "shortfalls": shortfalls,
            **trial.found,
        }

    def _try_scaled(self, trial: "_Trial", factor: float) -> None:
        """Scale the relaxed lattices of what has not met the targets; keep what is better."""
        soft = trial.soft
        missed = torch.nonzero(~trial.met).flatten()
        if len(missed) == 0:
            return
        with torch.no_grad():
            soft.lengths.copy_(trial.start * factor)
        soft.project()
        part = soft.hard_crystals(trial.combination, trial.elements).select(missed)
        found = self.evaluator.values(part)
        loss, met = self._yardstick.verdict(found.properties, found.finite)
        better = found.finite & (met | (loss < trial.loss[missed]))
        improved = missed[better]
        for name, value in found.properties.items():
            trial.found[name][improved] = value[better].to(trial.found[name])
        trial.loss[improved] = loss[better]
        trial.lengths[improved] = soft.lengths.detach()[improved]
        trial.met[missed] = met


class _Trial:
    """Crystals whose lattices are scaled: the best of each so far."""

    def __init__(  # noqa: PLR0917 - what a batch is made of
        self,
        soft: SoftCrystals,
        combination: Tensor,
        elements: Tensor,
        values: dict[str, Tensor],
        loss: Tensor,
        met: Tensor,
    ) -> None:
        """Start from what was evaluated at the present lattice."""
        self.soft = soft
        self.combination = combination
        self.elements = elements
        self.found = values
        self.loss = loss
        self.met = met
        self.start = soft.lengths.detach().clone()
        self.lengths = self.start.clone()


def wanted_properties(
    targets: Sequence[Target], predictor: Predictor, conservative: float
) -> list[str]:
    """Properties that targets are about and, in conservative designs, their spreads."""
    names = dict.fromkeys(target.property for target in targets)
    if conservative:
        names |= dict.fromkeys(n + SPREAD_SUFFIX for n in list(names))
    return [name for name in names if name in predictor.properties]
