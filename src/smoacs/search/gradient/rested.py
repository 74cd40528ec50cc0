"""The discrete stage of designs at rest: crystals settle, their elements are swapped, and again.

Geometry follows the energy alone. A trial is a crystal that settles; it ends at rest, or when its
calls are spent, or when it has become clear that it will miss what its candidate already has. Only
then is it compared. Swaps are proposed from the slopes of the properties at a crystal at rest.

A success with a composition that nobody has is kept for good, and its candidate goes on to look for
another one while there are candidates without a success: these have its places. Of a property that
is to be as large or small as possible the best are kept, one of each composition.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import MAX_FORCE, MAX_PRESSURE
from smoacs.relaxation.geometry_guard import GeometryGuard
from smoacs.relaxation.radii import scale_to_radii
from smoacs.relaxation.settler import Settler
from smoacs.relaxation.site_symmetry import SiteSymmetry
from smoacs.search.gradient.anneal import all_met
from smoacs.search.gradient.climb import Climb, Outcome
from smoacs.search.gradient.crystal_rows import CrystalRows, composition_keys
from smoacs.search.gradient.finish import has_extreme
from smoacs.search.gradient.moves import Moves
from smoacs.search.gradient.objective import Evaluation, Objective
from smoacs.search.gradient.rest import rest_loss
from smoacs.search.gradient.swaps import Swaps
from smoacs.search.progress import Recorder
from smoacs.search.settings import FinishSettings
from smoacs.search.state import leaves

FIRST_CALLS = 60
"""Predictor calls in which a candidate's first crystal may come to rest."""

TRIAL_CALLS = 30
"""The same after a swap, from a crystal that was at rest."""

LEAP = 0.3
"""Loss by which a trial may be worse than its candidate's best crystal in its first step; it keeps
nearly the properties that it starts with."""

PACE = 4.0
"""Steps like its last one after which a trial that still misses is given up."""

SETTLED = 0.8
"""Share of the pressure and force that a crystal at rest may have; below it a trial ends."""


