"""Other ways to search for the same crystals, on the same predictor and budget of its calls.

Each module holds one `Rival`: it proposes crystals, `compete` evaluates them on a predictor that
counts, and tells it their losses. `python -m benchmarks.paper` runs them.
"""

from collections.abc import Callable

from benchmarks.rivals.cma import Cma
from benchmarks.rivals.contest import Ending, Rival, compete
from benchmarks.rivals.counting import CountingPredictor, Find
from benchmarks.rivals.genetic import Genetic
from benchmarks.rivals.random_search import RandomSearch
from benchmarks.rivals.space import Proposals, Space
from benchmarks.rivals.tpe import Tpe

RIVALS: dict[str, Callable[[Space, int, int], Rival]] = {
    "random": lambda space, seed, _: RandomSearch(space, seed=seed),
    "tpe": lambda space, seed, n: Tpe(space, seed=seed, studies=n),
    "tpe-unfiltered": lambda space, seed, n: Tpe(space, seed=seed, studies=n, filters=False),
    "cma": lambda space, seed, _: Cma(space, seed=seed),
    "ga": lambda space, seed, _: Genetic(space, seed=seed),
}
"""Makes a rival, given the space, the seed and the number of candidates wanted."""

__all__ = [
    "RIVALS",
    "Cma",
    "CountingPredictor",
    "Ending",
    "Find",
    "Genetic",
    "Proposals",
    "RandomSearch",
    "Rival",
    "Space",
    "Tpe",
    "compete",
]
