"""Every composition of a template, relaxed and compared with the targets: the best bets first."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator, is_at_rest
from smoacs.predictors import ENERGY, resolve_device
from smoacs.relaxation import radius_length, relax_candidates
from smoacs.relaxation.variables import Variables
from smoacs.request import DesignConfig
from smoacs.search.exhaustive.acquisition import Acquisition, SuccessProbability
from smoacs.search.exhaustive.early_stopping import EarlyStopping, Monitor
from smoacs.search.exhaustive.findings import Arrays, Findings, Found
from smoacs.search.exhaustive.regression import RestGuess
from smoacs.search.exhaustive.survey import Space
from smoacs.search.progress import Audience, ProgressEvent
from smoacs.search.settings import ExhaustiveSettings
from smoacs.search.state import Keeper, State

NEAR_REST = (0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08)
"""Factors of the relaxed lattice lengths that are tried, in turn, where designs need not rest."""

WITHOUT_ENERGY = (1.0, 0.96, 1.04, 0.92, 1.08, 0.88, 1.12, 0.84, 1.16, 0.8, 1.2, 0.76, 1.24)
"""The same, of the starting lengths, for predictors without a formation energy."""


@dataclass(frozen=True)
class _Lessons:
    """What the decorations relaxed so far teach for the others; None for nothing yet.

    Attributes:
        guess: Where they will rest.
        probability: Whether they will meet the targets.
        stopping: What is out of reach once they have begun to relax.
    """

    guess: RestGuess | None = None
    probability: SuccessProbability | None = None
    stopping: EarlyStopping | None = None


class ExhaustiveSearch:
    """Relaxes the decorations of a space, round by round, and keeps those that meet the targets.

    After every round it learns from all that it knows: where decorations rest, which of those left
    promise to meet the targets, and which of those begun will not. So the successes come early, and
    what is left at the end costs a call or two each.
    """

    def __init__(
        self,
        space: Space,
        config: DesignConfig,
        evaluator: Evaluator,
        settings: ExhaustiveSettings,
        *,
        successes: str = "distinct successes",
    ) -> None:
        """Take what to search, and for what.

        Args:
            space: All decorations.
            config: What is wanted, with `rest` decided.
            evaluator: Of the targets' properties.
            settings: How to go through the space.
            successes: What they are called in what is said of the end.
        """
        self.space = space
        self.targets = config.wanted
        self.evaluator = evaluator
        self._config = config
        self._settings = settings
        self._successes = successes
        self._acquisition = Acquisition(space, settings, seed=config.seed)
        self._relaxes = ENERGY in evaluator.predictor.properties
        self._lessons = _Lessons()
        self._learnt = 0

    def run(
        self,
        audience: Audience = Audience(),  # noqa: B008 - frozen
        *,
        budget: int | None = None,
        unfinished: bool = False,
    ) -> Found:
        """Relax everything; return at most `config.n` crystals, each composition once.

        Args:
            audience: Told after every batch; keeps what is done, and may ask for an end.
            budget: Predictor calls after which to end before everything is relaxed, as it then also
                does when it has n distinct successes and there is nothing to maximise or minimise.
            unfinished: Whether it is to end as well when little hope is left.
        """
        n, keeper = self._config.n, audience.keeper
        results, spent = self._done_before(keeper)
        begin = time.perf_counter() - spent
        acquisition, total = self._acquisition, len(self.space)
        interrupted, end = False, ""
        while not acquisition.is_done:
            self._learn(results)
            met = _met(results)
            end = "" if budget is None else self._end(met, n, budget)
            if not end and unfinished and self._is_stale(met):
                end = f"{self._ended()}, with little hope for the others"
            if end:
                break
            rows = self._next(met, n, budget)
            results.append(self._batch(rows, self._lessons))
            acquisition.take(rows)
            if audience.progress is not None:
                rate = sum(int(result["met"].sum()) for result in results) / len(acquisition)
                audience.progress(
                    ProgressEvent("relaxing compositions", len(acquisition), total, rate)
                )
            if keeper is not None:
                interrupted = keeper.stop_asked and not acquisition.is_done
                if interrupted or keeper.due:
                    keeper.keep(self._state(results, time.perf_counter() - begin))
            if interrupted:
                break
        back = np.argsort(acquisition.rows)
        joined = {k: torch.cat([r[k] for r in results]).cpu().numpy()[back] for k in results[0]}
        findings = self._findings(acquisition.rows[back], joined)
        found = self._found(findings, n, begin, interrupted=interrupted)
        return replace(found, end=found.shortage(n) if acquisition.is_done else end)

    def _next(self, met: NDArray[np.bool_], n: int, budget: int | None) -> NDArray[np.int64]:
        """Decorations of the next round."""
        acquisition, probability = self._acquisition, self._lessons.probability
        if budget is None:
            return acquisition.next_round(probability, met)
        missing = n - acquisition.n_distinct(met) if self._ends_with_n else None
        return acquisition.next_round(
            probability, met, missing=missing, most=self._affordable(budget)
        )

    def _affordable(self, budget: int) -> int | None:
        """Decorations that a budget still allows, with something to spare; None if not known."""
        done = len(self._acquisition)
        if not done:
            return None
        calls = self.evaluator.predictor_calls
        return int((budget - calls) / (self._settings.spare * calls / done))

    def _end(self, met: NDArray[np.bool_], n: int, budget: int) -> str:
        """Why to end before the next round, in words; empty to go on."""
        if self._ends_with_n and self._acquisition.n_distinct(met) >= n:
            return f"{self._ended()}, with the {n:,} {self._successes} asked for"
        affordable, left = self._affordable(budget), len(self.space) - len(self._acquisition)
        if affordable is not None and affordable < min(self._settings.least, left):
            return f"{self._ended()}, with its budget spent"
        return ""

    def _ended(self) -> str:
        seen, total = len(self._acquisition), len(self.space)
        return f"it ended unfinished, after {seen:,} of {total:,} decorations"

    def _is_stale(self, met: NDArray[np.bool_]) -> bool:
        """Whether there have been successes, but for a long time, and the others promise none."""
        since = len(met) - 1 - np.flatnonzero(met)[-1] if met.any() else 0
        if since <= max(self._settings.stale, len(met) / 2):
            return False
        return (
            self._acquisition.expected_successes(self._lessons.probability, met)
            < self._settings.little_hope
        )

    @property
    def _ends_with_n(self) -> bool:
        """Whether n successes are enough: nothing is to be maximised or minimised."""
        return not self.targets.extremes

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
        candidates = self._crystals(findings.rows[chosen])
        candidates.place(
            lengths=torch.as_tensor(joined["lengths"][chosen]),
            angles=torch.as_tensor(joined["angles"][chosen]),
            displacements=torch.as_tensor(joined["displacements"][chosen]),
        )
        return Found(
            candidates=candidates,
            losses=tuple(joined["loss"][chosen].tolist()),
            history=findings.table(chosen, {"step": 1, "candidate": np.arange(len(chosen))}),
            decorations=findings.decorations(),
            calls=self.evaluator.predictor_calls,
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
        self.evaluator.predictor_calls = last["calls"]
        self._acquisition.take(last["rows"].numpy())
        return list(last["results"]), float(last["seconds"])

    def _state(self, results: list[dict[str, Tensor]], seconds: float) -> State:
        return {
            "results": results,
            "rows": torch.as_tensor(self._acquisition.rows),
            "calls": self.evaluator.predictor_calls,
            "seconds": seconds,
            "history": {},
        }

    def _learn(self, results: list[dict[str, Tensor]]) -> None:
        """Learn from what is known."""
        reached, first = len(self._acquisition), self._settings.first
        if reached < first or not self._relaxes:
            return
        names = ("rests", "lengths", "angles", "displacements", "shortfalls", "begun")
        known = {name: torch.cat([result[name] for result in results]) for name in names}
        if self._learnt < self._settings.learnt:
            self._learnt = min(reached, self._settings.learnt)
            self._lessons = self._lessons_of(self._learnt, known)
        later = known["rests"][first:]
        if self._config.rests and later.sum() >= self._settings.round:
            rested = known["shortfalls"][first:].where(later[:, None], torch.nan)
            stopping = EarlyStopping(self._settings, known["begun"][first:], rested)
            self._lessons = replace(self._lessons, stopping=stopping)

    def _lessons_of(self, n: int, known: dict[str, Tensor]) -> _Lessons:
        """Guess and probability by the first n decorations that are known."""
        rows = self._acquisition.rows[:n]
        parts, rests = self.space.parts(rows), known["rests"][:n]
        guess = probability = None
        if rests.any():
            usual = _as_row(self._start(rows))
            geometry = [known[name][:n] for name in ("lengths", "angles", "displacements")]
            change = (_row(*geometry) - usual)[rests]
            guess = RestGuess(parts[rests.cpu().numpy()], change.double().cpu().numpy())
        shortfalls = known["shortfalls"][:n].double().cpu().numpy()
        finite = np.isfinite(shortfalls).all(axis=1)
        if self.targets.n_bounds and finite.any():
            probability = SuccessProbability(parts[finite], shortfalls[finite])
        return _Lessons(guess, probability)

    def _crystals(self, rows: NDArray[np.int64]) -> Candidates:
        """Crystals of some decorations, with the template's geometry."""
        device = resolve_device(self._config.device)
        space = DesignSpace.from_templates([self.space.template] * len(rows), device)
        combination = torch.as_tensor(self.space.combination[rows].astype(np.int64))
        elements = torch.as_tensor(self.space.elements[rows].astype(np.int64))
        return Candidates.real(space, combination.to(device), elements.to(device))

    def _start(self, rows: NDArray[np.int64]) -> Candidates:
        """The same with the usual starting lattice: of touching ions, or the template's own."""
        candidates = self._crystals(rows)
        length = radius_length(candidates.hard().detached())
        if length is not None:
            candidates.place((self._config.repeat * length)[:, None].expand(-1, 3))
        return candidates

    def _batch(self, rows: NDArray[np.int64], lessons: _Lessons) -> dict[str, Tensor]:
        """Relax some decorations: whether they meet the targets, geometries and values."""
        candidates = self._start(rows)
        missing = torch.full_like(candidates.lengths.detach()[:, 0], torch.nan)
        values = {name: missing.clone() for name in self.evaluator.properties}
        allowed = rests = given_up = missing == 0
        shape = (len(rows), self._settings.watched)
        monitor = Monitor(self.targets, lessons.stopping, shape=shape, device=missing.device)
        factors: tuple[float, ...] = WITHOUT_ENERGY
        if self._relaxes:
            if lessons.guess is not None:
                self._place(candidates, torch.as_tensor(lessons.guess(self.space.parts(rows))))
            ends = relax_candidates(candidates, self.space.symmetry, self.evaluator, monitor)
            values, given_up = ends.values, ends.given_up
            rests = ends.finite & is_at_rest(ends.pressure, ends.max_force) & ~given_up
            at_rest = self._config.rests
            allowed, factors = (rests, ()) if at_rest else (ends.finite, NEAR_REST)
        loss, met = self.targets.verdict(values)
        shortfalls = self.targets.shortfalls(values)
        trial = _Trial(candidates, values, loss, met & allowed)
        for factor in factors:
            self._try_scaled(trial, factor)
        return {
            "met": trial.met,
            "loss": trial.loss,
            "lengths": trial.lengths,
            "angles": candidates.angles.detach(),
            "displacements": candidates.displacements.detach().view(len(rows), -1, 3),
            "rests": rests,
            "given_up": given_up,
            "begun": monitor.begun,
            "shortfalls": shortfalls,
            **trial.found,
        }

    def _place(self, candidates: Candidates, change: Tensor) -> None:
        """Begin where the guess says, [b, 6 + 3n] beyond the usual start, symmetric."""
        wanted = _as_row(candidates) + change.to(candidates.lengths)
        candidates.place(wanted[:, :3].exp(), wanted[:, 3:6], wanted[:, 6:])
        everyone = torch.arange(len(candidates), device=wanted.device)
        Variables(candidates, self.space.symmetry).symmetrise(everyone)

    def _try_scaled(self, trial: "_Trial", factor: float) -> None:
        """Scale the relaxed lattices of what has not met the targets; keep what is better."""
        candidates = trial.candidates
        missed = torch.nonzero(~trial.met).flatten()
        if len(missed) == 0:
            return
        candidates.place(trial.start * factor)
        found = self.evaluator.values(candidates.hard(missed))
        loss, met = self.targets.verdict(found.values)
        met &= found.finite
        better = found.finite & (met | (loss < trial.loss[missed]))
        improved = missed[better]
        for name, value in found.values.items():
            trial.found[name][improved] = value[better].to(trial.found[name])
        trial.loss[improved] = loss[better]
        trial.lengths[improved] = candidates.lengths.detach()[improved]
        trial.met[missed] = met


