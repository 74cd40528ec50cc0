"""Each method on a problem: the presets of smoacs, its exhaustive search, and the rivals."""

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from benchmarks.paper.specification import MAX_SEED_ATOMS, SEEDS, Problem
from benchmarks.rivals import (
    GENERATIVE,
    RIVALS,
    CountingPredictor,
    Find,
    Generative,
    Generator,
    Rival,
    Space,
    compete,
    trained_generator,
)
from smoacs.chemistry import ELEMENTS
from smoacs.predictors import Predictor
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.targets import Target
from smoacs.templates import Template

OURS: dict[str, dict[str, object]] = {
    "default": {"rest": "symmetry", "search": "auto"},
    "no-rest": {"rest": "none", "search": "gradient"},
    "paper": {"rest": "none", "search": "gradient", "preset": "paper"},
}
"""Settings of our searches by the name of the method, complete, so that no default changes them."""

EXHAUSTIVE = "exhaustive"
ALL_RELAXED: dict[str, object] = {"rest": "symmetry", "search": "exhaustive"}

RIVAL: dict[str, object] = {"rest": "none", "search": "gradient"}
"""Settings from which a rival takes template and charges; what it searches by is its own."""

METHODS = (*OURS, EXHAUSTIVE, *RIVALS, *GENERATIVE)

AT_REST = ("default", EXHAUSTIVE, "ga", "random-rest", "tpe-rest", "vae-rest")
"""Methods whose crystals are at an energy minimum; they are compared at rest, too."""

GENERATOR_DATA = "perov5.parquet"
CACHE = Path("runs/benchmark-cache")
"""Where the autoencoder's weights stay; they are no part of the results."""


class NotApplicableError(Exception):
    """A method or problem that cannot be run, with the reason."""


@dataclass(frozen=True)
class Task:
    """One run to do.

    Attributes:
        problem: What is searched.
        method: One of METHODS.
        seed: Of the search.
        n: Candidates.
        steps: Predictor calls per candidate.
        data: Folder of the tables of seeds; None without.
        limit_s: Most seconds for a rival; None for no limit.
    """

    problem: Problem
    method: str
    seed: int
    n: int
    steps: int
    data: Path | None = None
    limit_s: float | None = None

    @property
    def budget_share(self) -> float:
        """Predictor calls allowed, over those of the paper's comparison."""
        return round(self.n * self.steps / (self.problem.n * self.problem.steps), 4)


@dataclass(frozen=True)
class Outcome:
    """What a method returned, not judged yet.

    Attributes:
        config: The problem as settings of smoacs.
        template: To be kept; None if that is no criterion.
        structures: At most n crystals.
        at_rest: At most n crystals by a choice that asks for rest; None for methods without it.
        calls: Predictor calls.
        seconds: Of the search.
        finds: When each distinct success was first seen.
        finds_at_rest: When each was first seen at rest.
        ended: Why the search ended.
        extra: What else the search says of itself.
    """

    config: DesignConfig
    template: Template | None
    structures: list[Structure]
    at_rest: list[Structure] | None
    calls: int
    seconds: float
    finds: list[Find]
    finds_at_rest: list[Find]
    ended: str
    extra: dict[str, object] = field(default_factory=dict)


def solve(task: Task, predictor: Predictor) -> Outcome:
    """Run one method on one problem.

    Raises:
        NotApplicableError: The predictor lacks a property, the data are not there, or the method
            cannot do this problem.
    """
    problem = task.problem
    counted = tuple(Target.parse(text) for text in problem.counted)
    wanted = tuple(Target.parse(text) for text in problem.targets)
    missing = [t.property for t in (*wanted, *counted) if t.property not in predictor.properties]
    if missing:
        raise NotApplicableError(f"the predictor has no {missing[0]}")
    if task.method == EXHAUSTIVE and not problem.enumerable:
        raise NotApplicableError("too many compositions to enumerate")
    if task.method in GENERATIVE and not problem.enumerable:
        raise NotApplicableError("its training crystals are perovskites of five atoms")
    seeds = _seeds(task)
    config = _config(task)
    theirs = task.method in RIVALS or task.method in GENERATIVE
    generator = _generator(task, predictor) if task.method in GENERATIVE else None
    counting = CountingPredictor(
        predictor,
        wanted,
        success=counted,
        budget=task.n * task.steps if theirs else None,
        seconds=task.limit_s if theirs else None,
        table=config.table_of_states(),
        at_rest=task.method in AT_REST,
    )
    if not theirs:
        return _ours(config, problem, counting, seeds)
    templates = _templates(config, counting, seeds)
    space = Space(templates, wanted, counting)
    ended = compete(_rival(task, space, generator), space, counting)
    rests = task.method in AT_REST
    return Outcome(
        config=config,
        template=templates[0] if problem.keeps_template else None,
        structures=counting.best(task.n),
        at_rest=counting.best(task.n, at_rest=True) if rests else None,
        calls=counting.calls,
        seconds=counting.seconds,
        finds=counting.finds,
        finds_at_rest=counting.finds_at_rest,
        ended=ended,
        extra={} if generator is None else {"generator": generator.report},
    )


