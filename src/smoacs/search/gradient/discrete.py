"""The discrete stage: real crystals are tried, their elements are swapped, and again.

What a trial does with the geometry, and when it is over, is its policy's: crystals settle, or are
polished. Only a trial that is over is compared with what its candidate has. Swaps are proposed from
the slopes of the properties there.

A success with a composition that nobody has is kept for good, and its candidate goes on to look for
another one while there are candidates without a success: these have its places. Of a property that
is to be as large or small as possible the best are kept, one of each composition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smoacs.crystals import Candidates, Snapshot
from smoacs.evaluation import MAX_FORCE, MAX_PRESSURE, LossSlopes
from smoacs.relaxation import GeometryGuard, change_elements
from smoacs.search.gradient.moves import Moves, composition_keys
from smoacs.search.gradient.objective import Objective, no_loss
from smoacs.search.gradient.plausible import Plausibility
from smoacs.search.gradient.policies import Outcome, Policy, Standing
from smoacs.search.gradient.swaps import Swaps
from smoacs.search.progress import Recorder
from smoacs.search.settings import DiscreteSettings


@dataclass
class Places:
    """Successes that are kept, one place for each of B candidates.

    Attributes:
        filled: Places that a success with a composition of its own has, [B].
        loss: Of the targets, of these, [B].
        failures: Trials in a row that brought a candidate nothing, [B].
        owing: Candidates that have spent the call of the next step already, [B].
        idle: Candidates without any swap left, [B].
        values: Last values of the properties, each [B].
    """

    filled: Tensor
    loss: Tensor
    failures: Tensor
    owing: Tensor
    idle: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)


class DiscreteStage:
    """The stage and its state, for candidates of one template."""

    def __init__(  # noqa: PLR0913  (what evaluates, what limits and what moves)
        self,
        candidates: Candidates,
        objective: Objective,
        settings: DiscreteSettings,
        policy: Policy,
        *,
        generator: torch.Generator,
        guard: GeometryGuard | None = None,
        moves: Moves | None = None,
        kinds: Sequence[str],
        taken: frozenset[str] = frozenset(),
        plausible: Plausibility = Plausibility(),  # noqa: B008 - frozen
    ) -> None:
        """Take real candidates.

        Args:
            candidates: Of one template.
            objective: Evaluates them.
            settings: Of trials and swaps.
            policy: Moves their geometry.
            generator: Source of randomness.
            guard: Of geometric constraints; None if there are none.
            moves: Under rules on the crystal as a whole; None if there are none.
            kinds: Of the sites of a candidate.
            taken: Compositions, by their keys, that nobody is to get.
            plausible: Elements that make sense together.
        """
        self._candidates = candidates
        self._taken = taken
        self._objective = objective
        self._settings = settings
        self._policy = policy
        self._generator = generator
        self._guard = guard
        self._extreme = bool(objective.targets.extremes)
        self._keeps = objective.front is None  # else losses of two candidates do not compare
        self._best = candidates.snapshot()
        self._found = candidates.snapshot()
        self._swaps = Swaps(
            candidates,
            objective,
            settings,
            kinds=kinds,
            generator=generator,
            moves=moves,
            plausible=plausible,
        )
        like = candidates.lengths.detach()[:, 0]
        no = torch.zeros_like(like, dtype=torch.bool)
        none = torch.zeros_like(like, dtype=torch.int64)
        self._standing = Standing(
            no_loss(like), no_loss(like), no_loss(like), no.clone(), none.clone()
        )
        self._places = Places(no.clone(), no_loss(like), none.clone(), no.clone(), no.clone())
        self._everyone = torch.arange(len(candidates), device=like.device)
        self._policy.begin(self._everyone)

    @property
    def _parts(self) -> dict[str, object]:
        """All that changes from step to step, by name."""
        return {
            "candidates": self._candidates.state,
            "evaluator": self._objective.evaluator,
            "front": self._objective.front,
            "generator": self._generator,
            "best": self._best,
            "found": self._found,
            "swaps": self._swaps,
            "estimates": self._swaps.estimates,
            "standing": self._standing,
            "places": self._places,
            **self._policy.parts,
        }

    def run(self, steps: int, recorder: Recorder) -> None:
        """Search for `steps` steps; the candidates become the results.

        These are the successes in their places; in the others the best crystal that there is.
        """
        places = self._places
        device = self._candidates.lengths.device
        for step in recorder.steps_of("finishing", steps, self._parts, device):
            active = ~(places.owing | places.idle | self._done)
            places.owing[:] = False
            if active.any():
                self._step(torch.nonzero(active).flatten(), last=step + 1 == steps)
            recorder.record("finishing", places.values, self._met)
        filled = self._everyone[places.filled]
        self._best.take(filled, self._found, filled)
        self._candidates.restore(self._everyone, self._best)

    @property
    def _done(self) -> bool:
        """Whether there is nothing left to find."""
        return bool(self._places.filled.all()) and not self._extreme

    @property
    def _met(self) -> Tensor:
        """Which places have a success, [B]."""
        filled = self._places.filled
        return filled | self._standing.met if self._extreme else filled

    @property
    def met(self) -> tuple[bool, ...]:
        """Whether each result is a success; of extremes, whether it meets all bounds."""
        return tuple(self._met.tolist())

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of each result; of failures, what they lack of being at rest included."""
        places = self._places
        return tuple(torch.where(places.filled, places.loss, self._standing.loss).tolist())

    def _step(self, index: Tensor, *, last: bool) -> None:
        """Evaluate the trials of some candidates ([b] indices); move or judge each.

        After the last step all trials are over.
        """
        candidates, policy, standing = self._candidates, self._policy, self._standing
        if self._guard is not None:
            self._guard.make_room(candidates)
        crystals = candidates.hard(index)
        inner = self._settings.inner
        slopes = self._objective(
            crystals,
            lambda target, values: target.loss(values, inner=inner),
            index,
            chemistry=policy.chemistry,
        )
        now = self._outcome(index, slopes)
        standing.calls[index] += 1
        policy.look(index, crystals, slopes, now)
        ended = policy.over(index, slopes, now, standing) | last
        if not ended.all():
            policy.move(~ended)
        standing.last_loss[index] = now.loss
        if ended.any():
            rows = index[ended]
            self._conclude(rows, policy.end(rows, now.of(ended)), last=last)

    def _outcome(self, index: Tensor, slopes: LossSlopes) -> Outcome:
        """What trials would end with; their values are noted."""
        places, like = self._places, self._standing.loss
        for name, value in slopes.values.items():
            places.values.setdefault(name, value.new_full(like.shape, torch.nan))
            places.values[name][index] = value
        met, loss = self._objective.met(slopes), slopes.loss.to(like)
        if self._guard is not None:
            crystals = self._candidates.hard(index).detached()
            fits = self._guard.fits(crystals, self._candidates.combination[index])
            met, loss = met & fits, loss.where(fits, torch.inf)
        return Outcome(met, loss, loss + self._unrest(slopes).to(loss), slopes.values)

    def _unrest(self, slopes: LossSlopes) -> Tensor:
        """Penalty on residual pressure and forces, [b]; 0 where designs need not be at rest."""
        if slopes.pressure is None or slopes.max_force is None:
            return torch.zeros_like(slopes.loss)
        pressure = torch.relu(slopes.pressure.abs() / (0.5 * MAX_PRESSURE) - 1)
        force = torch.relu(slopes.max_force / (0.5 * MAX_FORCE) - 1)
        return self._settings.unrest * (pressure + force)

    def _conclude(self, rows: Tensor, outcome: Outcome, *, last: bool) -> None:
        """Compare trials that are over, keep what is better, and begin new ones."""
        standing, places, estimates = self._standing, self._places, self._swaps.estimates
        estimates.learn(rows, outcome.values)
        now = self._candidates.snapshot()
        accepted = self._accepted(rows, outcome, now)
        chosen, gained = rows[accepted], outcome.of(accepted)
        self._best.take(chosen, now, chosen)
        standing.loss[chosen] = gained.total.to(standing.loss)
        standing.target_loss[chosen] = gained.loss.to(standing.loss)
        standing.met[chosen] = gained.met
        places.failures[rows] += 1
        places.failures[chosen] = 0
        if self._done or last:
            return
        if len(chosen):
            slopes = self._objective.chemistry_slopes(self._candidates.hard(chosen))
            places.owing[chosen] = True
            estimates.update(self._candidates, chosen, values=gained.values, slopes=slopes)
        self._start_again(rows)
        self._propose(rows)

    def _accepted(self, rows: Tensor, outcome: Outcome, now: Snapshot) -> Tensor:
        """Which trials their candidates go on from, [r]; successes get their places.

        Args:
            rows: The candidates, [r] indices.
            outcome: Of their trials.
            now: All candidates as they stand.
        """
        standing = self._standing
        lower = outcome.total < standing.loss[rows]
        was = standing.met[rows]
        accepted = (outcome.met & ~was) | ((outcome.met == was) & lower)
        accepted |= standing.loss[rows].isinf()
        if not self._keeps:
            return accepted
        keys = composition_keys(now.elements[rows])
        places = self._places_taken()
        for r in torch.nonzero(outcome.met).flatten().tolist():
            new = self._keep(int(rows[r]), keys[r], outcome.loss[r], now=now, places_taken=places)
            if not self._extreme:
                accepted[r] = new or bool(accepted[r] & ~was[r])
        return accepted

    def _keep(
        self, row: int, key: str, loss: Tensor, *, now: Snapshot, places_taken: dict[str, int]
    ) -> bool:
        """Give the success of a candidate a place, if its composition is new or it is better.

        The place is the candidate's own, or that of one that has none; of extremes, where there are
        none left, that of the worst.

        Args:
            row: The candidate.
            key: Of its composition.
            loss: Of its targets.
            now: All candidates as they stand.
            places_taken: Place of each composition that has one; kept up to date.
        """
        places = self._places
        free = torch.nonzero(~places.filled).flatten()
        if key in places_taken or key in self._taken:
            place = places_taken.get(key)
        elif not places.filled[row]:
            place = row
        elif len(free):
            place = int(free[self._standing.loss[free].argmax()])
        else:
            place = int(places.loss.argmax())
        if place is None or (places.filled[place] and not self._improves(place, loss)):
            return False
        for composition in [k for k, taken in places_taken.items() if taken == place]:
            del places_taken[composition]
        places_taken[key] = place
        places.filled[place] = True
        places.loss[place] = loss.to(places.loss)
        self._found.take(torch.tensor([place]), now, torch.tensor([row]))
        return True

    def _improves(self, place: int, loss: Tensor) -> bool:
        return self._extreme and bool(loss < self._places.loss[place])

    def _places_taken(self) -> dict[str, int]:
        """The place of each composition that a success has."""
        rows = torch.nonzero(self._places.filled).flatten().tolist()
        return dict(zip(composition_keys(self._found.elements[rows]), rows, strict=True))

    def _start_again(self, rows: Tensor) -> None:
        """Let candidates whose patience is spent go on from random successes of others."""
        standing, places = self._standing, self._places
        stuck = rows[places.failures[rows] >= self._settings.patience]
        good = torch.nonzero(standing.met).flatten()
        if self._extreme:
            stuck = stuck[~standing.met[stuck]]
        if len(stuck) == 0 or len(good) == 0:
            return
        drawn = torch.randint(len(good), (len(stuck),), generator=self._generator)
        source = good[drawn.to(good.device)]
        self._best.take(stuck, self._best, source)
        self._swaps.estimates.copy(stuck, source)
        standing.copy(stuck, source)
        places.failures[stuck] = 0
        if self._objective.front is not None:  # a loss of another's weights says nothing
            standing.loss[stuck] = torch.inf

    def _propose(self, rows: Tensor) -> None:
        """Put candidates ([r] indices) back to their best crystals, with some elements swapped."""
        standing, candidates = self._standing, self._candidates
        candidates.restore(rows, self._best)
        elements = candidates.rows.clone()
        self._places.idle[rows] = ~self._swaps.swap(
            rows, elements, met=standing.met, taken={*self._taken, *self._places_taken()}
        )
        standing.calls[rows] = 0
        standing.last_loss[rows] = torch.inf
        change_elements(candidates, rows, elements[rows])
        self._policy.begin(rows)
