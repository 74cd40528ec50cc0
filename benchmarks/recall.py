"""How much of all that exists one default run finds: recall of distinct at-rest successes.

    python benchmarks/recall.py --out benchmarks/results/recall.json

For each perovskite task every composition is relaxed once (`search = "exhaustive"`), which gives
all distinct formulas that succeed at rest. Then default runs are judged against them: recall is
the number of those formulas that a run of n candidates found, over all of them, or over n where
more exist. Tasks whose properties the predictor lacks are left out, and said to be.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from smoacs.predictors import Predictor, load_predictor
from smoacs.runs import run_design
from smoacs.search import DesignConfig

COMMON = ("formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")
MOST = 1_000_000
"""More than the successes of any task."""


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


def config_of(task: Task, args: argparse.Namespace, **settings: object) -> DesignConfig:
    """Settings of a run of a task, at rest."""
    return DesignConfig.from_mapping(
        {
            "targets": task.targets,
            "forbidden": task.forbidden,
            "elements": args.elements,
            "predictor": args.predictor,
            "at_rest": True,
            "n": args.n,
            "steps": args.steps,
            **settings,
        }
    )


def successes(table: pd.DataFrame) -> set[str]:
    """Distinct formulas that succeed."""
    return set(table.loc[table["success"], "formula"])


def missing(task: Task, predictor: Predictor, args: argparse.Namespace) -> list[str]:
    """Properties of a task that the predictor lacks."""
    wanted = [target.property for target in config_of(task, args).parsed_targets()]
    return [name for name in wanted if name not in predictor.properties]


def measure(task: Task, predictor: Predictor, args: argparse.Namespace) -> dict[str, object]:
    """Enumerate a task once, then run it with each seed."""
    begin = time.perf_counter()
    whole = run_design(config_of(task, args, search="exhaustive", n=MOST), predictor=predictor)
    every = successes(whole.table)
    row: dict[str, object] = {
        **asdict(task),
        "elements": args.elements,
        "n": args.n,
        "steps": args.steps,
        "exhaustive": {
            **whole.result.search,
            "distinct_judged": len(every),
            "predictor_calls": whole.result.predictor_calls,
            "seconds": round(time.perf_counter() - begin, 1),
        },
        "runs": [],
    }
    runs = []
    for seed in range(args.seeds):
        begin = time.perf_counter()
        run = run_design(config_of(task, args, seed=seed), predictor=predictor)
        found = successes(run.table)
        runs.append(
            {
                "seed": seed,
                "success": round(float(run.table["success"].mean()), 4),
                "distinct": len(found),
                "of_those_enumerated": len(found & every),
                "recall": round(len(found & every) / max(1, min(args.n, len(every))), 4),
                "predictor_calls": run.result.predictor_calls,
                "seconds": round(time.perf_counter() - begin, 1),
            }
        )
    return row | {"runs": runs}


def main() -> None:
    """Run the tasks and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--predictor", default=None)
    parser.add_argument("--elements", default=None, help="a smaller space, for a quick try")
    parser.add_argument("--tasks", type=int, nargs="+", default=range(len(TASKS)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    predictor = load_predictor(args.predictor)
    rows = []
    for task in (TASKS[k] for k in args.tasks):
        lacking = missing(task, predictor, args)
        if lacking:
            rows.append({**asdict(task), "left_out": f"no {', '.join(lacking)} in the predictor"})
        else:
            rows.append(measure(task, predictor, args))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
        args.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
