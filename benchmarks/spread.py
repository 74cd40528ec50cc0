r"""Does the spread of a prediction say how far it is off?

    python benchmarks/spread.py megnet_mp2018.parquet mp_elasticity.parquet \
        --out benchmarks/results/spread.json

On the test splits: rank correlation of the standard deviation with the absolute error, and how many
labels lie within mean ± 1.645 standard deviations (90 % of a normal distribution).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from held_out import labelled
from scipy.stats import spearmanr

from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import SPREAD_SUFFIX, NetworkPredictor, Predictor, load_predictor
from smoacs.training.data import build_dataset
from smoacs.training.layout import LABEL_COLUMNS
from smoacs.training.spread.widths import coverage, measure_spread

INTERVAL = 1.645

LEAST = 100
"""Test crystals of a kind that is reported."""


def measure(
    predictor: Predictor, paths: Sequence[Path], most: int | None = None
) -> dict[str, dict[str, float]]:
    """Correlation and coverage of each property that has a spread and labels."""
    report = {}
    for name in predictor.properties:
        if name + SPREAD_SUFFIX not in predictor.properties:
            continue
        structures, labels = labelled(paths, name, most=most)
        if not structures:
            continue
        values = evaluate(predictor, Crystals.from_structures(structures))
        report[name] = summary(values[name], values[name + SPREAD_SUFFIX], labels)
    return report


def by_kind(
    network: NetworkPredictor, paths: Sequence[Path], most: int | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Coverage by kinds of chemistry with the spread as it is, and not widened for them."""
    net = network.network
    columns = {"numbers", "frac_coords", "lattice", *net.properties, *LABEL_COLUMNS.values()}
    tables = []
    for path in paths:
        table = pd.read_parquet(path)
        table = table[table["split"] == "test"][:most]
        tables.append(table[[name for name in table.columns if name in columns]])
    data = build_dataset(pd.concat(tables, ignore_index=True), net.properties, network.cutoff)
    widening, found = net.widening, {}
    for name, used in (("coverage", widening), ("coverage_before", None)):
        net.widening = used
        report = coverage(net, measure_spread(net, data))
        found[name] = {
            prop: {kind: share for kind, (n, share) in row.items() if n >= LEAST}
            for prop, row in report.items()
        }
    net.widening = widening
    return found


def summary(values: np.ndarray, std: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Correlation and coverage."""
    error = np.abs(values - labels)
    off = error > 0  # a metal's gap of 0 is hit exactly
    return {
        "n": len(labels),
        "spearman": float(spearmanr(std, error).statistic),
        "covered_by_90_percent": float((error <= INTERVAL * std).mean()),
        "covered_where_not_exact": float((error <= INTERVAL * std)[off].mean()),
        "median_std": float(np.median(std)),
        "median_error": float(np.median(error)),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Calibration of the spread on the test split.")
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--predictor", default=None, help="weights; the built-in ones if left out")
    parser.add_argument("-n", type=int, default=None, help="crystals of each property at most")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = measure(load_predictor(args.predictor, device="cpu"), args.data, args.n)
    text = json.dumps(
        {name: {k: round(v, 4) for k, v in row.items()} for name, row in report.items()}, indent=1
    )
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
