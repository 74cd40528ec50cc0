"""Properties that need no weights."""

from collections.abc import Mapping

import torch
from pymatgen.core import Element
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals, NeighborList
from smoacs.predictors.properties import PROPERTIES

GRAMS_PER_CM3 = 1.66053906892
"""One dalton per Å³ in g/cm³ (CODATA 2022)."""

ALL_ELEMENTS = frozenset(ELEMENTS)


class ToleranceFactor:
    """Goldschmidt's t = (r_A + r_X) / (√2 (r_B + r_X)).

    V. M. Goldschmidt, Naturwissenschaften 14, 477 (1926). Radii are averaged over all sites of one
    role, as in arXiv:2410.08562. NaN for crystals whose sites have no roles or radii.
    """

    properties: Mapping[str, str] = {"tolerance_factor": PROPERTIES["tolerance_factor"].unit}
    cutoff = 0.0
    elements = ALL_ELEMENTS
    needs_geometry = False

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return the tolerance factor, [B]."""
        del neighbors
        if crystals.ionic_radii is None or crystals.site_roles is None:
            nan = crystals.cell.new_full((crystals.n_systems,), torch.nan)
            return {"tolerance_factor": nan}
        a, b, x = mean_radii(crystals)
        return {"tolerance_factor": (a + x) / (2**0.5 * (b + x))}


def mean_radii(crystals: Crystals) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ionic radii (Å) over the sites of each role, A, B and X, [B]; NaN where there is none.

    Raises:
        ValueError: If the crystals carry no ionic radii.
    """
    if crystals.ionic_radii is None or crystals.site_roles is None:
        msg = "crystals carry no ionic radii"
        raise ValueError(msg)
    # The role -1 of sites that have none comes first.
    place = 4 * crystals.system_idx + crystals.site_roles + 1
    counts = torch.bincount(place, minlength=4 * crystals.n_systems)
    zeros = crystals.ionic_radii.new_zeros(len(counts))
    means = zeros.index_add_(0, place, crystals.ionic_radii) / counts
    _, a, b, x = means.view(-1, 4).unbind(1)
    return a, b, x


class Density:
    """Mass density and volume per atom."""

    properties: Mapping[str, str] = {
        name: PROPERTIES[name].unit for name in ("density", "volume_per_atom")
    }
    cutoff = 0.0
    elements = ALL_ELEMENTS

    def __init__(self) -> None:
        """Look up the atomic masses (Da)."""
        self._masses = torch.tensor([float(Element(symbol).atomic_mass) for symbol in ELEMENTS])

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return the density and the volume per atom, each [B]."""
        del neighbors
        volume = crystals.volume
        mass = crystals.species_probs @ self._masses.to(crystals.species_probs)
        total = torch.zeros_like(volume).index_add_(0, crystals.system_idx, mass)
        return {
            "density": GRAMS_PER_CM3 * total / volume,
            "volume_per_atom": volume / crystals.counts,
        }
