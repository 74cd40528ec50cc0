"""Ionic radii of Shannon at a given coordination.

Sources, in this order:

1. R. D. Shannon, Acta Cryst. A 32, 751 (1976), as tabulated by pymatgen; *ionic* (not crystal)
   radii. Where a radius depends on the spin state, the high-spin one; of several geometries of
   one coordination number the plain one (``IV`` before ``IVPY`` and ``IVSQ``).
2. Where Shannon lacks the coordination, the machine-learned extension of his table by
   A. A. B. Baloch et al., Phys. Rev. Materials 5, 043804 (2021), as tabulated by SMACT. It brings
   Sn2+ in the octahedron, and many cations in twelve-fold coordination.
3. Where both lack it, Shannon's radius at the nearest coordination number, the higher of two that
   are equally near. On twelve-fold sites such a radius is too small (Mg2+: the eight-fold one),
   so it errs towards a smaller tolerance factor.

Radii that are not positive (Shannon's H+) are left out: those ions have none.
"""

import math
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry.elements import ELEMENTS, N_ELEMENTS, element_index
from smoacs.chemistry.oxidation import MAX_CHARGE, MIN_CHARGE, N_CHARGES

_COORDINATIONS: Final = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8,
    "IX": 9, "X": 10, "XI": 11, "XII": 12, "XIV": 14,
    "IIIPY": 3, "IVPY": 4, "IVSQ": 4,
}  # fmt: skip
"""Coordination number by pymatgen's name, plain geometries before pyramids and squares."""


def ionic_radius(symbol: str, charge: int, coordination: int) -> float | None:
    """Ionic radius (Å) of an ion, by the rules of this module; None if the ion has none.

    Args:
        symbol: Element.
        charge: Oxidation number.
        coordination: Number of neighbours, e.g. 6 in an octahedron.

    Raises:
        InputError: The element is unknown.
    """
    element_index(symbol)
    shannon = _shannon_radii(symbol).get(charge, {})
    if coordination in shannon:
        return shannon[coordination]
    extended = _extended_radii(symbol).get((charge, coordination))
    if extended is not None or not shannon:
        return extended
    return shannon[min(shannon, key=lambda number: (abs(number - coordination), -number))]


@cache
def radius_table(coordination: int) -> NDArray[np.float64]:
    """Ionic radii of all elements and charges at one coordination.

    Returns:
        Read-only radii (Å), [98, 12]: element, charge - ``MIN_CHARGE``; NaN where there is none.
    """
    table = np.full((N_ELEMENTS, N_CHARGES), np.nan)
    for index, symbol in enumerate(ELEMENTS):
        for charge in range(MIN_CHARGE, MAX_CHARGE + 1):
            radius = ionic_radius(symbol, charge, coordination)
            if radius is not None:
                table[index, charge - MIN_CHARGE] = radius
    table.setflags(write=False)
    return table


@cache
def _shannon_radii(symbol: str) -> dict[int, dict[int, float]]:
    """Shannon's positive ionic radii (Å) by charge and coordination number."""
    from pymatgen.core.periodic_table import Element  # noqa: PLC0415 - slow, needed once

    tabulated: dict[str, dict[str, dict[str, Any]]] = (
        Element(symbol).data.get("Shannon radii") or {}
    )
    radii: dict[int, dict[int, float]] = {}
    for charge, by_geometry in tabulated.items():
        for geometry, coordination in _COORDINATIONS.items():
            by_spin = by_geometry.get(geometry)
            if not charge or not by_spin:  # pymatgen files one radius of Eu under charge ""
                continue
            spin = "High Spin" if "High Spin" in by_spin else next(iter(by_spin))
            radius = float(by_spin[spin]["ionic_radius"])
            if radius > 0.0:
                radii.setdefault(int(charge), {}).setdefault(coordination, radius)
    return radii


@cache
def _extended_radii(symbol: str) -> dict[tuple[int, int], float]:
    """Positive ionic radii (Å) of the extension by (charge, coordination number)."""
    from smact.data_loader import (  # noqa: PLC0415 - slow to import, needed once
        lookup_element_shannon_radius_data_extendedML,
    )

    rows = lookup_element_shannon_radius_data_extendedML(symbol, copy=False) or []
    return {
        (int(row["charge"]), int(row["coordination"])): float(row["ionic_radius"])
        for row in rows
        if row["ionic_radius"] > 0.0
    }


def goldschmidt(r_a: float, r_b: float, r_x: float) -> float:
    """Tolerance factor t = (r_A + r_X) / (√2 (r_B + r_X)) of ABX3; 1 in the ideal cube.

    V. M. Goldschmidt, Naturwissenschaften 14, 477 (1926).

    Args:
        r_a: Ionic radius (Å) of the twelve-coordinated cation.
        r_b: Ionic radius (Å) of the cation in the octahedron.
        r_x: Ionic radius (Å) of the anion.
    """
    return (r_a + r_x) / (math.sqrt(2.0) * (r_b + r_x))