class RestedFinish:
    """The stage and its state, for candidates of one template."""

    def __init__(  # noqa: PLR0913  (what evaluates, what limits and what moves)
        self,
        soft: SoftCrystals,
        objective: Objective,
        settings: FinishSettings,
        *,
        symmetry: SiteSymmetry,
        generator: torch.Generator,
        guard: GeometryGuard | None = None,
        moves: Moves | None = None,
        space: DesignSpace,
        kinds: Sequence[str],
        taken: frozenset[str] = frozenset(),
    ) -> None:
        """Take the candidates as the soft stage has left them.

        Args:
            soft: Candidates of one template.
            objective: Evaluates them; at rest.
            settings: Of the swaps.
            symmetry: Of the template.
            generator: Source of randomness.
            guard: Of geometric constraints; None if there are none.
            moves: Under rules on the crystal as a whole; None if there are none.
            space: What candidates may hold now, whatever they were restricted to before.
            kinds: Of the sites of a candidate.
            taken: Compositions, by their keys, that nobody is to get.
        """
        combination, elements = soft.discretise()
        if guard is not None:
            elements = guard.distinguish(soft, combination, elements)
        self._soft = replace(soft, space=space)
        self._taken = taken
        self._objective = objective
        self._settings = settings
        self._generator = generator
        self._guard = guard
        self._moves = moves
        self._extreme = has_extreme(objective)
        self._keeps = objective.front is None  # else losses of two candidates do not compare
        self._combination = combination
        self._settler = Settler(self._soft, symmetry)
        self._best = CrystalRows.of(self._soft, combination, elements)
        self._found = CrystalRows.of(self._soft, combination, elements)
        self._swaps = Swaps(
            self._soft, objective, settings, kinds=kinds, generator=generator, moves=moves
        )
        self._estimates = self._swaps.estimates
        self._climb = Climb.begin(elements, soft.space.n_systems)
        everyone = torch.ones_like(self._climb.met)
        self._settler.restart(everyone, elements)

    def run(self, steps: int, recorder: Recorder) -> tuple[Tensor, Tensor]:
        """Search for `steps` steps; the geometry of the candidates becomes that of the results.

        Returns:
            Combination of each candidate [B] and element of each site [N].
        """
        climb = self._climb
        parts = {
            "soft": leaves(self._soft),
            "objective": self._objective,
            "front": self._objective.front,
            "generator": self._generator,
            "settler": self._settler,
            "best": self._best,
            "found": self._found,
            "swaps": self._swaps,
            "estimates": self._estimates,
            "climb": climb,
            "chemistry": {"combination": self._combination},
        }
        device = self._soft.lengths.device
        for step in recorder.steps_of("finishing", steps, parts, device):
            active = ~(climb.owing | climb.idle | self._done)
            climb.owing[:] = False
            if active.any():
                self._step(torch.nonzero(active).flatten(), last=step + 1 == steps)
            recorder.record("finishing", climb.values, self._met)
        return self._results()

    @property
    def _done(self) -> bool:
        """Whether there is nothing left to find."""
        return bool(self._climb.filled.all()) and not self._extreme

    @property
    def _met(self) -> Tensor:
        """Which places have a success, [B]."""
        climb = self._climb
        return climb.filled | climb.met if self._extreme else climb.filled

    @property
    def met(self) -> tuple[bool, ...]:
        """Whether each result is a success; of extremes, whether it meets all bounds."""
        return tuple(self._met.tolist())

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of each result; of failures, what they lack of being at rest included."""
        climb = self._climb
        return tuple(torch.where(climb.filled, climb.found_loss, climb.loss).tolist())

    def _step(self, index: Tensor, *, last: bool) -> None:
        """Evaluate the crystals on trial of some candidates ([b] indices); move or judge each.

        After the last step all trials are over.
        """
        climb, soft = self._climb, self._soft
        if self._guard is not None:
            self._guard.make_room(soft, self._combination, climb.elements)
        crystals = soft.hard_crystals(self._combination, climb.elements).select(index)
        inner = self._settings.inner
        evaluation = self._objective(
            crystals, lambda target, v: target.loss(v, inner=inner), index, chemistry=False
        )
        for name, value in evaluation.values.items():
            climb.values.setdefault(name, value.new_full((len(climb.met),), torch.nan))
            climb.values[name][index] = value
        climb.calls[index] += 1
        met = all_met(self._objective.targets, evaluation)
        loss = evaluation.loss.to(climb.loss)
        if self._guard is not None:
            fits = self._guard.fits(crystals, self._combination[index])
            met, loss = met & fits, loss.where(fits, torch.inf)
        gradient = self._settler.look(
            index, crystals, frac_grad=evaluation.frac_grad, cell_grad=evaluation.cell_grad
        )
        ended = self._ended(index, evaluation, loss) | last
        if not ended.all():
            cell = crystals.cell.detach()[~ended]
            self._settler.step(index[~ended], gradient[~ended], cell)
        climb.last_loss[index] = loss
        if ended.any():
            total = loss + rest_loss(evaluation).to(loss)
            margins = {name: margin[ended] for name, margin in evaluation.margins.items()}
            values = {name: value[ended] for name, value in evaluation.values.items()}
            outcome = Outcome(met[ended], loss[ended], total[ended], values, margins)
            self._conclude(index[ended], outcome, last=last)

    def _ended(self, index: Tensor, evaluation: Evaluation, loss: Tensor) -> Tensor:
        """Which of the trials that were evaluated are over, [b]."""
        climb = self._climb
        settled = self._settler.stress[index] < SETTLED * MAX_PRESSURE
        settled &= self._settler.force[index] < SETTLED * MAX_FORCE
        first = climb.loss[index].isinf()
        spent = climb.calls[index] >= torch.where(first, FIRST_CALLS, TRIAL_CALLS)
        miss = loss - climb.target_loss[index]
        change = (loss - climb.last_loss[index]).abs()
        new = climb.calls[index] == 1
        hopeless = (miss > torch.where(new, LEAP, PACE * change)) & ~first
        return settled | spent | hopeless | ~evaluation.finite

    def _conclude(self, rows: Tensor, outcome: Outcome, *, last: bool) -> None:
        """Compare trials that are over, keep what is better, and begin new ones."""
        climb = self._climb
        self._estimates.learn(rows, outcome.values)
        accepted = self._accepted(rows, outcome)
        chosen = rows[accepted]
        now = CrystalRows.of(self._soft, self._combination, climb.elements)
        self._best.take(chosen, now, chosen)
        for field_, value in (
            (climb.loss, outcome.total),
            (climb.target_loss, outcome.loss),
            (climb.met, outcome.met),
        ):
            field_[chosen] = value[accepted].to(field_)
        climb.failures[rows] += 1
        climb.failures[chosen] = 0
        if self._done or last:
            return
        if len(chosen):
            part = self._soft.hard_crystals(self._combination, climb.elements).select(chosen)
            slopes = self._objective.slopes(part)
            climb.owing[chosen] = True
            values = {name: value[accepted] for name, value in outcome.values.items()}
            chemistry = (self._combination, climb.elements)
            self._estimates.update(
                self._soft, chosen, chemistry=chemistry, values=values, slopes=slopes
            )
            for name, margin in outcome.margins.items():
                known = self._estimates.margins.setdefault(name, torch.zeros_like(climb.loss))
                known[chosen] = margin[accepted].to(known)
        self._start_again(rows)
        self._propose(rows)

    def _accepted(self, rows: Tensor, outcome: Outcome) -> Tensor:
        """Which trials their candidates go on from, [r]; successes get their places."""
        climb = self._climb
        lower = outcome.total < climb.loss[rows]
        was = climb.met[rows]
        accepted = (outcome.met & ~was) | ((outcome.met == was) & lower)
        accepted |= climb.loss[rows].isinf()
        if not self._keeps:
            return accepted
        keys = composition_keys(climb.elements.view(len(climb.met), -1)[rows])
        for r in torch.nonzero(outcome.met).flatten().tolist():
            new = self._keep(int(rows[r]), keys[r], outcome.loss[r])
            if not self._extreme:
                accepted[r] = new or bool(accepted[r] & ~was[r])
        return accepted

    def _keep(self, row: int, key: str, loss: Tensor) -> bool:
        """Give the success of a candidate a place, if its composition is new or it is better.

        The place is the candidate's own, or that of one that has none; of extremes, where there are
        none left, that of the worst.
        """
        climb = self._climb
        places = torch.nonzero(climb.filled).flatten().tolist()
        keys = dict(zip(composition_keys(self._found.elements[climb.filled]), places, strict=True))
        free = torch.nonzero(~climb.filled).flatten()
        if key in keys or key in self._taken:
            place = keys.get(key)
        elif not climb.filled[row]:
            place = row
        elif len(free):
            place = int(free[climb.loss[free].argmax()])
        else:
            place = int(climb.found_loss.argmax())
        if place is None or (climb.filled[place] and not self._improves(place, loss)):
            return False
        climb.filled[place] = True
        climb.found_loss[place] = loss.to(climb.found_loss)
        now = CrystalRows.of(self._soft, self._combination, climb.elements)
        self._found.take(torch.tensor([place]), now, torch.tensor([row]))
        return True

    def _improves(self, place: int, loss: Tensor) -> bool:
        return self._extreme and bool(loss < self._climb.found_loss[place])

    def _compositions_taken(self) -> set[str]:
        """Keys of the compositions that a further success may not have."""
        return {*self._taken, *composition_keys(self._found.elements[self._climb.filled])}

    def _start_again(self, rows: Tensor) -> None:
        """Let candidates whose patience is spent go on from random successes of others."""
        climb = self._climb
        stuck = rows[climb.failures[rows] >= self._settings.patience]
        good = torch.nonzero(climb.met).flatten()
        if self._extreme:
            stuck = stuck[~climb.met[stuck]]
        if len(stuck) == 0 or len(good) == 0:
            return
        drawn = torch.randint(len(good), (len(stuck),), generator=self._generator)
        source = good[drawn.to(good.device)]
        self._best.take(stuck, self._best, source)
        self._combination[stuck] = self._best.combination[stuck]
        self._estimates.copy(stuck, source)
        for field_ in (climb.loss, climb.target_loss, climb.met):
            field_[stuck] = field_[source]
        climb.failures[stuck] = 0
        if self._objective.front is not None:  # a loss of another's weights says nothing
            climb.loss[stuck] = torch.inf

    def _propose(self, rows: Tensor) -> None:
        """Put candidates ([r] indices) back to their best crystals, with some elements swapped."""
        climb, soft = self._climb, self._soft
        self._best.place(soft, rows)
        n = len(climb.met)
        elements = climb.elements.view(n, -1)
        elements[rows] = self._best.elements[rows]
        before = elements.clone()
        taken = self._compositions_taken()
        climb.idle[rows] = ~self._swaps.swap(
            rows, elements, combination=self._combination, met=climb.met, taken=taken
        )
        climb.calls[rows] = 0
        climb.last_loss[rows] = torch.inf
        scale_to_radii(soft, self._combination, before.flatten(), climb.elements)
        mask = torch.zeros_like(climb.met)
        mask[rows] = True
        self._settler.restart(mask, climb.elements)

    def _results(self) -> tuple[Tensor, Tensor]:
        """Successes in their places; in the others the best crystal that there is."""
        climb = self._climb
        everyone = torch.arange(len(climb.met), device=climb.met.device)
        places = everyone[climb.filled]
        self._best.take(places, self._found, places)
        self._best.place(self._soft, everyone)
        return self._best.combination, self._best.elements.flatten()
