"""Crystals away from equilibrium, labelled by CHGNet (extra `train`).

The public training sets hold relaxed crystals only, yet the optimiser starts from lattice lengths
of 2 to 10 Å. This script makes strained and rattled training crystals, element-swapped ones, and
random neutral perovskites at random lattices, and labels them with the energy of CHGNet 0.3.0 (B.
Deng et al., Nature Machine Intelligence 5, 1031 (2023); weights inside its PyPI wheel).

Energy scale: CHGNet gives total energies on the Materials Project's 2020 scale. One reference
energy per element, fitted by least squares on relaxed training crystals, turns them into formation
energies on the scale of the training labels. Energies above hull follow from the hull of the
labelled crystals.

    python -m smoacs.training.off_equilibrium megnet_mp2018.parquet --out off_equilibrium.parquet
"""

from __future__ import annotations

import argparse
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Element, Lattice, Structure
from scipy.optimize import linprog

from smoacs.chemistry import ELEMENTS
from smoacs.errors import MissingExtraError
from smoacs.predictors.builtin import formula_hash
from smoacs.templates import perovskite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

CHGNET_ELEMENTS = 89
"""CHGNet's element table covers more, but has seen little beyond actinium."""

MIN_COVALENT_RATIO = 0.55
"""Pairs closer than this share of the sum of covalent radii get no label: the potential is not to
be trusted there, and the network's own repulsion takes over."""

MIN_VOLUME_PER_ATOM = 4.0
"""Denser crystals (Å³) get no label either: their graphs fill the memory."""

MAX_LABEL = 8.0
"""Formation energies above this (eV/atom) are dropped."""

MIN_ABOVE_HULL = -0.4
"""Labels further below the hull than this (eV/atom) are errors of the potential, and dropped."""

KIND_SHARES = {"perovskite": 0.5, "deformed": 0.3, "swapped": 0.2}
NEAR_REST_SHARE = 0.65
"""Share of the perovskites whose lattice is near the sum of their ionic radii; the others draw
each length from 2 to 10 Å."""

VALIDATION_SHARE = 0.05
REFERENCE_CRYSTALS = 1500


@dataclass(frozen=True)
class Sample:
    """One crystal to label, with the row of the relaxed crystal it was made from (-1: none)."""

    structure: Structure
    parent: int
    kind: str


def covalent_radius(symbol: str) -> float:
    """Cordero covalent radius as ASE tabulates it, Å."""
    from ase.data import atomic_numbers, covalent_radii  # noqa: PLC0415

    return float(covalent_radii[atomic_numbers[symbol]])


def closest_ratio(structure: Structure) -> float:
    """Smallest distance over sum of covalent radii, over all pairs within 4 Å (inf if none)."""
    i, j, _, d = structure.get_neighbor_list(4.0)
    if len(d) == 0:
        return float("inf")
    r = np.array([covalent_radius(site.specie.symbol) for site in structure])
    return float((d / (r[i] + r[j])).min())


def row_structure(row: Any) -> Structure:  # noqa: ANN401  (a pandas namedtuple)
    """The crystal of one row of a training file."""
    frac = np.asarray(row.frac_coords, dtype=float).reshape(-1, 3)
    species = [ELEMENTS[z - 1] for z in row.numbers]
    return Structure(Lattice.from_parameters(*row.lattice), species, frac)


