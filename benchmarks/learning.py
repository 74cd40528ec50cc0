"""Does learning from first principles pay? Three rounds on a structure type that no label was of.

Delafossites ABX2 with a gap of 1.5 ± 0.2 eV; the DFT labels that the built-in predictors were
trained on are of perovskites only. Without open f shells, whose calculations take long.

    python -m benchmarks.learning --data megnet_mp2018.parquet --workers 2 --out learning.json

Needs the extras `dft` and `train`. The learning stays in --run; the same command goes on with it.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Final

import pandas as pd
from pymatgen.core import Element

import smoacs
from benchmarks.paper.records import fingerprint
from smoacs.chemistry import ELEMENTS
from smoacs.predictors import load_predictor

OPEN_F: Final = [e for e in ELEMENTS if Element(e).is_lanthanoid and e not in {"La", "Lu"}]

SETTINGS: Final = smoacs.DesignConfig(
    template="delafossite",
    targets=["band_gap = 1.5 ± 0.2", "formation_energy < -0.5"],
    forbidden=OPEN_F,
    n=128,
    rest="symmetry",
)

COLUMNS: Final = ("formula", "chosen_for", "band_gap", "dft_band_gap", "dft_pressure", "confirmed")


def main() -> None:
    """Learn, and write the numbers of each round."""
    parser = argparse.ArgumentParser(description="Learn by first principles, in numbers.")
    parser.add_argument("--data", type=Path, help="data that the built-in weights were trained on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, default=24)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--run", type=Path, default=Path("runs/learning"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    learned = smoacs.learn(
        SETTINGS,
        args.run,
        rounds=args.rounds,
        per_round=args.per_round,
        patience=args.rounds,
        data=args.data,
        workers=args.workers,
        progress=lambda event: print(event, flush=True),
    )
    designs = [
        pd.read_csv(args.run / f"round_{k}" / "designs.csv")[list(COLUMNS)].round(3)
        for k in range(len(learned.rounds))
    ]
    report = {
        "predictor": fingerprint(load_predictor()),
        "template": "delafossite",
        "targets": list(SETTINGS.targets),
        "stopped": learned.stopped,
        "rounds": json.loads(learned.rounds.round(4).to_json(orient="records")),
        "designs": [json.loads(table.to_json(orient="records")) for table in designs],
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(learned.rounds.T)


if __name__ == "__main__":
    main()
