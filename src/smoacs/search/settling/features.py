"""Numbers that tell how a composition settles: which ions there are, how large, how they bind."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from smoacs.chemistry import N_ELEMENTS, element_index, ionic_radius
from smoacs.structures import charges, symbols

COORDINATION = 6
"""That ionic radii are taken at; only their differences count."""


def features(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """Features of B crystals, [B, F]: the order of the atoms and the size of the cell do not count.

    Of cations and of anions each the mean, the least and the most of electronegativity, radius (Å),
    group and period; then the share of each element.
    """
    return np.stack([_of_crystal(structure) for structure in structures])


def _of_crystal(structure: Structure) -> NDArray[np.float64]:
    elements = symbols(structure)
    states = charges(structure) or [0] * len(elements)
    ions = np.array([_ion(s, round(q)) for s, q in zip(elements, states, strict=True)])
    is_anion = np.array(states) < 0
    shares = np.zeros(N_ELEMENTS)
    np.add.at(shares, [element_index(symbol) for symbol in elements], 1 / len(elements))
    return np.concatenate([_spread(ions[~is_anion]), _spread(ions[is_anion]), shares])


def _spread(ions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, least and most of each column, [12]; zeros where there are no ions."""
    if not len(ions):
        return np.zeros(12)
    return np.concatenate([ions.mean(axis=0), ions.min(axis=0), ions.max(axis=0)])


@cache
def _ion(symbol: str, charge: int) -> tuple[float, float, float, float]:
    """Electronegativity, radius (Å), group and period of an ion."""
    element = Element(symbol)
    pauling = element.X if np.isfinite(element.X) else 2.0  # a noble gas has none
    radius = ionic_radius(symbol, charge, COORDINATION) or 1.0
    return float(pauling), float(radius), float(element.group), float(element.row)
