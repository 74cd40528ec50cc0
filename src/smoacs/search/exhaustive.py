"""The complete answer: every composition of a template, relaxed and compared with the targets."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.pareto import front_ranks
from smoacs.predictors import (
    ENERGY,
    SPREAD_SUFFIX,
    Predictor,
    is_at_rest,
    physical,
)
from smoacs.search.objective import cautious, margins_of
from smoacs.search.pareto import extremes
from smoacs.search.progress import ProgressCallback, ProgressEvent
from smoacs.search.relax import Evaluator, Relaxation
from smoacs.search.rest import radius_length
from smoacs.search.state import Keeper, State
from smoacs.search.survey import Space
from smoacs.targets import Target

Arrays = dict[str, NDArray[Any]]
"""Results by name, a row for each decoration."""

ATOMS_TOGETHER = 4_000
"""Atoms of the crystals that are relaxed at the same time."""

NEAR_REST = (0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08)
"""Factors of the relaxed lattice lengths that are tried, in turn, where designs need not rest."""

WITHOUT_ENERGY = (1.0, 0.96, 1.04, 0.92, 1.08, 0.88, 1.12, 0.84, 1.16, 0.8, 1.2, 0.76, 1.24)
"""The same, of the starting lengths, for predictors without a formation energy."""

NEAREST_MISSES = 10
"""Crystals returned where none meets the targets."""


@dataclass(frozen=True)
class Found:
    """What an exhaustive search found.

    Attributes:
        soft: Geometry of the crystals to return, best first.
        combination: Combination of each, [R].
        elements: Element of each site, [R·n].
        history: Properties of the crystals to return, in long form, as of a single step.
        decorations: A row for each relaxed decoration: `combination`, `sites` (its elements in the
            order of the sites), the targets' properties, and whether they are `met`.
        calls: Predictor calls.
        relaxed: Decorations that were relaxed.
        successes: Those that meet the targets.
        distinct: Compositions among them.
        seconds: Time that it took, before a kill included.
        interrupted: Whether it was stopped before the last decoration.
    """

    soft: SoftCrystals
    combination: Tensor
    elements: Tensor
    history: pd.DataFrame
    decorations: pd.DataFrame
    calls: int
    relaxed: int
    successes: int
    distinct: int
    seconds: float
    interrupted: bool


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
    ) -> None:
        """Take what to search, and for what.

        Args:
            space: All decorations.
            targets: What is wanted.
            evaluator: Of the targets' properties, see `wanted_properties`.
            at_rest: Whether only the energy's minimum counts.
            conservative: Standard deviations by which values may be off, to the worse side.
            repeat: Of the template, for lengths that start from ionic radii.
        """
        self.space = space
        self.targets = tuple(targets)
        self.evaluator = evaluator
        self.at_rest = at_rest
        self.conservative = conservative
        self.repeat = repeat

    def run(
        self, n: int, progress: ProgressCallback | None = None, keeper: Keeper | None = None
    ) -> Found:
        """Relax everything; return at most `n` crystals, new compositions first.

        Args:
            n: Most crystals to return.
            progress: Called after every batch.
            keeper: Keeps what is done, gives it back, and may ask for an end after a batch.
        """
        rows, batches = self._batches()
        results, spent = self._done_before(keeper)
        begin = time.perf_counter() - spent
        done = len(results)
        interrupted = False
        for batch, part in enumerate(rows[done:], start=done + 1):
            results.append(self._batch(part))
            reached = int(part[-1]) + 1
            if progress is not None:
                met = sum(int(result["met"].sum()) for result in results)
                stage = "relaxing every composition"
                progress(ProgressEvent(stage, reached, len(self.space), met / reached))
            if keeper is not None:
                interrupted = keeper.stop_asked and batch < batches
                if interrupted or keeper.due:
                    keeper.keep(self._state(results, time.perf_counter() - begin))
            if interrupted:
                break
        joined = {name: torch.cat([r[name] for r in results]).cpu().numpy() for name in results[0]}
        return self._found(joined, n, time.perf_counter() - begin, interrupted=interrupted)

    def _found(self, joined: Arrays, n: int, seconds: float, *, interrupted: bool) -> Found:
        chosen = self._choose(joined, n)
        soft, combination, elements = self._crystals(chosen)
        with torch.no_grad():
            soft.lengths.copy_(torch.as_tensor(joined["lengths"][chosen]) / soft.length_unit)
            soft.angles.copy_(torch.as_tensor(joined["angles"][chosen]))
            shifts = joined["displacements"][chosen].reshape(-1, 3)
            soft.displacements.copy_(torch.as_tensor(shifts))
        met = joined["met"]
        return Found(
            soft=soft,
            combination=combination,
            elements=elements,
            history=self._table(joined, chosen, {"step": 1, "candidate": np.arange(len(chosen))}),
            decorations=self._decorations(joined),
            calls=self.evaluator.calls,
            relaxed=len(met),
            successes=int(met.sum()),
            distinct=len(np.unique(self._compositions(np.flatnonzero(met)), axis=0)),
            seconds=seconds,
            interrupted=interrupted,
        )

    def _batches(self) -> tuple[list[NDArray[np.int64]], int]:
        """Decorations of each batch, and how many batches there are."""
        size = max(1, ATOMS_TOGETHER // self.space.template.n_sites)
        rows = np.array_split(np.arange(len(self.space)), range(size, len(self.space), size))
        return rows, len(rows)

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

    def _crystals(self, rows: NDArray[np.int64]) -> tuple[SoftCrystals, Tensor, Tensor]:
        """Crystals of some decorations, with combination [b] and elements [b·n]."""
        template, device = self.space.template, self.evaluator.device
        space = DesignSpace.from_templates([template] * len(rows), device)
        soft = SoftCrystals.start(space, torch.Generator())
        combination = torch.as_tensor(self.space.combination[rows].astype(np.int64))
        elements = torch.as_tensor(self.space.elements[rows].astype(np.int64).ravel())
        return soft, combination.to(device), elements.to(device)

    def _batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Relax some decorations: whether they meet the targets, geometries and values."""
        soft, combination, elements = self._crystals(rows)
        with torch.no_grad():
            length = radius_length(soft.hard_crystals(combination, elements))
            lengths = soft.space.lengths if length is None else self.repeat * length[:, None]
            soft.lengths.copy_((lengths / soft.length_unit).expand(-1, 3))
        soft.project()
        missing = torch.full_like(soft.lengths.detach()[:, 0], torch.nan)
        values = {name: missing.clone() for name in self.evaluator.properties}
        allowed = missing == 0
        factors: tuple[float, ...] = WITHOUT_ENERGY
        if ENERGY in self.evaluator.predictor.properties:
            relaxation = Relaxation(soft, combination, elements, self.space.symmetry)
            values, allowed, pressure, force = relaxation.run(self.evaluator)
            factors = NEAR_REST
            if self.at_rest:
                allowed, factors = allowed & is_at_rest(pressure, force), ()
        loss, met = self._verdict(values, allowed)
        trial = _Trial(soft, combination, elements, values, loss, met)
        for factor in factors:
            self._try_scaled(trial, factor)
        return {
            "met": trial.met,
            "loss": trial.loss,
            "lengths": trial.lengths * soft.length_unit,
            "angles": soft.angles.detach(),
            "displacements": soft.displacements.detach().view(len(rows), -1, 3),
            **trial.found,
        }

    def _verdict(self, values: dict[str, Tensor], allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (infinite if not finite) and whether all targets are met, each [b].

        Args:
            values: Raw values.
            allowed: Which crystals count at all.
        """
        seen = {
            name: torch.as_tensor(physical(name, value.double().cpu().numpy())).to(value)
            for name, value in values.items()
        }
        margins = margins_of(seen, self.targets, self.conservative)
        wanted = [cautious(target, margins) for target in self.targets]
        loss = torch.stack([t.loss(seen[t.property]) for t in wanted]).sum(0)
        met = torch.stack([t.met(seen[t.property]) for t in wanted]).all(0)
        return loss.nan_to_num(nan=torch.inf), met & allowed

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
        loss, met = self._verdict(found.properties, found.finite)
        better = found.finite & (met | (loss < trial.loss[missed]))
        improved = missed[better]
        for name, value in found.properties.items():
            trial.found[name][improved] = value[better].to(trial.found[name])
        trial.loss[improved] = loss[better]
        trial.lengths[improved] = soft.lengths.detach()[improved]
        trial.met[missed] = met

    def _compositions(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Elements of decorations in ascending order, [b, n]: equal for equal formulas."""
        ordered: NDArray[np.uint8] = np.sort(self.space.elements[rows], axis=1)
        return ordered

    def _choose(self, joined: Arrays, n: int) -> NDArray[np.int64]:
        """Decorations to return, best first: successes of new compositions, then others, [R]."""
        key = self._ranks(joined, n)
        order = np.lexsort((joined["loss"], key))
        successes = order[joined["met"][order]]
        if not len(successes):
            return order[: min(n, NEAREST_MISSES)]
        _, first = np.unique(self._compositions(successes), axis=0, return_index=True)
        is_first = np.zeros(len(successes), dtype=bool)
        is_first[first] = True
        ranked = np.concatenate([successes[is_first], successes[~is_first]])
        chosen: NDArray[np.int64] = ranked[:n]
        return chosen

    def _ranks(self, joined: Arrays, n: int) -> NDArray[np.int64]:
        """Ranks of the fronts of successes, [M]: 0 without conflicting targets."""
        wanted = extremes(self.targets)
        ranks = np.zeros(len(joined["met"]), dtype=np.int64)
        if len(wanted) > 1:
            met = np.flatnonzero(joined["met"])
            costs = [-t.direction * joined[t.property][met].astype(float) for t in wanted]
            found = front_ranks(np.stack(costs, axis=1), most=n)
            ranks[met] = np.where(found < 0, len(met), found)
        return ranks

    def _table(
        self, joined: Arrays, rows: NDArray[np.int64], columns: dict[str, object]
    ) -> pd.DataFrame:
        """Some columns, and the properties of some decorations as users see them."""
        names = self.evaluator.properties
        values = {name: physical(name, joined[name][rows].astype(float)) for name in names}
        return pd.DataFrame({**columns, **values})

    def _decorations(self, joined: Arrays) -> pd.DataFrame:
        space, n = self.space, len(joined["met"])
        symbols = np.array(ELEMENTS, dtype=object)
        names = np.array(space.template.combination_names, dtype=object)
        columns: dict[str, object] = {
            "combination": names[space.combination[:n]],
            "sites": [" ".join(symbols[row]) for row in space.elements[:n]],
        }
        return self._table(joined, np.arange(n), columns).assign(met=joined["met"])


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
