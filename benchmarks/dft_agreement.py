"""GPAW against a known value: band gap and lattice length of cubic SrTiO3 in PBE.

    python benchmarks/dft_agreement.py --out benchmarks/results/dft_agreement.json

Three calculations, about half a minute on one core (extra `dft`). Rest is where a parabola through
the three pressures is zero. The known values are PBE's: 3.945 Å and, there, an indirect gap of
1.82 eV (R to Γ). The agreement with fifty crystals of the Materials Project is
results/dft_known_perovskites.csv, from `scripts/make_dft_dataset.py`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from pymatgen.core import Lattice, Structure

from smoacs.dft import DftError, label

LENGTH: Final = 3.945
"""Å, of PBE at rest."""

GAP: Final = 1.82
"""eV, of PBE there; indirect."""

STEP: Final = 0.01
"""Relative change of the length."""

SITES: Final = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def main() -> None:
    """Calculate and write."""
    parser = argparse.ArgumentParser(description="GPAW against known values of SrTiO3.")
    parser.add_argument("--cache", type=Path, help="file that keeps the labels")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = strontium_titanate(args.cache or Path(folder) / "labels.jsonl", args.workers)
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def strontium_titanate(cache: Path, workers: int = 1) -> dict[str, Any]:
    """Gap and length at rest beside the known ones.

    Args:
        cache: File that keeps the labels.
        workers: Calculations at a time.

    Raises:
        DftError: A calculation failed.
    """
    lengths = LENGTH * (1.0 + STEP * np.array([-1.0, 0.0, 1.0]))
    species = ["Sr", "Ti", "O", "O", "O"]
    crystals = [Structure(Lattice.cubic(a), species, SITES) for a in lengths]
    found = []
    for item in label(crystals, cache=cache, workers=workers):
        if item.results is None:
            raise DftError(f"SrTiO3: {item.failure}")
        found.append(item.results)
    pressures = [float(values.pressure or 0.0) for values in found]
    roots = np.roots(np.polyfit(lengths / LENGTH - 1.0, pressures, 2))
    rest = LENGTH * (1.0 + float(roots[np.abs(roots).argmin()].real))
    middle = found[1]
    return {
        "crystal": "SrTiO3",
        "engine": middle.engine,
        "functional": "PBE",
        "cutoff": middle.cutoff,
        "kpoints": list(middle.kpoints),
        "length": LENGTH,
        "band_gap": middle.band_gap,
        "band_gap_direct": middle.band_gap_direct,
        "known_band_gap": GAP,
        "lengths": lengths.round(5).tolist(),
        "pressures": pressures,
        "length_at_rest": round(rest, 4),
        "known_length_at_rest": LENGTH,
        "length_error": round(rest / LENGTH - 1.0, 5),
    }


if __name__ == "__main__":
    main()
