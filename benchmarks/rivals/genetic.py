"""A genetic algorithm over elements, each crystal relaxed on the predicted energy.

Chromosome: the combination of oxidation numbers and the element of each site. Tournaments choose
the parents, crossover takes each site from either, mutation draws allowed elements anew, and the
best of parents and children live on (μ + λ). No decoration is evaluated twice, so a population of
successes goes on to find others.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.space import Ints, Proposals, Space

POPULATION = 64
TOURNAMENT = 3
CROSSOVER = 0.7
NEW_COMBINATION = 0.05
TRIES = 50
"""Draws for each child that may be known already, or not fit by their radii."""


class Genetic:
    """A population of decorations that breeds for a low loss at the relaxed geometry."""

    relaxes = True

    def __init__(self, space: Space, *, seed: int, population: int = POPULATION) -> None:
        """Take where to search, and how many crystals a generation has."""
        self.space = space
        self.size = population
        self._rng = np.random.default_rng(seed)
        self._parents: Proposals | None = None
        self._losses = np.zeros(0)
        self._seen: set[bytes] = set()

    def propose(self, most: int) -> Proposals:
        """The first generation at random, then children of the present one."""
        children: list[Proposals] = []
        wanted = min(self.size, most)
        for _ in range(TRIES):
            missing = wanted - len(children)
            if missing == 0:
                break
            drawn = Proposals.join([self._child() for _ in range(missing)])
            for k in np.flatnonzero(self.space.promising(drawn)):
                key = drawn.combination[k].tobytes() + drawn.elements[k].tobytes()
                key += drawn.template[k].tobytes()
                if key not in self._seen:
                    self._seen.add(key)
                    children.append(drawn.select([int(k)]))
        if not children:  # all that mutations reach is known: take new ones at random
            children = [self._random() for _ in range(wanted)]
        return Proposals.join(children)

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Keep the best of parents and children."""
        everyone = proposals
        if self._parents is not None:
            everyone = Proposals.join([self._parents, proposals])
        losses = np.concatenate([self._losses, losses])
        kept = np.argsort(losses, kind="stable")[: self.size]
        self._parents, self._losses = everyone.select(kept), losses[kept]

    def _random(self) -> Proposals:
        return self.space.random(self._rng, int(self._rng.integers(len(self.space.templates))))

    def _winner(self, parents: Proposals) -> int:
        drawn = self._rng.integers(len(parents), size=TOURNAMENT)
        return int(drawn[np.argmin(self._losses[drawn])])

    def _child(self) -> Proposals:
        parents = self._parents
        if parents is None or self._rng.random() < NEW_COMBINATION:
            return self._random()
        first, second = self._winner(parents), self._winner(parents)
        template, combination = int(parents.template[first]), int(parents.combination[first])
        elements = parents.elements[first].copy()
        alike = (parents.template[second], parents.combination[second]) == (template, combination)
        if alike and self._rng.random() < CROSSOVER:
            other = self._rng.random(len(elements)) < 0.5
            elements[other] = parents.elements[second][other]
        self._mutate(elements, self.space.options(template, combination))
        variables = np.concatenate([parents.geometry[first], np.zeros(3 * len(elements))])
        return self.space.proposal(template, combination, elements, variables)

    def _mutate(self, elements: Ints, options: list[Ints]) -> None:
        """Draw one site anew, and each other one with probability 1/n."""
        chosen = self._rng.random(len(elements)) < 1 / len(elements)
        chosen[self._rng.integers(len(elements))] = True
        for site in np.flatnonzero(chosen):
            elements[site] = self._rng.choice(options[site])
