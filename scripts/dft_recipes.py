"""Which perovskites `make_dft_dataset.py` labels, and with what geometry."""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure
from rest_lengths import SITES, RestLengths, ionic_length

from smoacs.chemistry import ELEMENTS, goldschmidt
from smoacs.dft import DftSettings, plan_calculation, unpaired_electrons
from smoacs.templates import Template, perovskite

log = logging.getLogger("make_dft_dataset")

MAX_Z: Final = 83
TOLERANCE: Final = (0.78, 1.08)
SHARES: Final = {
    "A+1 B+2 X-1": 0.55,
    "A+2 B+4 X-2": 0.15,
    "A+3 B+3 X-2": 0.15,
    "A+1 B+5 X-2": 0.15,
}
OPEN_SHARE: Final = 0.1
"""Share of compositions with an ion of an open d shell; with spin they cost twice as much."""

KINDS: Final = {"cubic": 0.3, "box": 0.45, "strained": 0.1, "shifted": 0.15}
SCALES: Final = (0.97, 1.04)
"""Lengths in units of those at rest. Beyond these, hard crystals are at more than 25 GPa."""

MAX_STRAIN: Final = 0.04
SHIFT: Final = 0.08
"""Å; all atoms are shifted along one axis, which keeps twice the symmetry of a free rattle."""


METAL: Final = 0.1
"""eV; crystals with a predicted gap below count as metals."""

METALS_KEPT: Final = 1 / 3
METALS_NOTE: Final = (
    "two of three crystals that the built-in predictor took for metals are left out"
)


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
    """One crystal with its oxidation states and what the table says about it."""

    material_id: str
    structure: Structure
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of its calculation; accuracy is the default's, only limits differ."""
        return plan_calculation(self.structure, DftSettings()).key

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "material_id": self.material_id,
            "species": [site.specie.symbol for site in self.structure],
            "charges": [int(site.specie.oxi_state) for site in self.structure],
            "lattice": list(self.structure.lattice.parameters),
            "frac_coords": self.structure.frac_coords.tolist(),
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Sample":
        """The sample of plain data."""
        lattice = Lattice.from_parameters(*data["lattice"])
        structure = Structure(lattice, data["species"], data["frac_coords"])
        structure.add_oxidation_state_by_site(data["charges"])
        return cls(material_id=data["material_id"], structure=structure, about=data["about"])


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
        if fits and all(is_closed(s, int(q)) for s, q in zip(species, charges, strict=True)):
            return tuple(int(q) for q in charges)
    return None


# --- the stream ---------------------------------------------------------------------------------


def is_usable(symbol: str) -> bool:
    """Whether an element is in the data: to bismuth, no lanthanides but La and Lu."""
    element = Element(symbol)
    return element.Z <= MAX_Z and (not element.is_lanthanoid or symbol in {"La", "Lu"})


def is_closed(symbol: str, charge: int) -> bool:
    """Whether an ion is usable and has closed shells only."""
    return is_usable(symbol) and unpaired_electrons(symbol, charge) == 0


def compositions(
    template: Template, k: int
) -> tuple[list[tuple[tuple[str, ...], tuple[float, ...]]], ...]:
    """Elements and radii on A, B, X, X, X of a combination, tolerance factor within its window.

    Returns:
        Those of closed shells, and those with open ones.
    """
    if template.radii is None:
        raise ValueError("the perovskite template has no radii")
    charges = template.combinations[k]
    sets = [
        [
            (ELEMENTS[e], float(template.radii[k, site, e]))
            for e in np.flatnonzero(template.allowed[k, site])
            if is_usable(ELEMENTS[e])
        ]
        for site in range(3)
    ]
    closed, with_open = [], []
    for a, b in itertools.product(sets[0], sets[1]):
        shut = is_closed(a[0], int(charges[0])) and is_closed(b[0], int(charges[1]))
        for x in itertools.combinations_with_replacement(sets[2], 3):
            factor = goldschmidt(a[1], b[1], float(np.mean([r for _, r in x])))
            if TOLERANCE[0] <= factor <= TOLERANCE[1]:
                ions = (a, b, *x)
                found = (tuple(s for s, _ in ions), tuple(r for _, r in ions))
                (closed if shut else with_open).append(found)
    return closed, with_open


def recipes(seed: int) -> Iterator[Recipe]:
    """Endless stream of crystals to make, the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    template = perovskite().with_elements(max_z=MAX_Z)
    names = template.combination_names
    pools = {
        (name, is_open): pool
        for k, name in enumerate(names)
        for is_open, pool in zip((False, True), compositions(template, k), strict=True)
    }
    log.info("compositions: %s", {key: len(pool) for key, pool in pools.items()})
    shares = np.array([SHARES[name] for name in names])
    queues: dict[tuple[str, bool], list[int]] = {key: [] for key in pools}
    for number in itertools.count():
        name = str(rng.choice(names, p=shares / shares.sum()))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        scale = float(rng.uniform(*SCALES))
        key = (name, bool(rng.random() < OPEN_SHARE))
        queues[key] = queues[key] or rng.permutation(len(pools[key])).tolist()
        species, radii = pools[key][queues[key].pop()]
        yield Recipe(
            number=number,
            species=species,
            charges=tuple(int(q) for q in template.combinations[names.index(name)]),
            combination=name,
            radii=radii,
            kind=kind,
            scale=scale,
        )


def sketch(recipe: Recipe) -> Structure:
    """The crystal at lengths that its ionic radii ask for, to be looked at before any work."""
    length = ionic_length(recipe.radii)
    return Structure(Lattice.cubic(length), recipe.species, SITES)


def realise(recipe: Recipe, rest: RestLengths, seed: int) -> Sample | None:
    """The crystal of a recipe; None if CHGNet sees no rest length."""
    rng = np.random.default_rng([seed, 2, recipe.number])
    boxed = recipe.kind == "box" or (recipe.kind in {"strained", "shifted"} and rng.random() < 0.7)
    at_rest = rest(recipe.species, recipe.radii, boxed=boxed)
    if at_rest is None:
        return None
    lengths: NDArray[np.float64] = recipe.scale * np.array(at_rest)
    if recipe.kind == "strained":
        lengths = lengths * (1.0 + rng.uniform(-MAX_STRAIN, MAX_STRAIN, size=3))
    structure = Structure(Lattice.orthorhombic(*lengths), recipe.species, SITES)
    structure.add_oxidation_state_by_site(list(recipe.charges))
    if recipe.kind == "shifted":
        along = np.eye(3)[rng.integers(3)]
        for site, distance in enumerate(SHIFT * rng.normal(size=len(SITES))):
            structure.translate_sites([site], distance * along, frac_coords=False)
    about = {
        "kind": recipe.kind,
        "scale": round(recipe.scale, 4),
        "combination": recipe.combination,
        "rest_length": float(np.cbrt(np.prod(at_rest))),
        "mp_band_gap": None,
    }
    return Sample(material_id=f"smoacs-{recipe.number:05d}", structure=structure, about=about)
