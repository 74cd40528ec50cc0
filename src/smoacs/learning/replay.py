"""Crystals on which a fine-tuned ensemble must go on to say what the first weights say.

The data of the first weights do not come with the package, so their own predictions on random
crystals stand in for it (learning without forgetting, see `smoacs.learning.tune`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from pymatgen.core import Structure

from smoacs.learning.choose import composition_distances
from smoacs.templates import PROTOTYPES, prototype
from smoacs.training.resting import MAX_ATOMS, random_decoration
from smoacs.training.samples import MIN_COVALENT_RATIO, closest_ratio

DRAWN_FOR_ONE: Final = 2
"""Crystals that are drawn for each that is kept: the ones that are less like the labelled."""


def distant_crystals(
    number: int, labelled: Sequence[str], template: str, rng: np.random.Generator
) -> list[Structure]:
    """Random decorations of structure types, unlike the labelled crystals.

    Near the labelled crystals the first weights are what is to be corrected. So the type of the
    template is left out, and of the compositions drawn the half is kept that is further from all
    labelled ones.

    Args:
        number: How many.
        labelled: Reduced formulas of the labelled crystals.
        template: Name of the designs' structure type, or whatever else their template is called.
        rng: Of the draw.
    """
    types = [prototype(name) for name in PROTOTYPES if name != template]
    types = [t for t in types if t.n_sites <= MAX_ATOMS]
    drawn: list[Structure] = []
    while len(drawn) < DRAWN_FOR_ONE * number:
        structure = random_decoration(types[rng.integers(len(types))], rng)
        if closest_ratio(structure) > MIN_COVALENT_RATIO:
            drawn.append(structure)
    if not labelled or not drawn:
        return drawn[:number]
    formulas = [structure.composition.reduced_formula for structure in drawn]
    nearest = composition_distances(formulas, list(labelled)).min(axis=1)
    return [drawn[k] for k in np.sort(np.argsort(-nearest, kind="stable")[:number])]
