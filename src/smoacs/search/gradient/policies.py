"""What a trial of the discrete stage does with the geometry, and when it is over.

A trial is a crystal with new elements. `Settling` moves it down the energy until it is at rest;
`Polishing` moves it down the loss of the targets for a few steps and keeps the best of them.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from smoacs.crystals import Candidates, Crystals
from smoacs.crystals.candidates import GEOMETRY
from smoacs.evaluation import MAX_FORCE, MAX_PRESSURE, LossSlopes
from smoacs.relaxation import QuasiNewton
from smoacs.search.gradient.adam import CandidateAdam
from smoacs.search.gradient.anneal import geometry_variables
from smoacs.search.gradient.objective import Objective, no_loss, pulled_back
from smoacs.search.settings import DiscreteSettings
from smoacs.templates import Operations


@dataclass(frozen=True)
class Outcome:
    """Of r trials: whether all is met, their losses and their values, each [r].

    Attributes:
        met: Whether all targets are met, and the crystal is at rest if it has to be.
        loss: Of the targets.
        total: The same, and what the crystal lacks of being at rest.
        values: Of the properties.
    """

    met: Tensor
    loss: Tensor
    total: Tensor
    values: dict[str, Tensor]

    def of(self, rows: Tensor) -> "Outcome":
        """Some of the trials, [r] bool or indices."""
        values = {name: value[rows] for name, value in self.values.items()}
        return Outcome(self.met[rows], self.loss[rows], self.total[rows], values)


@dataclass
class Standing:
    """Where B candidates stand.

    Attributes:
        loss: Of their best crystals, what these lack of being at rest included, [B].
        target_loss: The same without that, [B].
        last_loss: Loss of the targets in the last step of the trial, [B].
        met: Whether the best crystals meet all targets, [B].
        calls: Predictor calls of the present trial, [B].
    """

    loss: Tensor
    target_loss: Tensor
    last_loss: Tensor
    met: Tensor
    calls: Tensor

    def copy(self, rows: Tensor, sources: Tensor) -> None:
        """Let candidates ([r] indices) stand where others do."""
        for value in (self.loss, self.target_loss, self.met):
            value[rows] = value[sources]


class Policy(Protocol):
    """Moves the trials of the candidates of one template."""

    chemistry: ClassVar[bool]
    """Whether the loss has to be differentiated at every step."""

    def begin(self, index: Tensor) -> None:
        """Begin new trials of candidates, [b], from where they stand now."""

    def look(self, index: Tensor, crystals: Crystals, slopes: LossSlopes, now: Outcome) -> None:
        """Note what was found of the trials of candidates, [b].

        Args:
            index: The candidates.
            crystals: Theirs, with their graph.
            slopes: What the predictor says of them.
            now: What the trials would end with.
        """

    def over(self, index: Tensor, slopes: LossSlopes, now: Outcome, standing: Standing) -> Tensor:
        """Which of the trials that were looked at are over, [b]."""

    def move(self, going: Tensor) -> None:
        """Take a step of the trials that go on, [b] bool of those that were looked at."""

    def end(self, index: Tensor, now: Outcome) -> Outcome:
        """What trials of candidates, [b], end with; these are put where that was found."""

    @property
    def parts(self) -> dict[str, object]:
        """What changes from step to step, by name."""


class Settling:
    """Crystals come to rest on the energy, quasi-Newton step by step.

    A trial is over at rest, when its calls are spent, or when it has become clear that it will miss
    what its candidate already has.
    """

    chemistry: ClassVar = False

    def __init__(
        self, candidates: Candidates, settings: DiscreteSettings, operations: Operations
    ) -> None:
        """Take the candidates, and the symmetries of their template."""
        self._newton = QuasiNewton(candidates, operations)
        self._settings = settings
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def parts(self) -> dict[str, object]:
        """What changes from step to step, by name."""
        return {"newton": self._newton}

    def begin(self, index: Tensor) -> None:
        """Forget the curvature."""
        self._newton.restart(index)

    def look(self, index: Tensor, crystals: Crystals, slopes: LossSlopes, now: Outcome) -> None:
        """Note stress and forces."""
        del now
        gradient = self._newton.look(
            index, crystals, frac_grad=slopes.frac_grad, cell_grad=slopes.cell_grad
        )
        self._seen = index, gradient, crystals.cell.detach()

    def over(self, index: Tensor, slopes: LossSlopes, now: Outcome, standing: Standing) -> Tensor:
        """Those at rest, out of calls, without hope, or not finite."""
        given = self._settings
        settled = self._newton.stress[index] < given.settled * MAX_PRESSURE
        settled &= self._newton.force[index] < given.settled * MAX_FORCE
        first = standing.loss[index].isinf()
        spent = standing.calls[index] >= torch.where(first, given.first_calls, given.trial_calls)
        miss = now.loss - standing.target_loss[index]
        change = (now.loss - standing.last_loss[index]).abs()
        new = standing.calls[index] == 1
        hopeless = (miss > torch.where(new, given.leap, given.pace * change)) & ~first
        return settled | spent | hopeless | ~slopes.finite

    def move(self, going: Tensor) -> None:
        """One quasi-Newton step."""
        if self._seen is not None:
            index, gradient, cell = self._seen
            self._newton.step(index[going], gradient[going], cell[going])

    def end(self, index: Tensor, now: Outcome) -> Outcome:
        """What was found last."""
        del index
        return now


class Polishing:
    """Crystals go down the loss by Adam for a few steps; the best of them counts."""

    chemistry: ClassVar = True

    def __init__(
        self, candidates: Candidates, objective: Objective, settings: DiscreteSettings
    ) -> None:
        """Take the candidates, what is wanted, and the step sizes."""
        self._candidates = candidates
        self._steps = settings.polish_steps
        self._adam = CandidateAdam(
            geometry_variables(
                candidates,
                lattice=settings.learning_rate_lattice,
                coords=settings.learning_rate_coords,
                settings=settings.geometry,
            ),
            len(candidates),
            beta2=settings.geometry.beta2,
        )
        self._best = candidates.snapshot()
        nothing = no_loss(candidates.lengths.detach()[:, 0])
        names = objective.evaluator.properties
        self._found = Outcome(
            met=torch.zeros_like(nothing, dtype=torch.bool),
            loss=nothing,
            total=nothing.clone(),
            values={name: torch.full_like(nothing, torch.nan) for name in names},
        )
        self._seen: tuple[Tensor, dict[str, Tensor]] | None = None

    @property
    def parts(self) -> dict[str, object]:
        """What changes from step to step, by name."""
        found = self._found
        outcome = {"met": found.met, "loss": found.loss, "total": found.total} | found.values
        return {"adam": self._adam, "best_geometry": self._best, "outcome": outcome}

    def begin(self, index: Tensor) -> None:
        """Forget momentum and what was best."""
        restarted = torch.zeros_like(self._found.met)
        restarted[index] = True
        self._adam.restart(restarted)
        self._found.met[index] = False
        self._found.loss[index] = torch.inf
        self._found.total[index] = torch.inf

    def look(self, index: Tensor, crystals: Crystals, slopes: LossSlopes, now: Outcome) -> None:
        """Note gradients, and what is better than all before."""
        geometry = {name: self._candidates.variables[name] for name in GEOMETRY}
        self._seen = index, pulled_back(crystals, slopes, geometry)
        found = self._found
        lower = (now.loss < found.loss[index]) | found.loss[index].isinf()
        better = (now.met & ~found.met[index]) | ((now.met == found.met[index]) & lower)
        rows, part = index[better], now.of(better)
        self._best.take(rows, self._candidates.snapshot(), rows)
        for item in fields(found):
            value = getattr(found, item.name)
            if isinstance(value, Tensor):
                value[rows] = getattr(part, item.name).to(value)
        for name, value in found.values.items():
            value[rows] = part.values[name].to(value)

    def over(self, index: Tensor, slopes: LossSlopes, now: Outcome, standing: Standing) -> Tensor:
        """Those that have had their steps, or are not finite."""
        del now
        return (standing.calls[index] >= self._steps) | ~slopes.finite

    def move(self, going: Tensor) -> None:
        """One step of Adam."""
        if self._seen is not None:
            index, grads = self._seen
            moving = torch.zeros_like(self._found.met)
            moving[index[going]] = True
            self._candidates.move(self._adam.changes(grads, 1.0, moving))

    def end(self, index: Tensor, now: Outcome) -> Outcome:
        """The best of each trial."""
        del now
        self._candidates.restore(index, self._best)
        return self._found.of(index)