def _config(task: Task) -> DesignConfig:
    settings = OURS.get(task.method, ALL_RELAXED if task.method == EXHAUSTIVE else RIVAL)
    return DesignConfig.from_mapping(
        {
            "targets": task.problem.targets,
            "repeat": task.problem.repeat,
            "n": task.n,
            "steps": task.steps,
            "seed": task.seed,
            "oxidation_table": task.problem.oxidation_table,
            "mixed": True,  # as the paper's crystals are
            "device": "cpu",
            **settings,
        }
    )


def _rival(task: Task, space: Space, generator: Generator | None) -> Rival:
    if generator is None:
        return RIVALS[task.method](space, task.seed, task.n)
    return Generative(space, generator, seed=task.seed, relaxes=GENERATIVE[task.method])


_trained: dict[tuple[Path, int, int], Generator] = {}


def _generator(task: Task, predictor: Predictor) -> Generator:
    """The autoencoder of a seed, trained once; that costs no predictor call."""
    if task.data is None or not (path := task.data / GENERATOR_DATA).is_file():
        raise NotApplicableError(f"{GENERATOR_DATA} is not there: give its folder by --data")
    key = path, task.seed, id(predictor)
    if key not in _trained:
        _trained[key] = trained_generator(path, predictor, seed=task.seed, cache=CACHE)
    return _trained[key]


def _ours(
    config: DesignConfig,
    problem: Problem,
    counting: CountingPredictor,
    seeds: Sequence[Structure] | None,
) -> Outcome:
    result = run_search(config, predictor=counting, seeds=seeds)
    structures = list(result.structures)
    return Outcome(
        config=config,
        template=result.template if problem.keeps_template else None,
        structures=structures,
        at_rest=structures if config.rests else None,
        calls=counting.calls,
        seconds=counting.seconds,
        finds=counting.finds,
        finds_at_rest=counting.finds_at_rest,
        ended="done",
        extra={
            "searched": str(result.search.get("method", "")),
            **{k: v for k, v in result.search.items() if isinstance(v, int)},
        },
    )


def _templates(
    config: DesignConfig, predictor: Predictor, seeds: Sequence[Structure] | None
) -> Sequence[Template]:
    if seeds is None:
        return [config.resolved_template(predictor.elements)]
    return config.resolved_seeds(predictor.elements, seeds).templates


def _seeds(task: Task) -> list[Structure] | None:
    """Crystals of at most ten atoms, drawn at random from the table of the problem."""
    if task.problem.data is None:
        return None
    if task.data is None or not (path := task.data / task.problem.data).is_file():
        raise NotApplicableError(f"{task.problem.data} is not there: give its folder by --data")
    rows = pd.read_parquet(path, columns=["numbers", "frac_coords", "lattice"])
    rows = rows[rows["numbers"].map(len) <= MAX_SEED_ATOMS]
    order = random.Random(task.seed).sample(range(len(rows)), min(SEEDS, task.n, len(rows)))
    records = rows.iloc[order].to_dict("records")
    return [_structure(row) for row in records]


def _structure(row: Mapping[Hashable, Any]) -> Structure:
    numbers = np.asarray(row["numbers"], dtype=int)
    lattice = np.asarray(row["lattice"], dtype=float)
    frac = np.asarray(row["frac_coords"], dtype=float).reshape(-1, 3)
    return Structure(
        Lattice.from_parameters(*lattice.tolist()), [ELEMENTS[z - 1] for z in numbers], frac
    )
