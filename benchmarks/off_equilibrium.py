r"""How sane the built-in predictor is away from relaxed crystals.

    python benchmarks/off_equilibrium.py megnet_mp2018.parquet \
        --out benchmarks/results/off_equilibrium.json

Takes the test split of the training data. Everything is random with a fixed seed.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase.geometry import cellpar_to_cell
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.evaluation import evaluate
from smoacs.predictors import Predictor, load_predictor, physical
from smoacs.templates import perovskite

SCALES = np.linspace(0.85, 1.15, 13)
SQUEEZED = np.array([0.85, 0.8, 0.75, 0.7, 0.65, 0.6])
STRAINS = np.linspace(-0.03, 0.03, 13)


def held_out(path: Path, n: int, rng: np.random.Generator) -> list[Structure]:
    """Random crystals of at most 20 atoms from the test split."""
    rows = pd.read_parquet(path)
    rows = rows[(rows["split"] == "test") & (rows["n_atoms"] <= 20)]
    chosen = rows.iloc[rng.choice(len(rows), n, replace=False)]
    return [
        Structure(
            Lattice(cellpar_to_cell(np.asarray(row.lattice, dtype=float))),
            [ELEMENTS[z - 1] for z in row.numbers],
            np.reshape(row.frac_coords, (-1, 3)),
        )
        for row in chosen.itertuples()
    ]


def scaled(structures: list[Structure], scales: np.ndarray) -> list[Structure]:
    """Every structure at every scale of its lengths, scale by scale within a structure."""
    return [
        Structure(Lattice(s.lattice.matrix * x), s.species, s.frac_coords)
        for s in structures
        for x in scales
    ]


def curves(
    predictor: Predictor, structures: list[Structure], scales: np.ndarray, name: str
) -> np.ndarray:
    """Property along the scales, [n, scales]."""
    values = evaluate(predictor, Crystals.from_structures(scaled(structures, scales)))[name]
    return values.reshape(len(structures), len(scales))


def minima(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of minima inside each curve, and the place of the lowest point."""
    inside = (energy[:, 1:-1] < energy[:, :-2]) & (energy[:, 1:-1] < energy[:, 2:])
    return inside.sum(1), energy.argmin(1)


def random_perovskites(n: int, rng: np.random.Generator) -> list[Structure]:
    """Random neutral perovskites in a 4 Å cube."""
    template = perovskite().with_elements()
    out = []
    for _ in range(n):
        k = rng.integers(template.n_combinations)
        species = [ELEMENTS[rng.choice(np.flatnonzero(a))] for a in template.allowed[k]]
        out.append(Structure(Lattice.cubic(4.0), species, template.frac_coords))
    return out


def soft_values(predictor: Predictor, crystals: Crystals, name: str) -> np.ndarray:
    """Values of soft crystals."""
    parts = []
    for systems in chunk_systems(crystals.counts, 2000):
        part = crystals.select(systems)
        with torch.no_grad():
            out = predictor(part, neighbor_list(part, predictor.cutoff))
        parts.append(out[name].double().numpy())
    return physical(name, np.concatenate(parts))


def swap_dips(
    predictor: Predictor, structures: list[Structure], rng: np.random.Generator
) -> np.ndarray:
    """How far the energy dips below both ends while an element turns into another, eV/atom."""
    known = sorted(predictor.elements)
    paths = []
    for structure in structures:
        old = rng.choice([e.symbol for e in structure.composition.elements])
        new = rng.choice([e for e in known if e != old])
        ends = Crystals.from_structures([structure])
        row = torch.zeros(N_ELEMENTS, dtype=torch.float64)
        row[ELEMENTS.index(new)] = 1.0
        sites = ends.species_probs[:, ELEMENTS.index(str(old))] > 0.5
        for x in np.linspace(0, 1, 11):
            probs = ends.species_probs.clone()
            probs[sites] = (1 - x) * probs[sites] + x * row
            paths.append(ends.replace(species_probs=probs))
    values = soft_values(predictor, joined(paths), "formation_energy").reshape(-1, 11)
    return np.maximum(0.0, np.minimum(values[:, 0], values[:, -1]) - values.min(1))


