"""Crystals away from equilibrium, drawn at random: strained, swapped, and wild perovskites."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Element, Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.templates import perovskite

POTENTIAL_ELEMENTS = 89
"""CHGNet's element table covers more, but has seen little beyond actinium."""

MIN_COVALENT_RATIO = 0.4
"""Pairs closer than this share of the sum of covalent radii get no label: the potential is not to
be trusted there, and the network's own repulsion takes over."""

MIN_VOLUME_PER_ATOM = 4.0
"""Denser crystals (Å³) get no label either: their graphs fill the memory."""

KIND_SHARES = {"perovskite": 0.55, "deformed": 0.275, "swapped": 0.175}
NEAR_REST_SHARE = 0.55
"""Share of the perovskites whose lattice is near the sum of their ionic radii; the others draw
each length from 2 to 10 Å."""


@dataclass(frozen=True)
class Sample:
    """One crystal to label, with the row of the relaxed crystal it was made from (-1: none)."""

    structure: Structure
    parent: int
    kind: str


def covalent_radius(symbol: str) -> float:
    """Cordero covalent radius as ASE tabulates it, Å."""
    return float(covalent_radii[atomic_numbers[symbol]])


def closest_ratio(structure: Structure) -> float:
    """Smallest distance over sum of covalent radii, over all pairs within 4 Å (inf if none)."""
    i, j, _, d = structure.get_neighbor_list(4.0)
    if len(d) == 0:
        return float("inf")
    r = np.array([covalent_radius(site.specie.symbol) for site in structure])
    return float((d / (r[i] + r[j])).min())


def is_trusted(structure: Structure) -> bool:
    """Whether no atoms are so close, and the crystal so dense, that it gets no label."""
    roomy = structure.volume / len(structure) > MIN_VOLUME_PER_ATOM
    return roomy and closest_ratio(structure) > MIN_COVALENT_RATIO


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


def potential_elements() -> list[str]:
    """Elements that the potential can be trusted with and that bind."""
    return [e for e in ELEMENTS[:POTENTIAL_ELEMENTS] if not Element(e).is_noble_gas]


def make_samples(rows: pd.DataFrame, n: int, rng: np.random.Generator) -> list[Sample]:
    """Draw `n` crystals that the potential can be trusted with, in the shares of `KIND_SHARES`."""
    elements = potential_elements()
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
        if is_trusted(sample.structure):
            samples.append(sample)
    return samples
