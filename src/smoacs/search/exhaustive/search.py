"""Every composition of a template, relaxed and compared with the targets: the best bets first."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import Evaluator, is_at_rest
from smoacs.predictors import ENERGY
from smoacs.relaxation.quasi_newton import Relaxation
from smoacs.relaxation.radii import radius_length
from smoacs.search.exhaustive.findings import Arrays, Findings, Found
from smoacs.search.exhaustive.order import FIRST, LEARNT, LEAST, ROUND, Course, Promise
from smoacs.search.exhaustive.reach import Hopes, Watch, Yardstick
from smoacs.search.exhaustive.regression import RestGuess, set_variables, variables, variables_of
from smoacs.search.exhaustive.survey import Space
from smoacs.search.progress import ProgressCallback, ProgressEvent
from smoacs.search.state import Keeper, State
from smoacs.targets import Target

ATOMS_TOGETHER = 4_000
"""Atoms of the crystals that are relaxed at the same time."""

SPARE = 1.5
"""Factor on the calls that decorations took so far, so that no budget is exceeded."""

STALE = 256
"""Decorations without a success after which an unfinished search may end before its budget, if
these are more than half of all so far."""

LITTLE_HOPE = 0.5
"""Successes that the others must promise for it to go on all the same."""

NEAR_REST = (0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08)
"""Factors of the relaxed lattice lengths that are tried, in turn, where designs need not rest."""

WITHOUT_ENERGY = (1.0, 0.96, 1.04, 0.92, 1.08, 0.88, 1.12, 0.84, 1.16, 0.8, 1.2, 0.76, 1.24)
"""The same, of the starting lengths, for predictors without a formation energy."""


@dataclass(frozen=True)
class _Lessons:
    """What the decorations relaxed so far teach for the others; None for nothing yet.

    Attributes:
        guess: Where they will rest.
        promise: Whether they will meet the targets.
        hopes: What is out of reach once they have begun to relax.
    """

    guess: RestGuess | None = None
    promise: Promise | None = None
    hopes: Hopes | None = None


class Exhaustive:
    """Relaxes the decorations of a space, round by round, and keeps those that meet the targets.

    After every round it learns from all that it knows: where decorations rest, which of those left
    promise to meet the targets, and which of those begun will not. So the successes come early, and
    what is left at the end costs a call or two each.
    """

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
            seed: Of the order in which the first decorations are relaxed.
        """
        self.space = space
        self._course = Course(
            space, seed=seed, at_once=max(1, ATOMS_TOGETHER // space.template.n_sites)
        )
        self.targets = tuple(targets)
        self.evaluator = evaluator
        self.at_rest = at_rest
        self.repeat = repeat
        self._yardstick = Yardstick(self.targets, conservative)
        self._relaxes = ENERGY in evaluator.predictor.properties
        self._lessons = _Lessons()
        self._learnt = 0

    def run(
        self,
        n: int,
        progress: ProgressCallback | None = None,
        keeper: Keeper | None = None,
        *,
        budget: int | None = None,
        unfinished: bool = False,
    ) -> Found:
        """Relax everything; return at most `n` crystals, new compositions first.

        Args:
            n: Most crystals to return.
            progress: Called after every batch.
            keeper: Keeps what is done, gives it back, and may ask for an end after a batch.
            budget: Predictor calls after which to end before everything is relaxed, as it then also
                does when it has n distinct successes and there is nothing to maximise or minimise.
            unfinished: Whether it is to end as well when little hope is left.
        """
        results, spent = self._done_before(keeper)
        begin = time.perf_counter() - spent
        course, total = self._course, len(self.space)
        interrupted, end = False, ""
        while not course.is_done:
            self._learn(results)
            met = _met(results)
            end = "" if budget is None else self._end(met, n, budget)
            if not end and unfinished and self._is_stale(met):
                end = f"{self._ended()}, with little hope for the others"
            if end:
                break
            rows = self._next(met, n, budget)
            results.append(self._batch(rows, self._lessons))
            course.take(rows)
            if progress is not None:
                rate = sum(int(result["met"].sum()) for result in results) / len(course)
                progress(ProgressEvent("relaxing compositions", len(course), total, rate))
            if keeper is not None:
                interrupted = keeper.stop_asked and not course.is_done
                if interrupted or keeper.due:
                    keeper.keep(self._state(results, time.perf_counter() - begin))
            if interrupted:
                break
        back = np.argsort(course.rows)
        joined = {k: torch.cat([r[k] for r in results]).cpu().numpy()[back] for k in results[0]}
        findings = self._findings(course.rows[back], joined)
        found = self._found(findings, n, begin, interrupted=interrupted)
        return replace(found, end=found.shortage(n) if course.is_done else end)

    def _next(self, met: NDArray[np.bool_], n: int, budget: int | None) -> NDArray[np.int64]:
        """Decorations of the next round."""
        course, promise = self._course, self._lessons.promise
        if budget is None:
            return course.next_round(promise, met)
        missing = n - course.n_distinct(met) if self._ends_with_n else None
        return course.next_round(promise, met, missing=missing, most=self._affordable(budget))

    def _affordable(self, budget: int) -> int | None:
        """Decorations that a budget still allows, with something to spare; None if not known."""
        done = len(self._course)
        if not done:
            return None
        calls = self.evaluator.calls
        return int((budget - calls) / (SPARE * calls / done))

    def _end(self, met: NDArray[np.bool_], n: int, budget: int) -> str:
        """Why to end before the next round, in words; empty to go on."""
        if self._ends_with_n and self._course.n_distinct(met) >= n:
            return f"{self._ended()}, with the {n:,} distinct successes asked for"
        affordable, left = self._affordable(budget), len(self.space) - len(self._course)
        if affordable is not None and affordable < min(LEAST, left):
            return f"{self._ended()}, with its budget spent"
        return ""

    def _ended(self) -> str:
        seen, total = len(self._course), len(self.space)
        return f"it ended unfinished, after {seen:,} of {total:,} decorations"

    def _is_stale(self, met: NDArray[np.bool_]) -> bool:
        """Whether there have been successes, but for a long time, and the others promise none."""
        since = len(met) - 1 - np.flatnonzero(met)[-1] if met.any() else 0
        if since <= max(STALE, len(met) / 2):
            return False
        return self._course.hope(self._lessons.promise, met) < LITTLE_HOPE

    @property
    def _ends_with_n(self) -> bool:
        """Whether n successes are enough: nothing is to be maximised or minimised."""
        return not any(target.direction for target in self.targets)

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
            losses=tuple(joined["loss"][chosen].tolist()),
            history=findings.table(chosen, {"step": 1, "candidate": np.arange(len(chosen))}),
            decorations=findings.decorations(),
            calls=self.evaluator.calls,
            relaxed=int((~joined["given_up"]).sum()),
            given_up=int(joined["given_up"].sum()),
            not_looked_at=len(self.space) - len(findings.rows),
            successes=len(findings.successes),
            distinct=findings.n_distinct,
            seconds=time.perf_counter() - begin,
            interrupted=interrupted,
        )

    def _done_before(self, keeper: Keeper | None) -> tuple[list[dict[str, Tensor]], float]:
        """Results of rounds that were done before a kill, and the time that they took, s."""
        last = None if keeper is None else keeper.last()
        if last is None:
            return [], 0.0
        self.evaluator.calls = last["calls"]
        self._course.take(last["rows"].numpy())
        return list(last["results"]), float(last["seconds"])

    def _state(self, results: list[dict[str, Tensor]], seconds: float) -> State:
        return {
            "results": results,
            "rows": torch.as_tensor(self._course.rows),
            "calls": self.evaluator.calls,
            "seconds": seconds,
            "history": {},
        }

    def _learn(self, results: list[dict[str, Tensor]]) -> None:
        """Learn from what is known."""
        reached = len(self._course)
        if reached < FIRST or not self._relaxes:
            return
        names = ("rests", "lengths", "angles", "displacements", "shortfalls", "begun")
        known = {name: torch.cat([result[name] for result in results]) for name in names}
        if self._learnt < LEARNT:
            self._learnt = min(reached, LEARNT)
            self._lessons = self._lessons_of(self._learnt, known)
        later = known["rests"][FIRST:]
        if self.at_rest and later.sum() >= ROUND:
            rested = known["shortfalls"][FIRST:].where(later[:, None], torch.nan)
            self._lessons = replace(self._lessons, hopes=Hopes(known["begun"][FIRST:], rested))

    def _lessons_of(self, n: int, known: dict[str, Tensor]) -> _Lessons:
        """Guess and promise by the first n decorations that are known."""
        rows = self._course.rows[:n]
        parts, rests = self.space.parts(rows), known["rests"][:n]
        guess = promise = None
        if rests.any():
            usual = variables_of(self._start(rows)[0])
            geometry = (known[name][:n] for name in ("lengths", "angles", "displacements"))
            change = (variables(*geometry) - usual)[rests]
            guess = RestGuess(parts[rests.cpu().numpy()], change.double().cpu().numpy())
        shortfalls = known["shortfalls"][:n].double().cpu().numpy()
        finite = np.isfinite(shortfalls).all(axis=1)
        if self._yardstick.n_bounds and finite.any():
            promise = Promise(parts[finite], shortfalls[finite])
        return _Lessons(guess, promise)

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
                change = torch.as_tensor(lessons.guess(self.space.parts(rows)))
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


def _met(results: list[dict[str, Tensor]]) -> NDArray[np.bool_]:
    """Whether the decorations so far, in the order of their rounds, meet all targets."""
    met = [result["met"].cpu().numpy() for result in results]
    return np.concatenate(met) if met else np.zeros(0, dtype=np.bool_)
