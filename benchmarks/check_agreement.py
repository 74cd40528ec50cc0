"""Batched relaxation by CHGNet against CHGNet's own StructOptimizer: cells and time.

    python benchmarks/check_agreement.py --out benchmarks/results/check_agreement.json

Takes the first distinct successes of a run, or, without one, 20 perovskites designed at rest for a
band gap of 2.5 eV. Needs the extra `chgnet`. Half a minute on one core.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from smoacs.checking import CHGNET, RelaxSettings, load_potential
from smoacs.request import DesignConfig
from smoacs.runs import read_run
from smoacs.search import run_search

TARGETS = ("band_gap = 2.5 ± 0.2", "formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")


def designs_of(path: Path | None, most: int) -> list[Structure]:
    """Crystals of a run, or new ones."""
    if path is None:
        config = DesignConfig(targets=TARGETS, n=most, device="cpu", rest="symmetry")
        found = run_search(config).structures
    else:
        run = read_run(path)
        found = [run.structures[name] for name in run.select(limit=most)["id"]]
    return [structure.copy().remove_oxidation_states() for structure in found]


def main() -> None:
    """Relax both ways, compare, write."""
    parser = argparse.ArgumentParser(description="Compare relaxations by CHGNet.")
    parser.add_argument("run", type=Path, nargs="?", help="a run's folder [designed anew]")
    parser.add_argument("--designs", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    from chgnet.model import StructOptimizer  # noqa: PLC0415  (an extra)

    designs = designs_of(args.run, args.designs)
    potential = load_potential(CHGNET)
    start = time.process_time()
    settings = RelaxSettings(fmax=0.05, max_steps=300, keep_symmetry=False)
    mine = [item for batch in potential.relax(designs, settings) for item in batch]
    batched = time.process_time() - start
    optimizer = StructOptimizer(use_device="cpu")
    start = time.process_time()
    rows = []
    for design, end in zip(designs, mine, strict=True):
        if end.structure is None:
            rows.append({"formula": design.reduced_formula, "refused": end.failure})
            continue
        theirs = optimizer.relax(
            design, fmax=settings.fmax, steps=settings.max_steps, verbose=False
        )
        lengths = np.array(theirs["final_structure"].lattice.abc)
        off = np.abs(np.array(end.structure.lattice.abc) / lengths - 1).max()
        rows.append(
            {
                "formula": design.reduced_formula,
                "steps": end.steps,
                "length_difference": float(off),
                "agrees": bool(off < 0.01),
            }
        )
    alone = time.process_time() - start
    n = max(1, len(rows))
    report = {
        "designs": len(rows),
        "agree": sum(row.get("agrees", False) for row in rows),
        "largest_difference": max((row.get("length_difference", 0.0) for row in rows), default=0.0),
        "cpu_seconds_per_design": {"batched": batched / n, "StructOptimizer": alone / n},
        "rows": rows,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in report.items() if key != "rows"}))


if __name__ == "__main__":
    main()
