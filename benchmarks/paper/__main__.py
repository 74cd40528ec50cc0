r"""The tables of arXiv:2410.08562, rerun side by side with rivals on one predictor.

    python -m benchmarks.paper --data ../shared/data          # everything; hours
    python -m benchmarks.paper --data ../shared/data --budget-share 0.25 --seeds 1 --minutes 40
    python -m benchmarks.paper perovskite-2.5 --methods default ga --seeds 1
    python -m benchmarks.paper --quick                        # minutes

Each run (problem, method, seed) becomes one small JSON file in the folder of results; what is
there already is not done again, so an interrupted benchmark goes on where it was. What matters most
comes first: ours, the published settings and the strongest rivals on every row, then the others.
`--minutes` begins no run that would not end in time. `--budget-share` gives every method fewer
candidates, with all their steps; the tables keep shares apart. `--holds` relaxes a sample of all
designs by CHGNet. Then `python -m benchmarks.paper.document` writes docs/benchmarks.md.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper.holds import add_holds
from benchmarks.paper.methods import METHODS, Task
from benchmarks.paper.plan import Clock, candidates, ordered, problems
from benchmarks.paper.records import SAMPLE, Record, Store, fingerprint, run
from benchmarks.paper.specification import ROWS, Problem, Row
from benchmarks.paper.summary import read_records
from smoacs.predictors import load_predictor

RESULTS = Path("benchmarks/results/paper")
QUICK_RESULTS = Path("runs/benchmark-quick")
QUICK_PROBLEMS = ("perovskite-0.5", "perovskite-2.5", "hull-4.0")
QUICK_METHODS = ("default", "no-rest", "paper", "ga", "cma", "random", "random-rest", "tpe")
QUICK_SIZE = {"n": 16, "steps": 40, "seeds": 1}


def rows_of(problem: Problem) -> list[Row]:
    """The rows that a problem's runs answer."""
    return [row for row in ROWS if row.problem == problem]


def tasks(args: argparse.Namespace) -> list[tuple[Task, Sequence[Row]]]:
    """What to run, what matters most first."""
    known = problems()
    return [
        (
            Task(
                problem=known[name],
                method=method,
                seed=seed,
                n=args.n or candidates(known[name], args.budget_share),
                steps=args.steps or known[name].steps,
                data=args.data,
                limit_s=args.limit_s,
            ),
            rows_of(known[name]),
        )
        for name, method, seed in ordered(args.problems, args.methods, args.seeds)
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
    parser.add_argument("--budget-share", type=float, default=1.0, help="of the paper's calls")
    parser.add_argument("--minutes", type=float, help="begin nothing that would end later")
    parser.add_argument("--data", type=Path, help="folder of the tables of crystals")
    parser.add_argument("--limit-s", type=float, help="most seconds of one rival's run")
    parser.add_argument("--predictor", help="a name or weights file; the built-in one if left out")
    parser.add_argument("--out", type=Path, help=f"folder of results; {RESULTS} if left out")
    parser.add_argument("--holds", action="store_true", help="relax samples by CHGNet; no new runs")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="designs of a run to relax")
    parser.add_argument("--quick", action="store_true", help="few rows, few candidates, one seed")
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.problems) - set(problems()))
    if unknown:
        parser.error(f"no problem {unknown[0]!r}; there are {', '.join(problems())}")
    if not 0 < args.budget_share <= 1:
        parser.error(f"--budget-share must be above 0 and at most 1, not {args.budget_share:g}")
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
    clock = Clock(args.minutes)
    predictor = load_predictor(args.predictor, device="cpu")
    store = Store(args.out, fingerprint(predictor))
    wanted = tasks(args)
    if args.holds:
        add_holds(store, wanted, predictor, most=args.sample, deadline=clock.deadline)
        return
    failed: list[str] = []
    clock.records += [r for r in read_records(args.out) if r["predictor"] == store.predictor]
    for number, (task, rows) in enumerate(wanted, start=1):
        record = store.load(task)
        label = f"{number}/{len(wanted)} {task.problem.name} {task.method} seed {task.seed}"
        if record is None or "not_run" in record:
            if not clock.fits(task):
                print(label, "left for later", flush=True)
                continue
            try:
                record = run(task, rows, predictor)
            except Exception:  # noqa: BLE001 - hours of other runs do not end with one
                print(label, "failed:", traceback.format_exc(), file=sys.stderr, flush=True)
                failed.append(label)
                continue
            store.save(task, record)
            clock.records.append(record)
        print(label, json.dumps(_shown(record), ensure_ascii=False), flush=True)
    if failed:
        sys.exit(f"{len(failed)} of {len(wanted)} runs failed: {'; '.join(failed)}")


def _shown(record: Record) -> dict[str, object]:
    """What a line tells of a run."""
    shown: dict[str, object] = {
        key: record[key] for key in ("calls", "seconds", "not_run") if key in record
    }
    for words, name in (("", "rows"), (" at rest", "rows_at_rest")):
        for key, verdict in record.get(name, {}).items():
            text = f"{verdict['success']:.2f} success{words}, {verdict['unique']:.2f} distinct"
            shown[f"{key}{words}"] = text
    return shown


if __name__ == "__main__":
    main()
