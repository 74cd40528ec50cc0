"""Do designs at rest hold? Relaxation by CHGNet and PBE by GPAW, neither of which took part.

    python benchmarks/confirm_designs.py --gap 2.5 --out benchmarks/results/confirm_2.5.json

Needs the extras `chgnet` and `dft`. Labels are kept in --cache, so that a second run is quick.
"""

import argparse
import json
import random
import warnings
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

import smoacs
from smoacs.dft import DftSettings, label
from smoacs.predictors import Predictor, load_predictor

WINDOW = 0.2
MAX_STRAIN = 0.05
MAX_GAP_ERROR = 0.5
MAX_PRESSURE = 5.0


def relaxed(structures: list[Structure]) -> list[Structure]:
    """Cells and positions relaxed by CHGNet 0.3.0, without symmetry."""
    from chgnet.model import StructOptimizer  # noqa: PLC0415  (an extra)

    optimizer = StructOptimizer(use_device="cpu")
    return [
        optimizer.relax(s, fmax=0.05, steps=300, verbose=False)["final_structure"]
        for s in structures
    ]


def gaps(structures: list[Structure], predictor: Predictor) -> list[float]:
    """Predicted band gaps, eV."""
    crystals = smoacs.Crystals.from_structures(structures)
    return [float(gap) for gap in smoacs.evaluate(predictor, crystals)["band_gap"]]


def main() -> None:
    """Design, draw, relax, label, write."""
    parser = argparse.ArgumentParser(description="Check designs at rest.")
    parser.add_argument("--gap", type=float, default=2.5)
    parser.add_argument("--draw", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("runs/confirm_labels.jsonl"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    predictor = load_predictor(device="cpu")
    run = smoacs.design(
        targets=[
            f"band_gap = {args.gap} ± {WINDOW}",
            "formation_energy < -0.5",
            "0.8 <= tolerance_factor <= 1.0",
        ],
        seed=args.seed,
        at_rest=True,
        predictor=predictor,
    )
    designs = run.successes
    random.Random(args.seed).shuffle(designs)
    designs = designs[: args.draw]
    args.cache.parent.mkdir(parents=True, exist_ok=True)
    labels = label(designs, DftSettings(), cache=args.cache, workers=args.workers)
    plain = [s.copy().remove_oxidation_states() for s in designs]
    after = relaxed(plain)
    rows = []
    for design, end, gap, gap_after, dft in zip(
        designs, after, gaps(plain, predictor), gaps(after, predictor), labels, strict=True
    ):
        moved = float(np.max(np.abs(np.array(end.lattice.abc) / design.lattice.abc - 1)))
        truth = dft.results
        rows.append(
            {
                "formula": design.composition.reduced_formula,
                "predicted_gap": round(gap, 3),
                "lattice_moved": round(moved, 4),
                "gap_after_chgnet": round(gap_after, 3),
                "holds": moved <= MAX_STRAIN and abs(gap_after - args.gap) <= 2 * WINDOW,
                "dft_band_gap": None if truth is None else round(truth.band_gap, 3),
                "dft_pressure": None if truth is None else round(truth.pressure, 2),
                "confirmed": truth is not None and abs(truth.band_gap - args.gap) <= MAX_GAP_ERROR,
                "dft_at_rest": truth is not None and abs(truth.pressure) < MAX_PRESSURE,
            }
        )
    report = {
        "gap": args.gap,
        "seed": args.seed,
        "success": float(run.table["success"].mean()),
        "distinct": int(run.table["unique"].sum()),
        "drawn": len(rows),
        **{k: sum(r[k] for r in rows) for k in ("holds", "confirmed", "dft_at_rest")},
        "designs": rows,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "designs"}))


if __name__ == "__main__":
    main()
