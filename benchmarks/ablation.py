"""What each part of the default optimiser is worth, on the 2.5 eV perovskite task.

python benchmarks/ablation.py --out benchmarks/results/ablation.json
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from smoacs.judging import judge
from smoacs.predictors import load_predictor
from smoacs.search import DesignConfig, run_search
from smoacs.search.settings import DEFAULT, PRESETS, FinishSettings, OptimiserSettings

NEVER = 10**6


def variants(finish: FinishSettings) -> dict[str, OptimiserSettings]:
    """Presets with one part left out or changed."""
    anneal = DEFAULT.anneal
    even = replace(anneal, score_noise=0.0, combination_noise=0.0)
    return {
        "default": DEFAULT,
        "annealing only, all steps": replace(DEFAULT, finish=None),
        "no swaps, polishing only": replace(DEFAULT, finish=replace(finish, polish_steps=NEVER)),
        "no copies of successes": replace(DEFAULT, finish=replace(finish, patience=NEVER)),
        "uniform starting scores": replace(DEFAULT, anneal=even),
        "swaps drawn at random": replace(
            DEFAULT, finish=replace(finish, swap_temperature=float(NEVER))
        ),
        "targets pull to their bounds only": replace(
            DEFAULT, anneal=replace(anneal, inner=0.0), finish=replace(finish, inner=0.0)
        ),
    }


def main() -> None:
    """Run every variant and write what came out."""
    parser = argparse.ArgumentParser(description="Ablation of the default optimiser.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    if DEFAULT.finish is None:
        parser.error("the default preset has no finishing stage")
    predictor = load_predictor(device="cpu")
    rows = []
    for name, settings in variants(DEFAULT.finish).items():
        PRESETS["default"] = settings
        for seed in range(args.seeds):
            config = DesignConfig(
                targets=(
                    "band_gap = 2.5 ± 0.2",
                    "formation_energy < -0.5",
                    "0.8 <= tolerance_factor <= 1.0",
                ),
                seed=seed,
                at_rest=False,
                search="gradient",
            )
            result = run_search(config, predictor=predictor)
            targets = config.parsed_targets()
            table = judge(result.structures, targets, predictor=predictor, template=result.template)
            rows.append(
                {
                    "variant": name,
                    "seed": seed,
                    "success": round(float(table["success"].mean()), 4),
                    "distinct": round(float(table["unique"].mean()), 4),
                    "predictor_calls": result.predictor_calls,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
            args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