def joined(parts: list[Crystals]) -> Crystals:
    """One batch of many."""
    offset = np.cumsum([0] + [p.n_systems for p in parts])
    return Crystals(
        species_probs=torch.cat([p.species_probs for p in parts]),
        frac_coords=torch.cat([p.frac_coords for p in parts]),
        cell=torch.cat([p.cell for p in parts]),
        system_idx=torch.cat([p.system_idx + int(o) for p, o in zip(parts, offset, strict=False)]),
    )


def refuge(predictor: Predictor, rng: np.random.Generator) -> dict[str, float]:
    """Energy above hull of soft mixtures against that of real decorations of the same cells."""
    real = random_perovskites(200, rng)
    crystals = Crystals.from_structures(real)
    template = perovskite().with_elements(allowed=predictor.elements)
    anywhere = torch.as_tensor(template.allowed.any(0)).repeat(200, 1)
    draws = rng.gamma(0.1, size=tuple(crystals.species_probs.shape))
    mixed = torch.as_tensor(draws) * anywhere
    mixed = mixed / mixed.sum(1, keepdim=True)
    soft = crystals.replace(species_probs=mixed)
    name = "energy_above_hull"
    return {
        "hull_soft_mixtures": float(soft_values(predictor, soft, name).mean()),
        "hull_real_decorations": float(soft_values(predictor, crystals, name).mean()),
    }


def below_chgnet(
    predictor: Predictor, reference: Predictor, n: int, rng: np.random.Generator
) -> dict[str, float]:
    """How far the energy of random perovskites of 2 to 10 Å lies below CHGNet's."""
    structures = [
        Structure(Lattice.orthorhombic(*rng.uniform(2.0, 10.0, 3)), s.species, s.frac_coords)
        for s in random_perovskites(n, rng)
    ]
    known = predictor.elements & reference.elements
    crystals = Crystals.from_structures(
        [s for s in structures if known.issuperset(e.symbol for e in s.elements)]
    )
    name = "formation_energy"
    ours, theirs = (evaluate(p, crystals)[name] for p in (predictor, reference))
    return {"below_chgnet_by_half_an_eV": float((ours < theirs - 0.5).mean())}


def measure(predictor: Predictor, data: Path, crystals: int = 300) -> dict[str, float]:
    """All measurements that need no other potential.

    Args:
        predictor: What to measure.
        data: The training data; their test split is used.
        crystals: Held-out crystals; two thirds of them for the curves of energy.
    """
    rng = np.random.default_rng(0)
    structures = held_out(data, crystals, rng)
    some = structures[: 2 * crystals // 3]
    energy = curves(predictor, some, SCALES, "formation_energy")
    count, place = minima(energy)
    squeezed = curves(predictor, some, SQUEEZED, "formation_energy")
    gaps = curves(predictor, structures, 1 + STRAINS, "band_gap")
    slopes = np.abs(np.diff(gaps, axis=1) / np.diff(STRAINS)).max(1)
    insulating = gaps[:, len(STRAINS) // 2] > 0.1
    dips = swap_dips(predictor, structures, rng)
    return {
        "held_out_single_minimum": float((count == 1).mean()),
        "held_out_minimum_within_4_percent": float((np.abs(SCALES[place] - 1) <= 0.04).mean()),
        "held_out_both": float(((count == 1) & (np.abs(SCALES[place] - 1) <= 0.04)).mean()),
        "rises_monotonically_below_0.85": float((np.diff(squeezed, axis=1) > 0).all(1).mean()),
        "median_max_gap_slope_eV": float(np.median(slopes)),
        "median_max_gap_slope_insulators_eV": float(np.median(slopes[insulating])),
        "swap_dip_mean": float(dips.mean()),
        "swap_dip_95th_percentile": float(np.quantile(dips, 0.95)),
        **refuge(predictor, rng),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Sanity of the predictor off equilibrium.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--predictor", default=None, help="weights; the built-in ones if left out")
    parser.add_argument(
        "--chgnet", type=int, default=0, help="random perovskites to compare with CHGNet on"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    predictor = load_predictor(args.predictor, device="cpu")
    report = measure(predictor, args.data)
    if args.chgnet:
        rng = np.random.default_rng(1)
        reference = load_predictor("chgnet", device="cpu")
        report |= below_chgnet(predictor, reference, args.chgnet, rng)
    text = json.dumps({k: round(v, 4) for k, v in report.items()}, indent=1)
    print(text)
    args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
