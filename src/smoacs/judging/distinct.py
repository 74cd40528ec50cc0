"""Which crystals are one design: the same composition on the same structure.

By pymatgen's StructureMatcher, up to scale and within its tolerances: mirror images, another origin
or cell, and atoms in another order make no new crystal; of two elements that have changed places on
sites that the structure does not tell apart, B and B' of a double perovskite, neither do they.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from smoacs.structures import bare


def distinct_designs(
    structures: Sequence[Structure], formulas: Sequence[str], chosen: Sequence[bool]
) -> NDArray[np.int64]:
    """Number each design from 1, in the order in which it comes first; 0 for what is not chosen.

    Args:
        structures: Crystals.
        formulas: Their reduced formulas; only crystals of one formula are compared.
        chosen: Which to number; these must be crystals.
    """
    matcher = StructureMatcher()
    first: dict[str, list[tuple[int, Structure]]] = defaultdict(list)
    numbers = np.zeros(len(structures), dtype=np.int64)
    count = 0
    for k, (structure, formula, use) in enumerate(zip(structures, formulas, chosen, strict=True)):
        if not use:
            continue
        crystal = bare(structure)
        same = (number for number, other in first[formula] if matcher.fit(other, crystal))
        number = next(same, None)
        if number is None:
            count += 1
            number = count
            first[formula].append((number, crystal))
        numbers[k] = number
    return numbers
