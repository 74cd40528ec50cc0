"""Crystals near what a predictor takes for their rest, to be labelled by a better potential.

A predictor's own minima are where an optimiser ends up, and so where its errors matter most.
Random perovskites, decorations of the structure types and known crystals with other elements are
relaxed on the predictor; each gives the end of its relaxation and a slightly deformed copy of it.

Perovskites with atoms on their ideal sites are boxes: three lengths, of which combinations are
soft, above all where the anions differ. There a predictor and the potential that teaches it come to
rest at different lengths although their energies differ little, more often the longer the box.
`box_samples` relaxes such boxes on the one, the longer ones from there on the other, and gives both
ends and what lies around them.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.predictors import Predictor
from smoacs.relaxation import relax_structures
from smoacs.templates import PROTOTYPES, Template, perovskite, prototype, reference_structure
from smoacs.training.displaced.crystals import (
    Sample,
    covalent_radius,
    is_trusted,
    potential_elements,
    random_perovskite,
    row_structure,
    swapped,
)

PEROVSKITE_SHARE = 0.6
SWAPPED_SHARE = 0.5
"""Share of known crystals with other elements among those that are no perovskites."""

MAX_ATOMS = 14
"""Larger structure types are left out: their labels cost too much."""

MAX_STEPS = 60
STRAIN = 0.03
RATTLE = 0.05
"""Standard deviation of a strain's components, and largest displacement (Å), of the copies."""

DRAWN_PER_BOX = 2
"""Boxes that are relaxed on the predictor, for each that is relaxed on the potential too."""

BOX_STEPS = 25
"""Of the relaxation on the potential; where a box is then, it gets its label all the same."""

BOX_STRAIN = 0.05
"""Standard deviation of the change of each length of a box's copy."""

SAME_BOX = 0.01
"""Boxes whose lengths differ by no more than this share count as one."""


def resting_samples(
    n: int,
    rng: np.random.Generator,
    predictor: Predictor,
    known: pd.DataFrame | None = None,
    *,
    perovskite_share: float = PEROVSKITE_SHARE,
) -> list[Sample]:
    """Draw crystals, relax them on a predictor, and deform a copy of each.

    Args:
        n: How many to draw; up to twice as many come back.
        rng: Of the draw.
        predictor: One that gives the formation energy.
        known: Crystals to swap elements in, in the training layout; None to do without.
        perovskite_share: Share of perovskites among the drawn.
    """
    types = [prototype(name) for name in PROTOTYPES]
    types = [t for t in types if t.n_sites <= MAX_ATOMS]
    elements = potential_elements()
    drawn: list[Structure] = []
    while len(drawn) < n:
        if rng.random() < perovskite_share:
            structure = random_perovskite(rng).structure
        elif known is not None and rng.random() < SWAPPED_SHARE:
            parent = row_structure(known.iloc[rng.integers(len(known))])
            structure = swapped(parent, elements, rng).structure
        else:
            structure = random_decoration(types[rng.integers(len(types))], rng)
        if is_trusted(structure):
            drawn.append(structure)
    samples = []
    for relaxed in relax_structures(drawn, predictor, max_steps=MAX_STEPS):
        noise = STRAIN * rng.normal(size=(3, 3))
        cell = relaxed.structure.lattice.matrix @ (np.eye(3) + 0.5 * (noise + noise.T))
        copy = Structure(Lattice(cell), relaxed.structure.species, relaxed.structure.frac_coords)
        copy.perturb(RATTLE * rng.random())
        samples += [Sample(s, -1, "resting") for s in (relaxed.structure, copy)]
    return [s for s in samples if is_trusted(s.structure)]


def box_samples(
    n: int, rng: np.random.Generator, predictor: Predictor, potential: Predictor
) -> list[Sample]:
    """Draw ideal perovskites of several anions; relax boxes on a predictor, then on a potential.

    Args:
        n: How many to relax on the potential: those of `DRAWN_PER_BOX` times as many that the
            predictor makes longest for their width. Of each come back both ends, a copy of either
            with other lengths, and, where the ends differ, a box beyond the second on the line
            through both.
        rng: Of the draw.
        predictor: One that gives the formation energy.
        potential: Another one.
    """
    drawn: list[Structure] = []
    while len(drawn) < DRAWN_PER_BOX * n:
        structure = ideal_box(random_perovskite(rng).structure)
        if len({site.specie for site in structure[2:]}) > 1 and is_trusted(structure):
            drawn.append(structure)
    ours = relax_structures(drawn, predictor, max_steps=MAX_STEPS, keep_symmetry=True)
    starts = [r.structure for r in ours if is_trusted(r.structure)]
    starts = sorted(starts, key=lambda s: min(s.lattice.abc) / max(s.lattice.abc))[:n]
    theirs = relax_structures(starts, potential, max_steps=BOX_STEPS, keep_symmetry=True)
    samples = []
    for start, end in zip(starts, theirs, strict=True):
        first, last = (np.asarray(s.lattice.abc) for s in (start, end.structure))
        boxes = [first, *(box * np.exp(BOX_STRAIN * rng.normal(size=3)) for box in (first, last))]
        if np.abs(last / first - 1).max() > SAME_BOX:
            boxes += [last, last * (last / first) ** rng.uniform(0.2, 1.0)]
        samples += [Sample(in_box(start, box), -1, "box") for box in boxes]
    return [s for s in samples if is_trusted(s.structure)]


def ideal_box(structure: Structure) -> Structure:
    """A perovskite's atoms on their ideal sites, in a cube of its volume."""
    ideal = Structure(structure.lattice, structure.species, perovskite().frac_coords)
    return in_box(ideal, np.full(3, structure.volume ** (1 / 3)))


def in_box(structure: Structure, lengths: NDArray[np.float64]) -> Structure:
    """The same atoms in a box of these lengths, Å, [3]."""
    return Structure(
        Lattice.orthorhombic(*lengths.tolist()), structure.species, structure.frac_coords
    )


def random_decoration(template: Template, rng: np.random.Generator) -> Structure:
    """A structure type with one random allowed element on each kind of site, roughly to scale."""
    reference = reference_structure(template.name)
    k = rng.integers(len(template.combinations))
    element_of = {
        label: ELEMENTS[int(rng.choice(np.flatnonzero(template.allowed[k, i])))]
        for i, label in enumerate(template.site_labels)
    }
    species = [element_of[label] for label in template.site_labels]
    old = sum(covalent_radius(site.specie.symbol) ** 3 for site in reference)
    scale = (sum(covalent_radius(s) ** 3 for s in species) / old) ** (1 / 3)
    cell = reference.lattice.matrix * scale * rng.uniform(0.9, 1.15)
    return Structure(Lattice(cell), species, reference.frac_coords)
