"""What each part of the default optimiser is worth, on the 2.5 eV perovskite task.

    python benchmarks/ablation.py --out benchmarks/results/ablation.json

Two seeds of 48 candidates take two minutes on one core; 256 take ten. At the end it
prints the table of docs/optimiser.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from smoacs.judging import judge
from smoacs.predictors import Predictor, load_predictor
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.settings import DEFAULT, PAPER, DiscreteSettings, OptimiserSettings

NEVER = 10**6


def variants(discrete: DiscreteSettings) -> dict[str, OptimiserSettings]:
    """Presets with one part left out or changed, by what the documentation calls them."""
    anneal = DEFAULT.anneal
    even = replace(anneal, score_noise=0.0, combination_noise=0.0)
    return {
        "default": DEFAULT,
        "annealing only, all 200 steps": replace(DEFAULT, discrete=None),
        "no swaps, geometry polished only": replace(
            DEFAULT, discrete=replace(discrete, polish_steps=NEVER)
        ),
        "failing candidates never become copies of a success": replace(
            DEFAULT, discrete=replace(discrete, patience=NEVER)
        ),
        "uniform starting scores": replace(DEFAULT, anneal=even),
        "swaps drawn at random instead of by the gradient": replace(
            DEFAULT, discrete=replace(discrete, swap_temperature=float(NEVER))
        ),
        "targets pull to their bounds only, not halfway in": replace(
            DEFAULT, anneal=replace(anneal, inner=0.0), discrete=replace(discrete, inner=0.0)
        ),
        "preset `paper`": PAPER,
    }


def measure(
    name: str, settings: OptimiserSettings, predictor: Predictor, *, n: int, seed: int
) -> dict[str, object]:
    """A run by some settings, judged."""
    config = DesignConfig(
        targets=(
            "band_gap = 2.5 ± 0.2",
            "formation_energy < -0.5",
            "0.8 <= tolerance_factor <= 1.0",
        ),
        n=n,
        seed=seed,
        rest="none",
        search="gradient",
        device="cpu",
    )
    result = run_search(config, predictor=predictor, settings=settings)
    targets = config.wanted
    table = judge(result.structures, targets, predictor=predictor, template=result.template)
    return {
        "variant": name,
        "n": n,
        "seed": seed,
        "success": round(float(table["success"].mean()), 4),
        "distinct": round(float(table["unique"].mean()), 4),
        "predictor_calls": result.predictor_calls,
    }


def as_table(rows: Sequence[Mapping[str, object]]) -> str:
    """The table of the documentation: a line for each variant, its seeds side by side."""
    lines = ["| variant | success | distinct | predictor calls |", "| --- | --- | --- | --- |"]
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        rates = [", ".join(f"{row[key]:.2f}" for row in own) for key in ("success", "distinct")]
        calls = sum(int(str(row["predictor_calls"])) for row in own) / len(own)
        lines.append(f"| {name} | {rates[0]} | {rates[1]} | {calls:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run every variant and write what came out."""
    parser = argparse.ArgumentParser(description="Ablation of the default optimiser.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("-n", type=int, default=48, help="candidates of each run")
    args = parser.parse_args()
    if DEFAULT.discrete is None:
        parser.error("the default preset has no discrete stage")
    predictor = load_predictor(device="cpu")
    rows = []
    for name, settings in variants(DEFAULT.discrete).items():
        for seed in range(args.seeds):
            rows.append(measure(name, settings, predictor, n=args.n, seed=seed))
            print(json.dumps(rows[-1]), flush=True)
            args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(as_table(rows))


if __name__ == "__main__":
    main()
