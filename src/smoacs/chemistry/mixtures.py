"""Oxidation numbers side by side in one crystal, and how usual they are, for many crystals at once.

Which an element never has together is said by `smoacs.chemistry.may_differ`: no element is a cation
and an anion at once (S⁶⁺ beside S²⁻), and only metals and metalloids of known mixed valence have
two positive numbers.
"""

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry.elements import ELEMENTS
from smoacs.chemistry.oxidation import may_differ, state_cost


@cache
def together(first: int, second: int) -> NDArray[np.bool_]:
    """Elements that may have both oxidation numbers in one crystal, [98]."""
    found = np.array([may_differ(symbol, (first, second)) for symbol in ELEMENTS], dtype=np.bool_)
    found.setflags(write=False)
    return found


def side_by_side(elements: NDArray[np.int64], charges: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether no element has oxidation numbers that it never has together, [M].

    Args:
        elements: Z - 1 on the n sites of M crystals, [M, n].
        charges: Oxidation number of each site, [n]; the same for all crystals.
    """
    sound = np.ones(len(elements), dtype=np.bool_)
    for i, j in itertools.combinations(range(len(charges)), 2):
        first, second = sorted((int(charges[i]), int(charges[j])))
        if first != second:
            both = together(first, second)[elements[:, i]]
            sound &= (elements[:, i] != elements[:, j]) | both
    return sound


def can_clash(allowed: NDArray[np.bool_], charges: NDArray[np.integer]) -> bool:
    """Whether some choice of allowed elements is not sound in the sense of `side_by_side`.

    Args:
        allowed: Elements that each of n sites may hold, [n, 98].
        charges: Oxidation number of each site, [n].
    """
    numbers = np.unique(charges)
    holds = {int(q): allowed[charges == q].any(axis=0) for q in numbers}
    return any(
        bool((holds[a] & holds[b] & ~together(a, b)).any())
        for a, b in itertools.combinations(sorted(holds), 2)
    )


def cost_table(charges: NDArray[np.integer]) -> NDArray[np.float32]:
    """How unusual each element is with oxidation numbers, [..., 98] for charges of any shape.

    Minus the logarithm of the share of the element's reports in the ICSD that give the number.
    """
    numbers, index = np.unique(charges, return_inverse=True)
    costs = [[state_cost(symbol, int(q)) for symbol in ELEMENTS] for q in numbers]
    table: NDArray[np.float32] = np.array(costs, dtype=np.float32)[index.reshape(charges.shape)]
    return table
