r"""The tables of arXiv:2410.08562, rerun side by side with rivals on one predictor.

    python -m benchmarks.paper --data ../shared/data          # everything; hours
    python -m benchmarks.paper perovskite-2.5 --methods default ga --seeds 1
    python -m benchmarks.paper --quick                        # minutes

Each run (problem, method, seed) becomes one small JSON file in the folder of results; what is
there already is not done again, so an interrupted benchmark goes on where it was. `--holds` relaxes
a sample of all designs by CHGNet. Then `python -m benchmarks.paper.document` writes
docs/benchmarks.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper.holds import add_holds
from benchmarks.paper.methods import METHODS, Task
from benchmarks.paper.records import Store, fingerprint, run
from benchmarks.paper.specification import ROWS, Problem, Row
from smoacs.predictors import load_predictor

RESULTS = Path("benchmarks/results/paper")
QUICK_RESULTS = Path("runs/benchmark-quick")
QUICK_PROBLEMS = ("perovskite-0.5", "perovskite-2.5", "hull-4.0")
QUICK_METHODS = ("default", "at-rest", "paper", "random", "tpe", "cma", "ga")
QUICK_SIZE = {"n": 16, "steps": 40, "seeds": 1}


def problems() -> dict[str, Problem]:
    """All problems by name, in the order of the tables."""
    return {row.problem.name: row.problem for row in ROWS}


def rows_of(problem: Problem) -> list[Row]:
    """The rows that a problem's runs answer."""
    return [row for row in ROWS if row.problem == problem]


def tasks(args: argparse.Namespace) -> list[tuple[Task, Sequence[Row]]]:
    """What to run: all methods of a problem with one seed, then the next seed."""
    known = problems()
    return [
        (
            Task(
                problem=known[name],
                method=method,
                seed=seed,
                n=args.n or known[name].n,
                steps=args.steps or known[name].steps,
                data=args.data,
                limit_s=args.limit_s,
            ),
            rows_of(known[name]),
        )
        for seed in range(args.seeds)
        for name in args.problems
        for method in args.methods
        if not (method == "exhaustive" and seed > 0)  # nothing in it is random
    ]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("problems", nargs="*", help=f"of {', '.join(problems())}; all if left out")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD")
    parser.add_argument("--seeds", type=int, help="how many, from 0; 3 if left out")
    parser.add_argument("--n", type=int, help="candidates; the paper's number if left out")
    parser.add_argument("--steps", type=int, help="predictor calls per candidate; likewise")
    parser.add_argument("--data", type=Path, help="folder of the tables of seed crystals")
    parser.add_argument("--limit-s", type=float, help="most seconds of one rival's run")
    parser.add_argument("--predictor", help="a name or weights file; the built-in one if left out")
    parser.add_argument("--out", type=Path, help=f"folder of results; {RESULTS} if left out")
    parser.add_argument("--holds", action="store_true", help="relax samples by CHGNet; no new runs")
    parser.add_argument("--quick", action="store_true", help="few rows, few candidates, one seed")
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.problems) - set(problems()))
    if unknown:
        parser.error(f"no problem {unknown[0]!r}; there are {', '.join(problems())}")
    quick = args.quick
    args.problems = args.problems or list(QUICK_PROBLEMS if quick else problems())
    args.methods = args.methods or list(QUICK_METHODS if quick else METHODS)
    args.seeds = args.seeds or (QUICK_SIZE["seeds"] if quick else 3)
    if quick:
        args.n, args.steps = args.n or QUICK_SIZE["n"], args.steps or QUICK_SIZE["steps"]
    args.out = args.out or (QUICK_RESULTS if quick else RESULTS)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or check what is there."""
    args = parsed(arguments)
    predictor = load_predictor(args.predictor, device="cpu")
    store = Store(args.out, fingerprint(predictor))
    wanted = tasks(args)
    if args.holds:
        add_holds(store, wanted, predictor)
        return
    for number, (task, rows) in enumerate(wanted, start=1):
        record = store.load(task)
        if record is None or "not_run" in record:
            record = run(task, rows, predictor)
            store.save(task, record)
        shown = {key: record[key] for key in ("calls", "seconds", "not_run") if key in record}
        for key, verdict in record.get("rows", {}).items():
            shown[key] = f"{verdict['success']:.2f} success, {verdict['unique']:.2f} distinct"
        label = f"{number}/{len(wanted)} {task.problem.name} {task.method} seed {task.seed}"
        print(label, json.dumps(shown, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
