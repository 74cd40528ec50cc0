"""Fit the element energies that turn CHGNet's total energies into formation energies.

One energy per element, by least squares (`smoacs.training.off_equilibrium.reference_energies`), to
CHGNet 0.3.0 single points of relaxed training crystals less their formation energies. Takes a
quarter of an hour on one core; needs the extra `chgnet`.

    python scripts/fit_chgnet_references.py megnet_mp2018.parquet
"""

import argparse
import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from smoacs.chemistry import ELEMENTS
from smoacs.training.off_equilibrium import (
    chgnet_energies,
    composition_matrix,
    reference_energies,
    row_structure,
)

log = logging.getLogger(__name__)

OUT = Path(__file__).parents[1] / "src" / "smoacs" / "predictors" / "chgnet_references.json"


def main() -> None:
    """Fit on the training crystals, report errors on the validation crystals, write the table."""
    parser = argparse.ArgumentParser(description="Fit CHGNet's element energies.")
    parser.add_argument("data", type=Path, help="relaxed crystals, Parquet in the training layout")
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore")
    rows = pd.read_parquet(args.data)
    rows = rows[(rows["n_atoms"] <= args.max_atoms) & (rows["split"] != "test")]
    rows = rows.sort_values("n_atoms", kind="stable")
    structures = [row_structure(row) for row in rows.itertuples()]
    x = composition_matrix(structures)
    total = chgnet_energies(structures)
    formation = rows["formation_energy_per_atom"].to_numpy(dtype=float)
    train = (rows["split"] == "train").to_numpy()
    mu = reference_energies(x[train], (total - formation)[train])
    known = np.flatnonzero((x[train] > 0).any(axis=0))
    valid = ~train & (np.delete(x, known, axis=1) == 0).all(axis=1)
    error = np.abs(total - x @ mu - formation)[valid]
    table = {
        "about": "Element energies (eV/atom) for CHGNet 0.3.0, on the scale of the formation "
        "energies of the Materials Project of June 2018 (MEGNet dataset); fitted by "
        "scripts/fit_chgnet_references.py",
        "chgnet": version("chgnet"),
        "data": args.data.name,
        "max_atoms": args.max_atoms,
        "n_train": int(train.sum()),
        "n_val": int(valid.sum()),
        "val_mae": round(float(error.mean()), 4),
        "val_median": round(float(np.median(error)), 4),
        "n_crystals": {ELEMENTS[e]: int((x[train, e] > 0).sum()) for e in known},
        "energies": {ELEMENTS[e]: round(float(mu[e]), 5) for e in known},
    }
    args.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    log.info("validation: MAE %.4f, median %.4f eV/atom", error.mean(), np.median(error))


if __name__ == "__main__":
    main()
