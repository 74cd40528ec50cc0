"""Kinds of chemistry, and how much wider the spread of a prediction is for them.

A calibrated spread covers what it promises on the average over all crystals; a kind of chemistry
may fare worse. Two corrections, both smooth functions of the composition, soft mixtures included:
a factor for each kind that the intervals cover too little of, and a standard deviation on its own
for ternary compounds of equal parts whose electrons just fill their bands, half-Heuslers of 18
electrons above all. A network takes these for the metals that most of their kin are; a third
of them are semiconductors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, valence_table

_KINDS: Mapping[str, str] = {
    "halides": "F Cl Br I",
    "oxides": "O",
    "chalcogenides": "S Se Te",
    "pnictides": "N P As",
    "carbides, borides, hydrides": "H B C",
}
"""Elements that make a kind, which goes before those after it."""

METALLIC = "intermetallics"
"""What holds none of them."""

KINDS: tuple[str, ...] = (*_KINDS, METALLIC)

_TRACE = 0.01
"""Share from which an element counts; one atom in ten has it 10 times."""

_ELECTRONS_PER_ATOM = 6.0
"""18 electrons on three atoms."""

_ELECTRON_WIDTH = 0.1
_EVENNESS, _EVENNESS_WIDTH = 1.0 / 3.0, 0.05
"""Sum of the squared shares of three equal parts."""

_LANTHANOIDS, _ACTINOIDS = range(57, 72), range(89, 104)


@dataclass(frozen=True, kw_only=True)
class Widening:
    """By how much spreads are wider for kinds of chemistry; part of the header of the weights.

    Attributes:
        factors: Property -> kind (`KINDS`) -> factor of its standard deviation, at least 1.
        filled_bands: Property -> standard deviation, in its unit, that adds to that of `filled`
            compounds in squares.
    """

    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    filled_bands: Mapping[str, float] = field(default_factory=dict)

    def apply(self, spread: Tensor, shares: Tensor, properties: Sequence[str]) -> Tensor:
        """Wider standard deviations, [B, P].

        Args:
            spread: As calibrated, in the properties' units, [B, P].
            shares: Share of each element, [B, E].
            properties: Names of the columns.
        """
        logarithms = spread.new_tensor(
            [[np.log(self.factors.get(p, {}).get(kind, 1.0)) for kind in KINDS] for p in properties]
        )
        added = spread.new_tensor([self.filled_bands.get(p, 0.0) for p in properties])
        wider = spread * torch.exp(kinds(shares) @ logarithms.T)
        # Far from any crystal a spread is so large that its square is none any more.
        return torch.hypot(wider, filled(shares)[:, None] * added)


def kinds(shares: Tensor) -> Tensor:
    """How much a composition is of each of `KINDS`, [B, 6]; rows sum to 1, 0 or 1 for crystals.

    Args:
        shares: Share of each element, [B, E].
    """
    rest = shares.new_ones(len(shares))
    columns = []
    for symbols in _KINDS.values():
        held = 1 - torch.exp(-shares[:, _indices(symbols)].sum(1) / _TRACE)
        columns.append(rest * held)
        rest = rest * (1 - held)
    return torch.stack([*columns, rest], dim=1)


def filled(shares: Tensor) -> Tensor:
    """How much a composition is an intermetallic ABC with 18 electrons, from 0 to 1, [B].

    Args:
        shares: Share of each element, [B, E].
    """
    electrons = shares @ torch.as_tensor(_outer_electrons()).to(shares)
    evenness = (shares**2).sum(1)
    off = ((electrons - _ELECTRONS_PER_ATOM) / _ELECTRON_WIDTH) ** 2
    uneven = ((evenness - _EVENNESS) / _EVENNESS_WIDTH) ** 2
    return kinds(shares)[:, -1] * torch.exp(-off - uneven)


def _indices(symbols: str) -> list[int]:
    return [ELEMENTS.index(symbol) for symbol in symbols.split()]


@cache
def _outer_electrons() -> NDArray[np.float64]:
    """Electrons that an atom gives to bands, [E]; f shells and filled d shells keep theirs."""
    s, p, d = valence_table()[:, :3].T
    electrons: NDArray[np.float64] = np.where(p > 0, s + p, s + d)
    electrons[[z - 1 for z in (*_LANTHANOIDS, *_ACTINOIDS) if z <= N_ELEMENTS]] = 3
    return electrons
