"""Cost of an optimisation step beside the bare predictor, measured in one run.

    python benchmarks/step_cost.py

"Bare" is one forward and backward of the network on the whole batch with torch's own threads and a
ready neighbour list; "step" is everything that the optimiser does for one step.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import torch

from smoacs.crystals import Candidates, DesignSpace, neighbor_list
from smoacs.evaluation import Evaluator
from smoacs.predictors import load_predictor
from smoacs.request import DesignConfig
from smoacs.search.gradient.anneal import anneal
from smoacs.search.gradient.objective import Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import DEFAULT
from smoacs.targets import Targets

TARGETS = ("band_gap = 2.5 ± 0.2", "formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    predictor = load_predictor()
    config = DesignConfig(targets=TARGETS, n=args.n, repeat=args.repeat, rest="symmetry")
    generator = torch.Generator().manual_seed(0)
    space = DesignSpace.from_templates([config.resolved_template()] * args.n)
    candidates = Candidates.start(space, generator, score_noise=0.5, combination_noise=0.5)
    targets = Targets.of(TARGETS)

    def bare() -> None:
        crystals = candidates.soft(1.0)
        neighbors = neighbor_list(crystals, predictor.cutoff)
        begin = time.perf_counter()
        out = predictor(crystals, neighbors)
        (out["band_gap"] + out["formation_energy"]).sum().backward()
        seconds["bare"].append(time.perf_counter() - begin)

    def step() -> None:
        anneal(
            candidates,
            objective,
            DEFAULT.anneal,
            copy_mutate=None,
            steps=1,
            generator=generator,
            recorder=Recorder(1),
        )

    seconds: dict[str, list[float]] = {"bare": [], "step": []}
    with Evaluator(predictor, targets.properties) as evaluator:
        objective = Objective(evaluator, targets)
        for _ in range(args.rounds):
            torch.set_num_threads(2)
            bare()
            torch.set_num_threads(1)
            seconds["step"].append(timed(step))
    ratios = [s / b for s, b in zip(seconds["step"], seconds["bare"], strict=True)]
    report = {
        "candidates": args.n,
        "atoms_each": int(space.system_idx.shape[0] // args.n),
        "bare_s": round(statistics.median(seconds["bare"]), 4),
        "step_s": round(statistics.median(seconds["step"]), 4),
        "step_over_bare": round(statistics.median(ratios), 3),
        "peak_memory_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
