"""Crystals away from equilibrium, labelled by CHGNet (extra `train`).

The public training sets hold relaxed crystals only, yet the optimiser starts from lattice lengths
of 2 to 10 Å. This script makes strained and rattled training crystals, element-swapped ones, and
random neutral perovskites at random lattices, and labels them with the energies, forces and
stresses of CHGNet.

Energy scale: CHGNet gives total energies on the Materials Project's 2020 scale. One reference
energy per element, fitted by least squares on relaxed training crystals, turns them into formation
energies on the scale of the training labels. Energies above hull follow from the hull of the
labelled crystals.

    python -m smoacs.training.off_equilibrium megnet_mp2018.parquet --out off_equilibrium.parquet
"""

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import linprog

from smoacs.chemistry import ELEMENTS
from smoacs.predictors import load_predictor
from smoacs.predictors.builtin import formula_hash
from smoacs.training.displaced.crystals import Sample, make_samples, row_structure
from smoacs.training.displaced.potential import Labels, chgnet_energies, chgnet_labels
from smoacs.training.displaced.resting import PEROVSKITE_SHARE, box_samples, resting_samples
from smoacs.training.layout import layout_row

log = logging.getLogger(__name__)

MAX_LABEL = 15.0
"""Formation energies above this (eV/atom) are dropped."""

MIN_ABOVE_HULL = -0.4
"""Labels further below the hull than this (eV/atom) are errors of the potential, and dropped."""

MAX_FORCE = 30.0
"""Crystals with a larger force (eV/Å) keep their energy, but not their forces and stress."""

VALIDATION_SHARE = 0.05
REFERENCE_CRYSTALS = 1500

_SCALE_STREAM = 1


