"""Label crystals of a table by a Nequix potential: what a network's own settling passes through.

    python scripts/teacher/label_table.py --teacher nequix-oam-1-pft.nqx \
        --crystals settled.parquet --out settled-labels.parquet

The table has `numbers`, `frac_coords` and `lattice` as in the training layout; all its columns are
kept. Added are `energy_per_atom` (eV, the teacher's scale), `forces` (eV/Å), `stress` (GPa, six
numbers); crystals with unknown elements, atoms too close or huge forces are left out and counted.
With `--relax` each crystal is relaxed freely first, and `energy_before` (eV/atom) and `steps` are
added. Begun again, it goes on after what the file beside `--out` has.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pandas as pd
from distortions import closest
from families import MAX_FORCE, MIN_DISTANCE
from label_rows import frame_row, read_lines
from potential import Potential
from relaxer import Frame, relax

log = logging.getLogger("label_table")

CHUNK = 16


def row_atoms(row: Any) -> ase.Atoms:  # noqa: ANN401 - a pandas namedtuple
    """The crystal of a row."""
    return ase.Atoms(
        np.asarray(row.numbers, dtype=int),
        cell=np.asarray(row.lattice, dtype=float),
        scaled_positions=np.asarray(row.frac_coords, dtype=float).reshape(-1, 3),
        pbc=True,
    )


def labelled(
    potential: Potential, crystals: list[ase.Atoms], *, relaxing: bool
) -> list[dict[str, Any]]:
    """Columns for each crystal; a reason under `failure` where there is no label."""
    out: list[dict[str, Any]] = [{"failure": "unknown elements or atoms too close"}] * len(crystals)
    kept = [
        k
        for k, atoms in enumerate(crystals)
        if potential.supports(atoms.numbers.tolist()) and closest(atoms) > MIN_DISTANCE
    ]
    chosen = [crystals[k] for k in kept]
    if relaxing:
        for k, run in zip(kept, relax(potential, chosen), strict=True):
            if run.failure or not run.frames:
                out[k] = {"failure": run.failure or "broken"}
                continue
            out[k] = frame_row(run.end) | {
                "failure": "",
                "energy_before": run.frames[0].energy,
                "steps": run.steps,
            }
        return out
    for k, atoms, item in zip(kept, chosen, potential(chosen), strict=True):
        frame = Frame(atoms, item)
        good = frame.max_force < MAX_FORCE
        out[k] = {**frame_row(frame), "failure": ""} if good else {"failure": "huge forces"}
    return out


def main() -> None:
    """Label chunk by chunk; write the table at the end."""
    parser = argparse.ArgumentParser(description="Label the crystals of a table.")
    parser.add_argument("--teacher", type=Path, required=True, help="the potential's .nqx file")
    parser.add_argument("--crystals", type=Path, required=True, help="Parquet, training layout")
    parser.add_argument("--out", type=Path, required=True, help="Parquet")
    parser.add_argument("--relax", action="store_true", help="relax freely before")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    rows = pd.read_parquet(args.crystals)
    kept = args.out.with_suffix(".jsonl")
    done = len(read_lines(kept))
    potential = Potential(args.teacher)
    for start in range(done, len(rows), CHUNK):
        crystals = [row_atoms(row) for row in rows.iloc[start : start + CHUNK].itertuples()]
        found = labelled(potential, crystals, relaxing=args.relax)
        with kept.open("a") as file:
            file.writelines(f"{json.dumps(item)}\n" for item in found)
        log.info("%d of %d", start + len(crystals), len(rows))
    labels = pd.DataFrame(read_lines(kept))
    good = (labels["failure"] == "").to_numpy()
    labels = labels[good].drop(columns="failure").rename(columns={"energy": "energy_per_atom"})
    table = rows[good].reset_index(drop=True)
    table = table.drop(columns=[name for name in labels.columns if name in table.columns])
    pd.concat([table, labels.reset_index(drop=True)], axis=1).to_parquet(args.out)
    log.info("%d labelled, %d left out", good.sum(), (~good).sum())


if __name__ == "__main__":
    main()
