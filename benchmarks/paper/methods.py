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
from benchmarks.rivals import RIVALS, CountingPredictor, Find, Space, compete
from smoacs.chemistry import ELEMENTS
from smoacs.predictors import Predictor
from smoacs.search import DesignConfig, run_search
from smoacs.targets import Target
from smoacs.templates import Template

OURS: dict[str, dict[str, object]] = {
    "default": {},
    "at-rest": {"at_rest": True},
    "paper": {"preset": "paper"},
}
"""Settings of the gradient search, by the name of the method."""

EXHAUSTIVE = "exhaustive"

METHODS = (*OURS, EXHAUSTIVE, *RIVALS)


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


@dataclass(frozen=True)
class Outcome:
    """What a method returned, not judged yet.

    Attributes:
        config: The problem as settings of smoacs.
        template: To be kept; None if that is no criterion.
        structures: At most n crystals.
        calls: Predictor calls.
        seconds: Of the search.
        finds: When each distinct success was first seen.
        ended: Why the search ended.
        extra: What else the search says of itself.
    """

    config: DesignConfig
    template: Template | None
    structures: list[Structure]
    calls: int
    seconds: float
    finds: list[Find]
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
    seeds = _seeds(task)
    config = DesignConfig.from_mapping(
        {
            "targets": problem.targets,
            "repeat": problem.repeat,
            "n": task.n,
            "steps": task.steps,
            "seed": task.seed,
            "oxidation_table": problem.oxidation_table,
            "search": EXHAUSTIVE if task.method == EXHAUSTIVE else "gradient",
            "device": "cpu",
            **OURS.get(task.method, {}),
        }
    )
    rival = RIVALS.get(task.method)
    counting = CountingPredictor(
        predictor,
        wanted,
        success=counted,
        budget=None if rival is None else task.n * task.steps,
        seconds=None if rival is None else task.limit_s,
        table=config.table_of_states(),
    )
    if rival is None:
        return _ours(config, problem, counting, seeds)
    templates = _templates(config, counting, seeds)
    space = Space(templates, wanted, counting)
    ended = compete(rival(space, task.seed, task.n), space, counting)
    return Outcome(
        config=config,
        template=templates[0] if problem.keeps_template else None,
        structures=counting.best(task.n),
        calls=counting.calls,
        seconds=counting.seconds,
        finds=counting.finds,
        ended=ended,
    )


def _ours(
    config: DesignConfig,
    problem: Problem,
    counting: CountingPredictor,
    seeds: Sequence[Structure] | None,
) -> Outcome:
    result = run_search(config, predictor=counting, seeds=seeds)
    return Outcome(
        config=config,
        template=result.template if problem.keeps_template else None,
        structures=list(result.structures),
        calls=counting.calls,
        seconds=counting.seconds,
        finds=counting.finds,
        ended="done",
        extra={k: v for k, v in result.search.items() if isinstance(v, int)},
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