def composition_matrix(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """Atomic fractions, [n, 98]."""
    x = np.zeros((len(structures), len(ELEMENTS)))
    for i, structure in enumerate(structures):
        for site in structure:
            x[i, site.specie.Z - 1] += 1 / len(structure)
    return x


def reference_energies(x: NDArray[np.float64], gap: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge fit of one energy per element (eV/atom) to total minus formation energies `gap`.

    Fitted twice, the second time without the 2 % of crystals that fit worst (re-relaxed entries).
    """
    keep = np.ones(len(x), dtype=bool)
    mu: NDArray[np.float64] = np.zeros(x.shape[1])
    for _ in range(2):
        a, b = x[keep], gap[keep]
        mu = np.asarray(np.linalg.solve(a.T @ a + 1e-4 * np.eye(a.shape[1]), a.T @ b), dtype=float)
        error = np.abs(x @ mu - gap)
        log.info("reference energies: MAE %.4f eV/atom", error.mean())
        keep = error < np.quantile(error, 0.98)
    return mu


class Hull:
    """Convex hull of formation energy over composition of all labelled crystals."""

    def __init__(self, x: NDArray[np.float64], energy: NDArray[np.float64]) -> None:
        """Takes atomic fractions [n, 98] and formation energies [n], eV/atom."""
        best: dict[bytes, int] = {}
        keys = [row.tobytes() for row in np.round(x, 6)]
        for i, key in enumerate(keys):
            if key not in best or energy[i] < energy[best[key]]:
                best[key] = i
        index = np.array(sorted(best.values()))
        self.x = np.vstack([x[index], np.eye(x.shape[1])])
        self.energy = np.concatenate([energy[index], np.zeros(x.shape[1])])
        self._known: dict[bytes, float] = {}

    def __call__(self, x: NDArray[np.float64]) -> float:
        """Hull energy at one composition [98], eV/atom; several crystals of one cost it once."""
        key = np.round(x, 6).tobytes()
        if key not in self._known:
            self._known[key] = self._solve(x)
        return self._known[key]

    def _solve(self, x: NDArray[np.float64]) -> float:
        inside = x > 0
        rows = ~(self.x[:, ~inside] > 0).any(axis=1)
        result = linprog(
            self.energy[rows], A_eq=self.x[rows][:, inside].T, b_eq=x[inside], method="highs"
        )
        return float(result.fun)


def label(
    rows: pd.DataFrame,
    hull_rows: pd.DataFrame,
    samples: Sequence[Sample],
    seed: int,
    *,
    derivatives: bool,
) -> pd.DataFrame:
    """Label crystals; those with untrustworthy labels are dropped.

    Args:
        rows: Relaxed crystals that the samples' parents are among, and that tie the energy scales.
        hull_rows: Relaxed crystals that make the hull.
        samples: The crystals.
        seed: In the rows' ids, and of the draw of crystals that tie the energy scales.
        derivatives: Whether to label forces and stress, too.

    Returns:
        A table in the training layout (see `smoacs.training.layout`).
    """
    rng = np.random.default_rng([seed, _SCALE_STREAM])
    formation_labels = rows["formation_energy_per_atom"].to_numpy(dtype=float)
    above_labels = rows["energy_above_hull"].to_numpy(dtype=float)
    extra = rng.choice(len(rows), size=min(REFERENCE_CRYSTALS, len(rows)), replace=False)
    relaxed = sorted({s.parent for s in samples if s.parent >= 0} | set(extra.tolist()))
    structures = [row_structure(row) for row in rows.iloc[relaxed].itertuples()]
    relaxed_energy = np.full(len(rows), np.nan)
    relaxed_energy[relaxed] = chgnet_energies(structures)
    mu = reference_energies(
        composition_matrix(structures), (relaxed_energy - formation_labels)[relaxed]
    )
    labels = chgnet_labels([s.structure for s in samples], derivatives=derivatives)
    hull = Hull(
        composition_matrix([row_structure(row) for row in hull_rows.itertuples()]),
        hull_rows["formation_energy_per_atom"].to_numpy(dtype=float),
    )
    x = composition_matrix([s.structure for s in samples])
    records = []
    for i, sample in enumerate(samples):
        if sample.parent >= 0:
            change = labels[i].energy - relaxed_energy[sample.parent]
            formation = formation_labels[sample.parent] + change
            above = above_labels[sample.parent] + change
        else:
            formation = labels[i].energy - x[i] @ mu
            above = formation - hull(x[i])
        if formation < MAX_LABEL and above > MIN_ABOVE_HULL:
            record = _record(sample, f"chgnet-{seed}-{i}", labels[i])
            record |= {"formation_energy_per_atom": formation, "energy_above_hull": above}
            records.append(record)
    return pd.DataFrame(records)


def _record(sample: Sample, identifier: str, labels: Labels) -> dict[str, Any]:
    """A row of the layout; its energies are still missing."""
    forces, stress = labels.forces, labels.stress
    if forces is None or np.abs(forces).max() > MAX_FORCE:
        forces = stress = None
    row = layout_row(sample.structure, forces=forces, stress=stress)
    validates = formula_hash(row["formula"]) % 1000 < 1000 * VALIDATION_SHARE
    return row | {
        "material_id": identifier,
        "band_gap": np.nan,
        "kind": sample.kind,
        "split": "val" if validates else "train",
    }


def drawn(args: argparse.Namespace, rows: pd.DataFrame) -> list[Sample]:
    """The crystals that the command line asks for."""
    rng = np.random.default_rng(args.seed)
    if args.at_rest is None:
        return make_samples(rows, args.n, rng)
    predictor = load_predictor(args.at_rest)
    if args.boxes:
        return box_samples(args.n, rng, predictor, load_predictor("chgnet", device="cpu"))
    return resting_samples(args.n, rng, predictor, rows, perovskite_share=args.perovskite_share)


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description="Label off-equilibrium crystals by CHGNet.")
    parser.add_argument("data", type=Path, help="relaxed crystals, Parquet in the training layout")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=24000)
    parser.add_argument("--max-atoms", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--energies-only", action="store_true", help="no forces, no stress")
    parser.add_argument(
        "--at-rest",
        metavar="PREDICTOR",
        help="draw crystals near this predictor's rest, two for each of -n",
    )
    parser.add_argument(
        "--perovskite-share",
        type=float,
        default=PEROVSKITE_SHARE,
        help="of perovskites among the crystals of --at-rest",
    )
    parser.add_argument(
        "--boxes",
        action="store_true",
        help="with --at-rest: perovskites' boxes from that rest to CHGNet's, 3 to 5 for each of -n",
    )
    args = parser.parse_args()
    if args.boxes and args.at_rest is None:
        parser.error("--boxes needs --at-rest: whose rest the boxes start from")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore")
    rows = pd.read_parquet(args.data)
    train = rows[rows["split"] == "train"]
    small = train[train["n_atoms"] <= args.max_atoms].reset_index(drop=True)
    table = label(
        small,
        train,
        drawn(args, small),
        args.seed,
        derivatives=not args.energies_only,
    )
    table.to_parquet(args.out)


if __name__ == "__main__":
    main()
