"""CatCMA: evolution strategy with a covariance for lattice and coordinates, and categories.

R. Hamano et al., GECCO 2024, arXiv:2405.09962, in the package `cmaes`. Several searches run side by
side, each on one template and one combination of oxidation numbers, so every crystal is neutral.
One that has converged, or has had its generations, starts anew on the next combination.
"""

from dataclasses import dataclass, field

import numpy as np
from cmaes import CatCMA
from numpy.typing import NDArray

from benchmarks.rivals.space import DROPPED, Floats, Ints, Proposals, Space

SEARCHES = 8
GENERATIONS = 100
SIGMA = 0.3
"""Of variables scaled to [0, 1]."""

RESAMPLINGS = 10
"""Draws outside the box before a draw is cut to it; with many variables, all draws are outside."""

MANY = 50

TRIES = 20
"""Generations in a row of which nothing may fit by its radii; they cost no call."""


@dataclass
class _Search:
    """One run of CatCMA on one template under one combination of charges."""

    template: int
    combination: int
    optimiser: CatCMA
    low: Floats
    high: Floats
    moving: Ints
    options: list[Ints]
    choosing: Ints
    drawn: list[tuple[tuple[Floats, Floats], float | None]] = field(default_factory=list)

    def tell(self) -> None:
        """Tell the optimiser the losses of the generation drawn, none of them missing any more."""
        losses = [(one, loss) for one, loss in self.drawn if loss is not None]
        if len(losses) == self.optimiser.population_size:
            self.optimiser.tell(losses)


class Cma:
    """CatCMA searches, side by side, restarted when they converge."""

    relaxes = False

    def __init__(self, space: Space, *, seed: int) -> None:
        """Take where to search."""
        self.space = space
        self._rng = np.random.default_rng(seed)
        kinds = enumerate(space.templates)
        starts = [(t, k) for t, kind in kinds for k in range(kind.n_combinations)]
        self._starts = [starts[k] for k in self._rng.permutation(len(starts))]
        self._started = 0
        self._searches = [self._start() for _ in range(SEARCHES)]

    def propose(self, most: int) -> Proposals:
        """One generation of each search; of it, what fits by its radii, while calls are left."""
        found: list[Proposals] = []
        for search in self._searches:
            left = most - sum(len(part) for part in found)
            search.drawn = []
            if left > 0:
                found.append(self._generation(search, left))
        return Proposals.join(found)

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Tell each search its generation; restart those that are done."""
        del proposals
        left = losses.tolist()
        for number, search in enumerate(self._searches):
            asked = [k for k, (_, loss) in enumerate(search.drawn) if loss is None]
            own, left = left[: len(asked)], left[len(asked) :]
            for k, loss in zip(asked, own, strict=True):
                search.drawn[k] = search.drawn[k][0], loss
            search.tell()
            done = search.optimiser.generation >= GENERATIONS
            if done or search.optimiser.should_stop():
                self._searches[number] = self._start()

    def _start(self) -> _Search:
        template, combination = self._starts[self._started % len(self._starts)]
        self._started += 1
        low, high = self.space.ranges(template)
        moving = np.flatnonzero(high > low)
        options = self.space.options(template, combination)
        choosing = np.array([k for k, own in enumerate(options) if len(own) > 1])
        optimiser = CatCMA(
            mean=self._rng.uniform(0.2, 0.8, len(moving)),
            sigma=SIGMA,
            bounds=np.tile([0.0, 1.0], (len(moving), 1)),
            cat_num=np.array([len(options[k]) for k in choosing]),
            n_max_resampling=RESAMPLINGS if len(moving) < MANY else 0,
            seed=int(self._rng.integers(2**31)),
        )
        return _Search(template, combination, optimiser, low, high, moving, options, choosing)

    def _generation(self, search: _Search, most: int) -> Proposals:
        """Draw a generation of which at least one fits, if it can be; others cost no call."""
        for attempt in range(TRIES + 1):
            drawn = [search.optimiser.ask() for _ in range(search.optimiser.population_size)]
            proposals = Proposals.join([self._proposal(search, *one) for one in drawn])
            misfit = self.space.misfit(proposals)
            if attempt == TRIES:
                misfit[:] = 0.0
            wanted = np.flatnonzero(misfit == 0)[:most]
            search.drawn = [
                (one, None if k in wanted else DROPPED + float(misfit[k]))
                for k, one in enumerate(drawn)
            ]
            if len(wanted):
                break
            search.tell()
        return proposals.select(wanted)

    def _proposal(self, search: _Search, scaled: Floats, choices: Floats) -> Proposals:
        variables = search.low.copy()
        span = (search.high - search.low)[search.moving]
        variables[search.moving] += np.clip(scaled, 0.0, 1.0) * span
        elements = np.array([own[0] for own in search.options])
        for site, row in zip(search.choosing, choices, strict=True):
            elements[site] = search.options[site][int(np.argmax(row))]
        return self.space.proposal(search.template, search.combination, elements, variables)
