"""Which crystals are labelled: streams that are the same for the same seed.

Perovskites: first the compositions of `data/dft_perovskites` and of the designs in
`benchmarks/results/confirm_*.json`, then charge-neutral draws by the masks of
`smoacs.templates.perovskite()`. Other types: decorations as in `smoacs.training.resting`. Database:
crystals of at most 20 atoms in an order drawn by chance.

A composition that the Materials Project set of June 2018 or `data/dft_perovskites` has is in the
part (train, val, test) in which it is there, the most withheld of several; others draw it by their
formula.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ase
import numpy as np
import pandas as pd
from ase.formula import Formula
from distortions import SITES
from pymatgen.core import Composition

from smoacs.chemistry import ELEMENTS, goldschmidt
from smoacs.predictors.builtin import formula_hash
from smoacs.templates import PROTOTYPES, Template, perovskite, prototype
from smoacs.training.displaced.resting import random_decoration

REPOSITORY: Final = Path(__file__).resolve().parents[2]

SHARES: Final = {
    "A+1 B+2 X-1": 0.5,
    "A+2 B+4 X-2": 0.2,
    "A+3 B+3 X-2": 0.18,
    "A+1 B+5 X-2": 0.12,
}
TOLERANCE: Final = (0.8, 1.05)
WIDE: Final = (0.7, 1.15)
WIDE_SHARE: Final = 0.12
"""Share of perovskites whose tolerance factor may be in the wider window."""

ANIONS: Final = (0.5, 0.32, 0.18)
"""Shares of perovskites with one, two and three kinds of X."""

VAL_SHARE: Final = 0.05
TEST_SHARE: Final = 0.1
MAX_ATOMS: Final = 20
MAX_TYPE_ATOMS: Final = 14
"""Largest primitive cells of database crystals and of structure types."""


@dataclass(frozen=True)
class Recipe:
    """A crystal to begin with.

    Attributes:
        name: Unique in its stream.
        formula: Reduced.
        split: train, val or test.
        kind: "perovskite", the structure type, or "database".
        atoms: Perovskites in the order of `distortions.SITES`, at lengths that radii ask for.
    """

    name: str
    formula: str
    split: str
    kind: str
    atoms: ase.Atoms


class Splits:
    """Part of the data that a formula is in."""

    def __init__(self, database: Path) -> None:
        """Read the formulas that have a part already."""
        tables = [
            pd.read_parquet(path, columns=["formula", "split"])
            for path in (database, REPOSITORY / "data/dft_perovskites/dft_perovskites.parquet")
        ]
        rows = pd.concat(tables)
        order = ("train", "val", "test")
        worst = rows["split"].map(order.index).groupby(rows["formula"]).max()
        self._known = {str(formula): order[place] for formula, place in worst.items()}

    def __call__(self, formula: str) -> str:
        """train, val or test."""
        if formula in self._known:
            return self._known[formula]
        place = formula_hash(formula) % 1000 / 1000
        if place < TEST_SHARE:
            return "test"
        return "val" if place < TEST_SHARE + VAL_SHARE else "train"


def reduced_formula(symbols: Sequence[str]) -> str:
    """As pymatgen writes it."""
    return Composition("".join(symbols)).reduced_formula


# --- perovskites --------------------------------------------------------------------------------


def perovskites(splits: Splits, seed: int, *, test: bool) -> Iterator[Recipe]:
    """Endless stream; none twice; either those of the test part only, or all others."""
    template = perovskite()
    seen = set()
    known = _known_species(template)
    for number, species in enumerate(itertools.chain(known, _drawn_species(template, seed))):
        key = (*species[:2], *sorted(species[2:]))
        formula = reduced_formula(species)
        split = splits(formula)
        if key in seen or (split == "test") != test:
            continue
        seen.add(key)
        origin = "k" if number < len(known) else f"s{seed}"
        name = f"perovskite-{origin}-{'-'.join(key)}"
        yield Recipe(name, formula, split, "perovskite", _ideal(species, template))


def _known_species(template: Template) -> list[tuple[str, ...]]:
    """Elements on A, B, X, X, X of this repository's DFT data and of confirmed designs."""
    table = pd.read_parquet(REPOSITORY / "data/dft_perovskites/dft_perovskites.parquet")
    found = [tuple(ELEMENTS[z - 1] for z in numbers) for numbers in table["numbers"]]
    for path in sorted((REPOSITORY / "benchmarks/results").glob("confirm_*.json")):
        for design in json.loads(path.read_text())["designs"]:
            assigned = _assigned(design["formula"], template)
            if assigned is not None:
                found.append(assigned)
    order = np.random.default_rng(1).permutation(len(found))
    return [found[k] for k in order]


