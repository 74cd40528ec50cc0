"""Crystals on which a fine-tuned ensemble must go on to say what the first weights say.

The data of the first weights do not come with the package, so their own predictions on random
crystals stand in for it (learning without forgetting, see `smoacs.learning.tune`).
"""

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.learning.choose import composition_distances
from smoacs.templates import PROTOTYPES, Template, prototype
from smoacs.training.displaced.crystals import MIN_COVALENT_RATIO, closest_ratio
from smoacs.training.displaced.resting import MAX_ATOMS, random_decoration

log = logging.getLogger(__name__)

DRAWN_FOR_ONE: Final = 2
"""Crystals that are drawn for each that is kept: the ones that are less like the labelled."""

MOST_DRAWS: Final = 20
"""Draws for each of those, before it is given up: their atoms come too close."""


def distant_crystals(
    number: int,
    labelled: Sequence[str],
    template: str,
    rng: np.random.Generator,
    *,
    elements: AbstractSet[str] | None = None,
) -> list[Structure]:
    """Random decorations of structure types, unlike the labelled crystals.

    Near the labelled crystals the first weights are what is to be corrected. So the type of the
    template is left out, and of the compositions drawn the half is kept that is further from all
    labelled ones.

    Args:
        number: How many; if the elements do not give as many, a warning says so.
        labelled: Reduced formulas of the labelled crystals.
        template: Name of the designs' structure type, or whatever else their template is called.
        rng: Of the draw.
        elements: The only ones to use: those of which the first weights can say something. None
            for all.
    """
    types = _types(template, elements)
    drawn: list[Structure] = []
    wanted = DRAWN_FOR_ONE * number
    for _ in range(MOST_DRAWS * wanted if types else 0):
        structure = random_decoration(types[rng.integers(len(types))], rng)
        if closest_ratio(structure) > MIN_COVALENT_RATIO:
            drawn.append(structure)
        if len(drawn) == wanted:
            break
    if len(drawn) < wanted:
        log.warning(
            "only %d of %d random crystals, on which the tuned weights must go on to say what the "
            "first ones say, could be drawn from the elements that these know: what they know of "
            "other crystals may be forgotten, unless data are given",
            min(number, len(drawn)),
            number,
        )
    if not labelled or not drawn:
        return drawn[:number]
    formulas = [structure.composition.reduced_formula for structure in drawn]
    nearest = composition_distances(formulas, list(labelled)).min(axis=1)
    return [drawn[k] for k in np.sort(np.argsort(-nearest, kind="stable")[:number])]


def _types(template: str, elements: AbstractSet[str] | None) -> list[Template]:
    """Structure types other than the designs', with these elements as far as they have any."""
    types = []
    for name in PROTOTYPES:
        found = prototype(name)
        if name == template or found.n_sites > MAX_ATOMS:
            continue
        if elements is not None:
            try:
                found = found.with_elements(allowed=elements)
            except InputError:  # no neutral crystal of this type
                continue
        types.append(found)
    return types
