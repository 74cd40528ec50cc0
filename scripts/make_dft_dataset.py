"""Make the project's own DFT dataset: perovskites around rest, labelled by GPAW.

First, 50 cubic perovskites of the Materials Project training data at their own geometry: how far
GPAW's gaps are from the Materials Project's is the noise floor (`known.csv`). Then perovskites
over the compositions that the masks of `smoacs.templates.perovskite()` allow, closed shells only,
in an order drawn by chance, so that whatever is done when time is up is a fair sample:

* charge combination: halides in 2 of 5, each other combination equally often; then a composition,
  none twice before all were there once; X may be mixed; tolerance factor 0.78 to 1.08;
* rest lengths by CHGNet: the cube's, and the three lengths that X on each axis asks for;
* geometry: cube, or box with the three lengths, at 0.95, 0.98, 1, 1.03 or 1.06 times rest, or
  strained by up to 4 % along each axis, or rattled by 0.05 Å.

Needs the extras `dft` and `train`. Kill it when you like: it goes on where it was.

    python scripts/make_dft_dataset.py --mp megnet_mp2018.parquet --out runs/dft --minutes 60
"""

import argparse
import hashlib
import itertools
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element, Lattice, Structure
from rest_lengths import SITES, RestLengths

from smoacs.chemistry import ELEMENTS, goldschmidt
from smoacs.dft import DftLabel, DftSettings, label, unpaired_electrons
from smoacs.templates import Template, perovskite

log = logging.getLogger("make_dft_dataset")

MAX_Z: Final = 83
TOLERANCE: Final = (0.78, 1.08)
SCALES: Final = (0.95, 0.98, 1.0, 1.03, 1.06)
NEAR_REST: Final = (0.98, 1.0, 1.03)
SHARES: Final = {"A+1 B+2 X-1": 0.4, "A+2 B+4 X-2": 0.2, "A+3 B+3 X-2": 0.2, "A+1 B+5 X-2": 0.2}
KINDS: Final = {"cubic": 0.4, "box": 0.4, "strained": 0.1, "rattled": 0.1}
MAX_STRAIN: Final = 0.04
RATTLE: Final = 0.05
N_KNOWN: Final = 50
CHUNK: Final = 8
"""Crystals between two looks at the clock."""