def random_perovskite(rng: np.random.Generator) -> Sample:
    """A neutral perovskite of random composition, lattice and displacements."""
    template = perovskite()
    if template.radii is None:
        msg = "the perovskite template has no ionic radii"
        raise ValueError(msg)
    k = rng.integers(len(template.combinations))
    choice = [int(rng.choice(np.flatnonzero(a))) for a in template.allowed[k]]
    if rng.integers(2):
        choice[3] = choice[4] = choice[2]
    radius = [float(template.radii[k, i, e]) for i, e in enumerate(choice)]
    r_x = float(np.mean(radius[2:]))
    guess = 2.0 * (radius[1] + r_x) * 0.5 + np.sqrt(2.0) * (radius[0] + r_x) * 0.5
    if rng.random() < NEAR_REST_SHARE:
        lengths = guess * rng.uniform(0.82, 1.25) * (1 + 0.05 * rng.normal(size=3))
    else:
        lengths = rng.uniform(2.0, 10.0, size=3)
    frac = template.frac_coords.copy()
    moved = rng.choice(["not", "slightly", "far"], p=[0.4, 0.4, 0.2])
    if moved == "far":
        frac += rng.uniform(-0.15, 0.15, size=frac.shape)
    elif moved == "slightly":
        frac += 0.025 * rng.normal(size=frac.shape)
    species = [ELEMENTS[e] for e in choice]
    return Sample(Structure(Lattice.orthorhombic(*lengths), species, frac), -1, "perovskite")


def deformed(structure: Structure, parent: int, rng: np.random.Generator) -> Sample:
    """A training crystal, strained (-16 to +20 % in length) and rattled."""
    strain = np.eye(3) * rng.uniform(0.86, 1.18)
    noise = 0.03 * rng.normal(size=(3, 3))
    cell = structure.lattice.matrix @ (strain + 0.5 * (noise + noise.T))
    new = Structure(Lattice(cell), structure.species, structure.frac_coords)
    new.perturb(0.12 * rng.random())
    return Sample(new, parent, "deformed")


def swapped(structure: Structure, elements: Sequence[str], rng: np.random.Generator) -> Sample:
    """A training crystal with random elements, its volume scaled by the atoms' covalent volumes."""
    mapping = {}
    for element in structure.composition.elements:
        stays = rng.choice([True, False], p=[0.3, 0.7])
        mapping[element.symbol] = element.symbol if stays else str(rng.choice(elements))
    old = sum(covalent_radius(s.specie.symbol) ** 3 for s in structure)
    species = [mapping[s.specie.symbol] for s in structure]
    scale = (sum(covalent_radius(s) ** 3 for s in species) / old) ** (1 / 3)
    cell = structure.lattice.matrix * scale * rng.uniform(0.9, 1.12)
    return Sample(Structure(Lattice(cell), species, structure.frac_coords), -1, "swapped")


def make_samples(rows: pd.DataFrame, n: int, rng: np.random.Generator) -> list[Sample]:
    """Draw `n` crystals that the potential can be trusted with, in the shares of `KIND_SHARES`."""
    elements = [e for e in ELEMENTS[:CHGNET_ELEMENTS] if not Element(e).is_noble_gas]
    records = list(rows.itertuples())
    samples: list[Sample] = []
    while len(samples) < n:
        kind = rng.choice(list(KIND_SHARES), p=list(KIND_SHARES.values()))
        place = int(rng.integers(len(records)))
        if kind == "perovskite":
            sample = random_perovskite(rng)
        elif kind == "deformed":
            sample = deformed(row_structure(records[place]), place, rng)
        else:
            sample = swapped(row_structure(records[place]), elements, rng)
        structure = sample.structure
        roomy = structure.volume / len(structure) > MIN_VOLUME_PER_ATOM
        if roomy and closest_ratio(structure) > MIN_COVALENT_RATIO:
            samples.append(sample)
    return samples


