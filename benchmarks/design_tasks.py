"""Success of whole design runs on the perovskite tasks of arXiv:2410.08562, tables 4 and 5.

    python benchmarks/design_tasks.py --out benchmarks/results/design_tasks.json

Every crystal is judged by `smoacs.judge`, which shares no code with the optimiser.
"""

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from smoacs.judging import judge
from smoacs.predictors import load_predictor
from smoacs.search import DesignConfig, run_search


@dataclass(frozen=True)
class Task:
    """One row of the table: the wanted gap, the size, and the best number in the paper."""

    name: str
    gap: float
    repeat: int
    n: int
    paper: float


TASKS = (
    Task("perovskite 2.5 ± 0.2 eV", 2.5, 1, 256, 0.39),
    Task("perovskite 0.5 ± 0.2 eV", 0.5, 1, 256, 0.23),
    Task("3×3×3 perovskite 4.0 ± 0.2 eV", 4.0, 3, 32, 0.42),
    Task("3×3×3 perovskite 5.0 ± 0.2 eV", 5.0, 3, 32, 0.35),
)


def run(task: Task, preset: str, seed: int, steps: int) -> dict[str, object]:
    """One design run, judged."""
    config = DesignConfig(
        template="perovskite",
        repeat=task.repeat,
        targets=(
            f"band_gap = {task.gap} ± 0.2",
            "formation_energy < -0.5",
            "0.8 <= tolerance_factor <= 1.0",
        ),
        n=task.n,
        steps=steps,
        seed=seed,
        preset=preset,
        at_rest=False,
        search="gradient",
    )
    predictor = load_predictor()
    begin = time.perf_counter()
    result = run_search(config, predictor=predictor)
    seconds = time.perf_counter() - begin
    table = judge(
        result.structures, config.parsed_targets(), predictor=predictor, template=result.template
    )
    return {
        **asdict(task),
        "preset": preset,
        "seed": seed,
        "steps": steps,
        "success": round(float(table["success"].mean()), 4),
        "unique": round(float(table["unique"].mean()), 4),
        "neutral": float(table["neutral"].mean()),
        "template_kept": float(table["template_kept"].mean()),
        "predictor_calls": result.predictor_calls,
        "seconds": round(seconds, 1),
        "peak_memory_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Run the tasks and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--presets", nargs="+", default=["default"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--tasks", type=int, nargs="+", default=range(len(TASKS)))
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.out.is_file() else []
    for preset in args.presets:
        for task in (TASKS[k] for k in args.tasks):
            for seed in range(args.seeds):
                rows.append(run(task, preset, seed, args.steps))
                print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
                args.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
