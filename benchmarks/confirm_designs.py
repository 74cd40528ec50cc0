"""Do designs at rest hold? Relaxation by CHGNet and PBE by GPAW, neither of which took part.

    python benchmarks/confirm_designs.py --gap 2.5 --seed 100 --out confirm_2.5.json

Needs the extras `chgnet` and `dft`. The run and its checks stay in runs/ for a second call.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import smoacs

MAX_PRESSURE = 5.0
"""GPa in DFT at the designed geometry, for a design to count as at rest there."""

COLUMNS = {
    "formula": "formula",
    "predicted_gap": "band_gap",
    "predicted_std": "band_gap.std",
    "lattice_moved": "length_change",
    "gap_after_chgnet": "relaxed_band_gap",
    "holds": "survives_relaxation",
    "dft_band_gap": "dft_band_gap",
    "dft_pressure": "dft_pressure",
    "confirmed": "confirmed",
}


def main() -> None:
    """Design, draw, relax, label, write."""
    parser = argparse.ArgumentParser(description="Check designs at rest.")
    parser.add_argument("--gap", type=float, default=2.5)
    parser.add_argument("--draw", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--run", type=Path, help="runs/confirm_GAP_SEED if left out")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    folder = args.run or Path("runs") / f"confirm_{args.gap:g}_{args.seed}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        smoacs.design(
            targets=[
                f"band_gap = {args.gap:g} ± 0.2",
                "formation_energy < -0.5",
                "0.8 <= tolerance_factor <= 1.0",
            ],
            seed=args.seed,
            rest="symmetry",
        ).save(folder)
    chgnet: dict[str, Any] = {"potential": "chgnet", "rattled": False, "phonons": False}
    smoacs.check(folder, **chgnet)
    draw = {"sample": args.draw, "seed": args.seed, "workers": args.workers}
    smoacs.check(folder, dft="gpaw", **draw, **chgnet)
    table = pd.read_csv(folder / "results.csv")
    distinct = table[table["unique"]]
    drawn = distinct[distinct["dft_status"].notna()]
    designs = drawn[list(COLUMNS.values())].round(4)
    designs.columns = pd.Index(COLUMNS)
    report = {
        "gap": args.gap,
        "seed": args.seed,
        "success": float(table["success"].mean()),
        "distinct": len(distinct),
        "holds_of_successes": float(table.loc[table["success"], "survives_relaxation"].mean()),
        "holds_of_distinct": float(distinct["survives_relaxation"].mean()),
        "drawn": len(drawn),
        "failed": int((drawn["dft_status"] != "ok").sum()),
        "confirmed": int(drawn["confirmed"].sum()),
        "dft_at_rest": int((drawn["dft_pressure"].abs() < MAX_PRESSURE).sum()),
        "designs": json.loads(designs.to_json(orient="records")),
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in report.items() if k != "designs"}))


if __name__ == "__main__":
    main()