def chgnet_energies(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """CHGNet 0.3.0 energies, eV/atom."""
    try:
        from chgnet.model import CHGNet  # noqa: PLC0415
    except ImportError as error:
        msg = "labelling needs CHGNet: pip install 'smoacs[train]'"
        raise MissingExtraError(msg) from error
    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.on_isolated_atoms = "ignore"
    energies = []
    chunk = 64
    for start in range(0, len(structures), chunk):
        out: Any = model.predict_structure(
            list(structures[start : start + chunk]), task="e", batch_size=16
        )
        energies += [float(o["e"]) for o in out]
        log.info("labelled %d of %d", len(energies), len(structures))
    return np.array(energies)


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

    def __call__(self, x: NDArray[np.float64]) -> float:
        """Hull energy at one composition [98], eV/atom."""
        inside = x > 0
        rows = ~(self.x[:, ~inside] > 0).any(axis=1)
        result = linprog(
            self.energy[rows], A_eq=self.x[rows][:, inside].T, b_eq=x[inside], method="highs"
        )
        return float(result.fun)


def label(rows: pd.DataFrame, hull_rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw and label `n` crystals.

    Args:
        rows: Relaxed crystals to deform and to swap elements in.
        hull_rows: Relaxed crystals that make the hull.
        n: How many to draw; those with untrustworthy labels are dropped.
        seed: Seed of the draw.

    Returns:
        A table in the training layout (see `smoacs.training.data`).
    """
    rng = np.random.default_rng(seed)
    rows = rows.reset_index(drop=True)
    formation_labels = rows["formation_energy_per_atom"].to_numpy(dtype=float)
    above_labels = rows["energy_above_hull"].to_numpy(dtype=float)
    samples = make_samples(rows, n, rng)
    extra = rng.choice(len(rows), size=min(REFERENCE_CRYSTALS, len(rows)), replace=False)
    relaxed = sorted({s.parent for s in samples if s.parent >= 0} | set(extra.tolist()))
    structures = [row_structure(row) for row in rows.iloc[relaxed].itertuples()]
    relaxed_energy = np.full(len(rows), np.nan)
    relaxed_energy[relaxed] = chgnet_energies(structures)
    mu = reference_energies(
        composition_matrix(structures), (relaxed_energy - formation_labels)[relaxed]
    )
    energies = chgnet_energies([s.structure for s in samples])
    hull = Hull(
        composition_matrix([row_structure(row) for row in hull_rows.itertuples()]),
        hull_rows["formation_energy_per_atom"].to_numpy(dtype=float),
    )
    x = composition_matrix([s.structure for s in samples])
    records = []
    for i, sample in enumerate(samples):
        if sample.parent >= 0:
            change = energies[i] - relaxed_energy[sample.parent]
            formation = formation_labels[sample.parent] + change
            above = above_labels[sample.parent] + change
        else:
            formation = energies[i] - x[i] @ mu
            above = formation - hull(x[i])
        if formation < MAX_LABEL and above > MIN_ABOVE_HULL:
            records.append(_record(sample, f"chgnet-{seed}-{i}", formation, above))
    return pd.DataFrame(records)


def _record(sample: Sample, identifier: str, formation: float, above: float) -> dict[str, object]:
    structure = sample.structure
    formula = structure.composition.reduced_formula
    return {
        "material_id": identifier,
        "formula": formula,
        "n_atoms": len(structure),
        "numbers": np.array([s.specie.Z for s in structure], dtype=np.uint8),
        "frac_coords": (structure.frac_coords % 1.0).astype(np.float32).ravel(),
        "lattice": np.array(structure.lattice.parameters, dtype=np.float32),
        "formation_energy_per_atom": formation,
        "energy_above_hull": above,
        "band_gap": np.nan,
        "kind": sample.kind,
        "split": "val" if formula_hash(formula) % 1000 < 1000 * VALIDATION_SHARE else "train",
    }


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description="Label off-equilibrium crystals by CHGNet.")
    parser.add_argument("data", type=Path, help="relaxed crystals, Parquet in the training layout")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-n", type=int, default=24000)
    parser.add_argument("--max-atoms", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore")
    rows = pd.read_parquet(args.data)
    train = rows[rows["split"] == "train"]
    small = train[train["n_atoms"] <= args.max_atoms]
    label(small, train, args.n, args.seed).to_parquet(args.out)


if __name__ == "__main__":
    main()