def _assigned(formula: str, template: Template) -> tuple[str, ...] | None:
    """Elements of a formula on A, B, X, X, X: those that are allowed and fit best."""
    counts = Formula(formula).count()
    singles = [symbol for symbol, count in counts.items() if count == 1]
    best = None
    for a, b in itertools.permutations(singles, 2):
        rest = [s for s, count in counts.items() if s not in {a, b} for _ in range(count)]
        if len(rest) != 3:
            continue
        species = (a, b, *rest)
        for k in range(len(template.combinations)):
            factor = tolerance(template, k, species)
            if factor is not None and (best is None or abs(factor - 0.93) < best[0]):
                best = (abs(factor - 0.93), species)
    return None if best is None else best[1]


def tolerance(template: Template, k: int, species: Sequence[str]) -> float | None:
    """Goldschmidt's factor of A, B, X, X, X with a combination's charges; None if not allowed."""
    index = [ELEMENTS.index(symbol) for symbol in species]
    if not all(template.allowed[k, site, e] for site, e in enumerate(index)):
        return None
    radii = [float(template.radii[k, site, e]) for site, e in enumerate(index)]  # type: ignore[index]
    return goldschmidt(radii[0], radii[1], float(np.mean(radii[2:])))


def _drawn_species(template: Template, seed: int) -> Iterator[tuple[str, ...]]:
    rng = np.random.default_rng([seed, 11])
    names = list(template.combination_names)
    shares = np.array([SHARES[name] for name in names])
    while True:
        k = int(rng.choice(len(names), p=shares / shares.sum()))
        low, high = WIDE if rng.random() < WIDE_SHARE else TOLERANCE
        kinds = int(rng.choice(3, p=ANIONS)) + 1
        a, b = (int(rng.choice(np.flatnonzero(template.allowed[k, site]))) for site in range(2))
        anions = np.flatnonzero(template.allowed[k, 2])
        chosen = rng.choice(anions, size=kinds, replace=False).tolist()
        x = (chosen * 3)[:3]
        species = tuple(ELEMENTS[e] for e in (a, b, *x))
        factor = tolerance(template, k, species)
        if a != b and factor is not None and low <= factor <= high:
            yield species


def _ideal(species: Sequence[str], template: Template) -> ase.Atoms:
    """The ideal box at lengths that ionic radii ask for: between those by B-X and by A-X."""
    best: list[float] = []
    for k in range(len(template.combinations)):
        if tolerance(template, k, species) is not None and template.radii is not None:
            best = [
                float(template.radii[k, site, ELEMENTS.index(symbol)])
                for site, symbol in enumerate(species)
            ]
            break
    r_a, r_b, *r_x = best
    mean = float(np.mean(r_x))
    cube = 0.7 * 2.0 * (r_b + mean) + 0.3 * np.sqrt(2.0) * (r_a + mean)
    bonds = r_b + np.array(r_x)
    return ase.Atoms(species, cell=cube * bonds / bonds.mean(), scaled_positions=SITES, pbc=True)


# --- other structure types ----------------------------------------------------------------------


def structure_types(splits: Splits, seed: int) -> Iterator[Recipe]:
    """Endless stream of decorations; none twice, none of the test part."""
    rng = np.random.default_rng([seed, 12])
    types = [prototype(name) for name in PROTOTYPES]
    types = [item for item in types if item.n_sites <= MAX_TYPE_ATOMS]
    seen = set()
    while True:
        template = types[rng.integers(len(types))]
        structure = random_decoration(template, rng)
        symbols = [site.specie.symbol for site in structure]
        key = "-".join(dict(zip(template.site_labels, symbols, strict=True)).values())
        name = f"type-{template.name}-{key}"
        formula = structure.composition.reduced_formula
        split = splits(formula)
        repeated = len(set(symbols)) < len(set(template.site_labels))
        if name in seen or split == "test" or repeated:
            continue
        seen.add(name)
        atoms = ase.Atoms(
            symbols,
            cell=structure.lattice.matrix,
            scaled_positions=structure.frac_coords,
            pbc=True,
        )
        yield Recipe(name, formula, split, template.name, atoms)


# --- the database -------------------------------------------------------------------------------


def database(path: Path, seed: int, *, test: bool) -> Iterator[Recipe]:
    """Crystals of at most 20 atoms, once each; of the test part only, or of the others."""
    rows = pd.read_parquet(path)
    rows = rows[(rows["n_atoms"] <= MAX_ATOMS) & ((rows["split"] == "test") == test)]
    for place in np.random.default_rng([seed, 13]).permutation(len(rows)):
        yield _row_recipe(rows.iloc[place])


def _row_recipe(row: Mapping[str, Any]) -> Recipe:
    atoms = ase.Atoms(
        np.asarray(row["numbers"], dtype=int),
        cell=np.asarray(row["lattice"], dtype=float),
        scaled_positions=np.asarray(row["frac_coords"], dtype=float).reshape(-1, 3),
        pbc=True,
    )
    return Recipe(
        str(row["material_id"]), str(row["formula"]), str(row["split"]), "database", atoms
    )
