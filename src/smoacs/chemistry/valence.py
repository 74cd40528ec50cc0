"""Valence electrons of the elements by shell, as far as the filling order of the atom says."""

from functools import cache

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from smoacs.chemistry.elements import N_ELEMENTS

_NOBLE = (2, 10, 18, 36, 54, 86)
_ORDER = (
    "1s", "2s", "2p", "3s", "3p", "4s", "3d", "4p", "5s", "4d", "5p", "6s", "4f", "5d", "6p", "7s",
    "5f", "6d", "7p",
)  # fmt: skip
_ROOM = {"s": 2, "p": 6, "d": 10, "f": 14}


@cache
def valence_table() -> NDArray[np.float64]:
    """Electrons beyond the last noble gas in s, p, d and f, their number, and the mass (u): [E, 6].

    By the Madelung rule: chromium counts as s²d⁴. Filled d and f shells of heavier p-block atoms
    belong to the valence here.
    """
    table = np.zeros((N_ELEMENTS, 6))
    for z in range(1, N_ELEMENTS + 1):
        core = max((n for n in _NOBLE if n < z), default=0)
        left, seen = z, 0
        for shell in _ORDER:
            electrons = min(left, _ROOM[shell[1]])
            if seen >= core:
                table[z - 1, "spdf".index(shell[1])] += electrons
            left, seen = left - electrons, seen + electrons
    table[:, 4] = table[:, :4].sum(1)
    table[:, 5] = atomic_masses[1 : N_ELEMENTS + 1]
    return table
