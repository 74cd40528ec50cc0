"""Other ways to search for the same crystals, on the same predictor and budget of its calls.

Each module holds one `Rival`: it proposes crystals, `compete` evaluates them on a predictor that
counts, and tells it their losses. `python -m benchmarks.paper` runs them.
"""

from collections.abc import Callable

from benchmarks.rivals.cma import Cma
from benchmarks.rivals.contest import Ending, Rival, compete
from benchmarks.rivals.counting import CountingPredictor, Find
from benchmarks.rivals.generative import Generative
from benchmarks.rivals.genetic import Genetic
from benchmarks.rivals.perovskite_vae import Generator, trained_generator
from benchmarks.rivals.random_search import RandomSearch
from benchmarks.rivals.space import Proposals, Space
from benchmarks.rivals.tpe import Tpe

TRIALS_OF_RELAXATION = 8
"""A relaxation takes about so many calls; with fewer studies each has as many trials as without."""

RIVALS: dict[str, Callable[[Space, int, int], Rival]] = {
    "random": lambda space, seed, _: RandomSearch(space, seed=seed),
    "tpe": lambda space, seed, n: Tpe(space, seed=seed, studies=n),
    "tpe-unfiltered": lambda space, seed, n: Tpe(space, seed=seed, studies=n, filters=False),
    "cma": lambda space, seed, _: Cma(space, seed=seed),
    "ga": lambda space, seed, _: Genetic(space, seed=seed),
    "random-rest": lambda space, seed, _: RandomSearch(space, seed=seed, relaxes=True),
    "tpe-rest": lambda space, seed, n: Tpe(
        space, seed=seed, studies=max(1, n // TRIALS_OF_RELAXATION), relaxes=True
    ),
}
"""Makes a rival, given the space, the seed and the number of candidates wanted."""

GENERATIVE = {"vae": False, "vae-rest": True}
"""The generative rival, and whether it relaxes; beside the space it needs its training crystals."""

__all__ = [
    "GENERATIVE",
    "RIVALS",
    "Cma",
    "CountingPredictor",
    "Ending",
    "Find",
    "Generative",
    "Generator",
    "Genetic",
    "Proposals",
    "RandomSearch",
    "Rival",
    "Space",
    "Tpe",
    "compete",
    "trained_generator",
]