class _Trial:
    """Crystals whose lattices are scaled: the best of each so far."""

    def __init__(
        self, candidates: Candidates, values: dict[str, Tensor], loss: Tensor, met: Tensor
    ) -> None:
        """Start from what was evaluated at the present lattice."""
        self.candidates = candidates
        self.found = values
        self.loss = loss
        self.met = met
        self.start = candidates.lengths.detach().clone()
        self.lengths = self.start.clone()


def _row(lengths: Tensor, angles: Tensor, displacements: Tensor) -> Tensor:
    """Geometry of b crystals as one row each, [b, 6 + 3n]: logarithms of lengths, and the rest."""
    return torch.cat([lengths.log(), angles, displacements.flatten(1)], 1)


def _as_row(candidates: Candidates) -> Tensor:
    """The same of crystals as they are now."""
    shifts = candidates.displacements.detach().view(len(candidates), -1, 3)
    return _row(candidates.lengths.detach(), candidates.angles.detach(), shifts)


def _met(results: list[dict[str, Tensor]]) -> NDArray[np.bool_]:
    """Whether the decorations so far, in the order of their rounds, meet all targets."""
    met = [result["met"].cpu().numpy() for result in results]
    return np.concatenate(met) if met else np.zeros(0, dtype=np.bool_)
