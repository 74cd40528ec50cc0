"""How much of all that exists one default run finds: recall of distinct at-rest successes.

    python -m benchmarks.recall --holds 20 --out benchmarks/results/recall.json

Every perovskite composition is relaxed once to the end, by the search `exhaustive` with targets
that everything meets, so that nothing is given up. Its properties at rest answer each task by a
look into the table: all distinct formulas that succeed. Then a default run of n candidates is
judged against them: recall is the number of those formulas that it found, over all of them, or
over n where more exist. With `--holds K`, K of its distinct successes, drawn at random, are relaxed
by CHGNet (extra `chgnet`), and the share that survives is kept. Tasks whose properties the
predictor lacks are left out, and said to be.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from pymatgen.core import Composition

from benchmarks.paper.holds import share_that_holds
from smoacs.checking import CHGNET, load_potential
from smoacs.predictors import Predictor, load_predictor
from smoacs.request import DesignConfig
from smoacs.runs import DesignRun, run_design
from smoacs.search import run_search
from smoacs.targets import Target

COMMON = ("formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")
WIDEST = "0.8 <= tolerance_factor <= 1.0"
"""Holds in all tasks; compositions outside need not be enumerated."""


@dataclass(frozen=True)
class Task:
    """A row of the table."""

    name: str
    targets: tuple[str, ...]
    forbidden: tuple[str, ...] = ()


GAPS = [
    Task(f"band gap {gap} ± 0.2 eV", (f"band_gap = {gap} ± 0.2", *COMMON))
    for gap in (0.5, 2.5, 4.0, 4.5, 5.0)
]
STABLE = [
    Task(
        f"band gap {gap} ± 0.2 eV, E_hull < 0.1 eV/atom",
        (f"band_gap = {gap} ± 0.2", "energy_above_hull < 0.1", COMMON[1]),
    )
    for gap in (4.0, 4.5, 5.0)
]
STIFF = [
    Task(f"bulk modulus {modulus} ± 10 GPa", (f"bulk_modulus = {modulus} ± 10", *COMMON))
    for modulus in (120, 160, 200)
]
SIX = Task(
    "six at once",
    (
        "band_gap = 1.4 ± 0.1",
        "formation_energy < -1",
        "energy_above_hull < 0.05",
        "bulk_modulus > 80",
        "0.85 <= tolerance_factor <= 1.0",
    ),
    ("Pb", "Cd", "Hg", "As", "Tl"),
)
TASKS = (*GAPS, *STABLE, *STIFF, SIX)


def config_of(targets: Sequence[str], args: argparse.Namespace, **settings: object) -> DesignConfig:
    """Settings of a run at rest within its symmetry; the search is the default."""
    return DesignConfig.from_mapping(
        {
            "targets": targets,
            "elements": args.elements,
            "predictor": args.predictor,
            "n": args.n,
            "steps": args.steps,
            "rest": "symmetry",
            **settings,
        }
    )


def asked(task: Task) -> list[Target]:
    """Targets of a task."""
    return [Target.parse(text) for text in task.targets]


def enumerate_all(
    properties: Sequence[str], predictor: Predictor, args: argparse.Namespace
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Properties at rest of every composition that comes to rest, and what that took."""
    begin = time.perf_counter()
    targets = (*(f"{name} > -1000000" for name in properties), WIDEST)
    config = config_of(targets, args, search="exhaustive", rest="symmetry", n=1)
    result = run_search(config, predictor=predictor)
    every = result.decorations
    if every is None:
        raise RuntimeError("the search was not exhaustive")
    every = every[every["met"]].copy()
    every["formula"] = [Composition(s.replace(" ", "")).reduced_formula for s in every["sites"]]
    report = {
        **result.search,
        "predictor_calls": result.predictor_calls,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return every, report


def existing(task: Task, every: pd.DataFrame) -> set[str]:
    """Distinct formulas that meet a task at rest."""
    met = ~every["sites"].map(lambda sites: bool(set(sites.split()) & set(task.forbidden)))
    for target in asked(task):
        values = torch.from_numpy(every[target.property].to_numpy(float, copy=True))
        met &= target.met(values).numpy()
    return set(every.loc[met, "formula"])


def measure(
    task: Task, every: pd.DataFrame, predictor: Predictor, args: argparse.Namespace
) -> dict[str, object]:
    """Run a task by default and look up what it could have found."""
    exist = existing(task, every)
    runs = []
    for seed in range(args.seeds):
        begin = time.perf_counter()
        config = config_of(task.targets, args, forbidden=task.forbidden, seed=seed)
        run = run_design(config, predictor=predictor)
        found = set(run.table.loc[run.table["success"], "formula"])
        method = run.result.search["method"]
        seconds = round(time.perf_counter() - begin, 1)
        runs.append(
            {
                "seed": seed,
                "method": method,
                "rest": run.result.config.rest,
                "success": round(float(run.table["success"].mean()), 4),
                "distinct": len(found),
                "of_those_that_exist": len(found & exist),
                "recall": round(len(found & exist) / max(1, min(args.n, len(exist))), 4),
                "predictor_calls": run.result.predictor_calls,
                "seconds": seconds,
                **_holds(task, run, predictor, args),
            }
        )
    return {**asdict(task), "exist": len(exist), "runs": runs}


def _holds(
    task: Task, run: DesignRun, predictor: Predictor, args: argparse.Namespace
) -> dict[str, float]:
    """Share of a sample of the distinct successes that survives relaxation; empty if not asked."""
    sample = run.successes
    random.Random(f"{task.name} {run.result.config.seed}").shuffle(sample)
    sample = sample[: args.holds]
    if not sample:
        return {}
    template = run.result.config.resolved_template(predictor.elements)
    relaxing = (load_potential(CHGNET), args.out.with_suffix(".relaxed.jsonl"))
    share = share_that_holds(sample, task.targets, predictor, template=template, relaxing=relaxing)
    return {"holds": share, "holds_of": len(sample)}


def main() -> None:
    """Enumerate once, run the tasks and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--predictor", default=None)
    parser.add_argument("--elements", default=None, help="a smaller space, for a quick try")
    parser.add_argument("--tasks", type=int, nargs="+", default=range(len(TASKS)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--holds", type=int, default=0, help="designs of a run to relax by CHGNet")
    args = parser.parse_args()
    predictor = load_predictor(args.predictor)
    names = dict.fromkeys(target.property for task in TASKS for target in asked(task))
    known = [name for name in names if name in predictor.properties]
    every, enumeration = enumerate_all(known, predictor, args)
    settings = {"elements": args.elements, "n": args.n, "steps": args.steps}
    report: dict[str, object] = {**settings, "enumeration": enumeration}
    rows: list[dict[str, object]] = []
    for task in (TASKS[k] for k in args.tasks):
        lacking = [t.property for t in asked(task) if t.property not in known]
        if lacking:
            rows.append({**asdict(task), "left_out": f"no {', '.join(lacking)} in the predictor"})
        else:
            rows.append(measure(task, every, predictor, args))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
        text = json.dumps(report | {"tasks": rows}, indent=1, ensure_ascii=False)
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