SETTINGS: Final = DftSettings(time_limit=400.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One crystal to label: what it is and how its geometry is drawn."""

    number: int
    species: tuple[str, ...]
    charges: tuple[int, ...]
    combination: str
    radii: tuple[float, ...]
    kind: str
    scale: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One crystal with what the table says about it."""

    material_id: str
    structure: Structure
    about: Mapping[str, Any] = field(default_factory=dict)


def main() -> None:
    """Label until the limit, the time or the compositions are used up."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60.0 * args.minutes
    known = known_perovskites(args.mp, N_KNOWN, np.random.default_rng(args.seed))
    labels = label_samples(known, args, end)
    report_known(known[: len(labels)], labels, args.out / "known.csv")
    rest = RestLengths(args.out / "rest_lengths.jsonl")
    stream = itertools.islice(recipes(args.seed), args.limit)
    samples, table = list(known[: len(labels)]), list(labels)
    while time.monotonic() < end:
        taken = list(itertools.islice(stream, CHUNK))
        if not taken:
            break
        made = [sample for recipe in taken if (sample := realise(recipe, rest, args.seed))]
        new = label_samples(made, args, end)
        samples += made[: len(new)]
        table += new
        write_table(samples, table, args.out)
        failed = sum(item.results is None for item in table)
        log.info(
            "%d labels, %d failed, last of the stream %d", len(table), failed, taken[-1].number
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the DFT dataset of perovskites.")
    parser.add_argument("--mp", type=Path, required=True, help="training data with known crystals")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels and the table")
    parser.add_argument("--workers", type=int, default=1, help="calculations at a time")
    parser.add_argument("--limit", type=int, default=3000, help="crystals besides the known ones")
    parser.add_argument("--minutes", type=float, default=240.0, help="no new calculations after")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def label_samples(
    samples: Sequence[Sample], args: argparse.Namespace, end: float
) -> list[DftLabel]:
    """Labels of the first samples: all, unless the time is up before."""
    done: list[DftLabel] = []
    for start in range(0, len(samples), CHUNK):
        if time.monotonic() > end:
            break
        structures = [sample.structure for sample in samples[start : start + CHUNK]]
        cache = args.out / "labels.jsonl"
        done += label(structures, SETTINGS, cache=cache, workers=args.workers)
    return done


# --- known crystals -----------------------------------------------------------------------------


def known_perovskites(path: Path, number: int, rng: np.random.Generator) -> list[Sample]:
    """Cubic closed-shell perovskites of the training data that the template allows."""
    template = perovskite().with_elements(max_z=MAX_Z)
    rows = pd.read_parquet(path)
    found: list[Sample] = []
    row: Any
    for row in rows[rows["n_atoms"] == len(SITES)].itertuples():
        match = _cubic_perovskite(row)
        charges = _closed_shell_charges(template, match) if match else None
        if match is None or charges is None:
            continue
        structure = Structure(Lattice.cubic(float(row.lattice[0])), match, SITES)
        structure.add_oxidation_state_by_site(list(charges))
        about = {
            "kind": "known",
            "scale": 1.0,
            "combination": "",
            "rest_length": float(row.lattice[0]),
            "mp_band_gap": float(row.band_gap),
        }
        found.append(Sample(material_id=row.material_id, structure=structure, about=about))
    order = rng.permutation(len(found))[:number]
    log.info("%d known perovskites, %d drawn", len(found), len(order))
    return [found[i] for i in order]


def _cubic_perovskite(row: Any) -> list[str] | None:  # noqa: ANN401 - a pandas namedtuple
    """Elements on A, B and X if a crystal is a cubic ABX3, else None."""
    lattice = np.asarray(row.lattice, dtype=float)
    if np.ptp(lattice[:3]) > 0.01 or np.abs(lattice[3:] - 90.0).max() > 0.1:
        return None
    frac = np.asarray(row.frac_coords, dtype=float).reshape(-1, 3)
    for origin in frac:
        offset = frac - origin
        halves = np.round(2.0 * offset).astype(int) % 2
        if np.abs(2.0 * offset - np.round(2.0 * offset)).max() > 0.01:
            return None
        at = {tuple(site): ELEMENTS[z - 1] for site, z in zip(halves, row.numbers, strict=True)}
        wanted = [tuple(site) for site in (2 * SITES).astype(int)]
        if set(at) == set(wanted) and len({at[site] for site in wanted[2:]}) == 1:
            return [at[site] for site in wanted]
    return None


def _closed_shell_charges(template: Template, species: Sequence[str]) -> tuple[int, ...] | None:
    """Charges of a combination that allows these elements on A, B, X, X, X as closed shells."""
    index = [ELEMENTS.index(symbol) for symbol in species]
    for allowed, charges in zip(template.allowed, template.combinations, strict=True):
        fits = all(allowed[site, e] for site, e in enumerate(index))
        if fits and all(is_usable(s, int(q)) for s, q in zip(species, charges, strict=True)):
            return tuple(int(q) for q in charges)
    return None


def report_known(samples: Sequence[Sample], labels: Sequence[DftLabel], path: Path) -> None:
    """Write GPAW's gap beside the Materials Project's; log the mean absolute difference."""
    rows = []
    for sample, item in zip(samples, labels, strict=True):
        values = item.results
        rows.append(
            {
                "material_id": sample.material_id,
                "formula": sample.structure.composition.reduced_formula,
                "a": sample.about["rest_length"],
                "mp_band_gap": sample.about["mp_band_gap"],
                "gpaw_band_gap": values.band_gap if values else np.nan,
                "gpaw_band_gap_direct": values.band_gap_direct if values else np.nan,
                "gpaw_pressure": values.pressure if values else np.nan,
                "failure": item.failure,
                "seconds": item.seconds,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return
    table["difference"] = table["gpaw_band_gap"] - table["mp_band_gap"]
    table = table.sort_values("difference", key=np.abs, ascending=False)
    table.to_csv(path, index=False)
    mae = table["difference"].abs().mean()
    median = table["difference"].abs().median()
    log.info("known: %d, MAE %.3f eV, median %.3f eV", len(table), mae, median)


# --- the stream ---------------------------------------------------------------------------------


def is_usable(symbol: str, charge: int) -> bool:
    """Whether an ion is in this part of the data: closed shells, no lanthanides but La and Lu."""
    element = Element(symbol)
    lanthanide = element.is_lanthanoid and symbol not in {"La", "Lu"}
    return element.Z <= MAX_Z and not lanthanide and unpaired_electrons(symbol, charge) == 0


def compositions(template: Template, k: int) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Elements and radii on A, B, X, X, X of a combination, tolerance factor within its window."""
    if template.radii is None:
        raise ValueError("the perovskite template has no radii")
    charges = template.combinations[k]
    sets = [
        [
            (ELEMENTS[e], float(template.radii[k, site, e]))
            for e in np.flatnonzero(template.allowed[k, site])
            if is_usable(ELEMENTS[e], int(charges[site]))
        ]
        for site in range(3)
    ]
    found = []
    for a, b in itertools.product(sets[0], sets[1]):
        for x in itertools.combinations_with_replacement(sets[2], 3):
            factor = goldschmidt(a[1], b[1], float(np.mean([r for _, r in x])))
            if TOLERANCE[0] <= factor <= TOLERANCE[1]:
                ions = (a, b, *x)
                found.append((tuple(s for s, _ in ions), tuple(r for _, r in ions)))
    return found


def recipes(seed: int) -> Iterator[Recipe]:
    """Endless stream of crystals to make, the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    template = perovskite().with_elements(max_z=MAX_Z)
    pools = {name: compositions(template, k) for k, name in enumerate(template.combination_names)}
    log.info("compositions: %s", {name: len(pool) for name, pool in pools.items()})
    shares = np.array([SHARES[name] for name in pools])
    queues: dict[str, list[int]] = {name: [] for name in pools}
    for number in itertools.count():
        name = str(rng.choice(list(pools), p=shares / shares.sum()))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        scale = float(rng.choice(SCALES if kind in {"cubic", "box"} else NEAR_REST))
        queues[name] = queues[name] or rng.permutation(len(pools[name])).tolist()
        species, radii = pools[name][queues[name].pop()]
        charges = template.combinations[template.combination_names.index(name)]
        yield Recipe(
            number=number,
            species=species,
            charges=tuple(int(q) for q in charges),
            combination=name,
            radii=radii,
            kind=kind,
            scale=scale,
        )


def realise(recipe: Recipe, rest: RestLengths, seed: int) -> Sample | None:
    """The crystal of a recipe; None if CHGNet sees no rest length."""
    rng = np.random.default_rng([seed, 2, recipe.number])
    boxed = recipe.kind == "box" or (recipe.kind in {"strained", "rattled"} and rng.random() < 0.5)
    at_rest = rest(recipe.species, recipe.radii, boxed=boxed)
    if at_rest is None:
        return None
    lengths = recipe.scale * np.array(at_rest)
    if recipe.kind == "strained":
        lengths = lengths * (1.0 + rng.uniform(-MAX_STRAIN, MAX_STRAIN, size=3))
    structure = Structure(Lattice.orthorhombic(*lengths), recipe.species, SITES)
    structure.add_oxidation_state_by_site(list(recipe.charges))
    if recipe.kind == "rattled":
        shift = RATTLE * rng.normal(size=(len(SITES), 3))
        for site, vector in enumerate(shift):
            structure.translate_sites([site], vector, frac_coords=False)
    about = {
        "kind": recipe.kind,
        "scale": recipe.scale,
        "combination": recipe.combination,
        "rest_length": float(np.cbrt(np.prod(at_rest))),
        "mp_band_gap": np.nan,
    }
    return Sample(material_id=f"smoacs-{recipe.number:05d}", structure=structure, about=about)


# --- the table ----------------------------------------------------------------------------------


def split_of(composition: Composition) -> str:
    """Part of the data that a composition belongs to, by a hash of its reduced formula."""
    digest = hashlib.sha256(composition.reduced_formula.encode()).digest()
    return {0: "test", 1: "val"}.get(int.from_bytes(digest[:8]) % 10, "train")


def write_table(samples: Sequence[Sample], labels: Sequence[DftLabel], out: Path) -> None:
    """Write the labelled crystals in the training layout, and the failures as a list."""
    rows, failures = [], []
    for sample, item in zip(samples, labels, strict=True):
        composition = sample.structure.composition.element_composition
        values = item.results
        if values is None:
            failures.append(f"{sample.material_id} {composition.reduced_formula}: {item.failure}")
            continue
        structure = sample.structure
        rows.append(
            {
                "material_id": sample.material_id,
                "formula": composition.reduced_formula,
                "n_atoms": len(structure),
                "numbers": np.array(structure.atomic_numbers, dtype=np.uint8),
                "frac_coords": np.asarray(structure.frac_coords % 1.0, np.float32).ravel(),
                "lattice": np.array(structure.lattice.parameters, dtype=np.float32),
                "split": split_of(composition),
                "band_gap": values.band_gap,
                "band_gap_direct": values.band_gap_direct,
                "dft_energy_per_atom": values.energy_per_atom,
                "dft_pressure": values.pressure,
                "dft_stress": values.stress,
                "dft_forces": np.array(values.forces, dtype=np.float32).ravel(),
                "dft_max_force": values.max_force,
                "dft_cutoff": values.cutoff,
                "dft_settings": item.settings,
                "dft_seconds": item.seconds,
                **sample.about,
            }
        )
    temporary = out / "dft_perovskites.parquet.new"
    pd.DataFrame(rows).to_parquet(temporary, index=False)
    temporary.replace(out / "dft_perovskites.parquet")
    (out / "failures.txt").write_text("".join(f"{line}\n" for line in failures))


if __name__ == "__main__":
    main()
