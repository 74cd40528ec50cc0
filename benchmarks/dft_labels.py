"""How far predicted band gaps are from the project's own DFT labels, by part of the data.

    git show 910f13c:src/smoacs/predictors/weights/mp2018.safetensors > before.safetensors
    python benchmarks/dft_labels.py mp2018 before.safetensors --seen 1002 --out dft_labels.json

The weights in the package were trained on the train part of the first 1,002 labels (`--seen`).
Later ones they have never seen, whatever their part; these are counted as `later`, or as `designed`
where a search of ours returned the crystal. Of these, formulas of that train part are left out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from smoacs.judging import evaluate_structures
from smoacs.predictors import load_predictor
from smoacs.training.displaced.crystals import row_structure

LABELS = Path("data/dft_perovskites/dft_perovskites.parquet")

DESIGNED = "designed"

METAL = 0.05
"""eV; below it a crystal counts as a metal."""


def main() -> None:
    """Predict, compare, write."""
    parser = argparse.ArgumentParser(description="Errors of band gaps on DFT labels.")
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--seen", type=int, required=True, help="first labels, known to a training")
    parser.add_argument("predictors", nargs="+", help="names or weights files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    table = pd.read_parquet(args.labels)
    table["part"] = parts(table, args.seen)
    table = table[table["part"] != "known formula"].copy()
    structures = [row_structure(row) for row in table.itertuples()]
    report = {}
    for name in args.predictors:
        predictor = load_predictor(name, device="cpu")
        predicted = np.asarray(evaluate_structures(structures, predictor)["band_gap"])
        table["error"] = predicted - table["band_gap"]
        table["agrees"] = (predicted > METAL) == (table["band_gap"] > METAL)
        report[Path(name).stem] = {str(p): _errors(rows) for p, rows in table.groupby("part")}
    text = json.dumps(report, indent=1)
    args.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def parts(table: pd.DataFrame, seen: int) -> pd.Series:
    """What each label is to weights that were trained on the train part of the first ones."""
    first = pd.Series(np.arange(len(table)) < seen, index=table.index)
    trained = set(table.loc[first & (table["split"] == "train"), "formula"])
    late = pd.Series("later", index=table.index)
    late = late.where(table["kind"] != DESIGNED, DESIGNED)
    late = late.where(~table["formula"].isin(trained), "known formula")
    return table["split"].where(first, late)


def _errors(rows: pd.DataFrame) -> dict[str, float]:
    """Of some labels; `gapped` are those that are no metals."""
    gapped = rows[rows["band_gap"] > METAL]
    return {
        "n": len(rows),
        "mae": round(float(rows["error"].abs().mean()), 4),
        "bias": round(float(rows["error"].mean()), 4),
        "mae_gapped": round(float(gapped["error"].abs().mean()), 4),
        "within_half_an_eV": round(float((rows["error"].abs() < 0.5).mean()), 4),
        "metal_or_not": round(float(rows["agrees"].mean()), 4),
    }


if __name__ == "__main__":
    main()
