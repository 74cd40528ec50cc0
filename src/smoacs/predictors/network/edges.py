"""What the built-in network sees of the distances and directions between atoms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from smoacs.chemistry import N_ELEMENTS
from smoacs.predictors.network.derived import Derived
from smoacs.predictors.network.harmonics import QUADRATIC, harmonics, quadratic_factors
from smoacs.predictors.network.messages import Blocks, blocks_of

if TYPE_CHECKING:
    from smoacs.crystals import Crystals, NeighborList
    from smoacs.predictors.network.settings import NetworkSettings


@dataclass(frozen=True)
class Wall:
    """Atoms closer than a share of the sum of their covalent radii repel, whatever the layers say.

    Attributes:
        onset: The share (1 in 500 relaxed crystals has a pair below 0.70).
        strength: eV, times (onset - ratio)² for each pair.
    """

    onset: float
    strength: float


WALL = Wall(0.71, 500.0)
"""Of predictions."""

TRAINING_WALL = Wall(0.69, 260.0)
"""The layers learn to make up for the wall that they are trained with, so this one is lower: the
difference keeps crushed crystals above the potential that labelled them."""


@dataclass(frozen=True)
class PairGeometry:
    """Radial functions times spherical harmonics, summed over the images of each atom pair.

    Attributes:
        index: Atoms i <= j of each pair, [2, P].
        scalar: Degree 0, [P, K0].
        moments: Degrees 1 (three components) and 2 (five), component first so that products with
            channels run over contiguous memory, [8, P, K1].
        repulsion: Energy of overlapping atoms, eV per atom of each crystal, [B].
        factors: See `quadratic_factors`.
    """

    index: Tensor
    scalar: Tensor
    moments: Tensor
    repulsion: Tensor
    factors: Tensor

    @cached_property
    def blocks(self) -> Blocks:
        """The pairs in blocks, for the sums of all layers."""
        return blocks_of(self.index)


class Geometry(nn.Module):
    """From crystals to pair features; no parameters."""

    centers: Tensor
    m_centers: Tensor
    covalent_radii: Tensor
    quadratic: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.cutoff = settings.cutoff
        self.wall = WALL
        self.register_buffer("centers", torch.linspace(0.8, settings.cutoff, settings.radial))
        moment_centers = torch.linspace(0.8, settings.cutoff, settings.moment_radial)
        self.register_buffer("m_centers", moment_centers)
        radii = torch.tensor(covalent_radii[1 : N_ELEMENTS + 1], dtype=torch.float32)
        self.register_buffer("covalent_radii", radii, persistent=False)
        self.register_buffer("quadratic", QUADRATIC, persistent=False)
        self._gaussians = Derived(_centers_and_widths)

    def forward(self, crystals: Crystals, neighbors: NeighborList) -> PairGeometry:
        """Compute the pair features of all crystals."""
        index, pair = neighbors.pairs
        vectors = neighbors.vectors(crystals)
        distance = torch.sqrt((vectors * vectors).sum(1, keepdim=True) + 1e-12)
        envelope = torch.where(
            distance < self.cutoff, 0.5 * (torch.cos(distance * (math.pi / self.cutoff)) + 1), 0.0
        )
        centers, widths = self._gaussians(self.centers, self.m_centers)
        radial = torch.exp(-0.5 * ((distance - centers) / widths) ** 2) * envelope
        scalar, radial = radial.split([len(self.centers), len(self.m_centers)], dim=1)
        factors = quadratic_factors(self.quadratic)
        moments = harmonics(vectors / distance, factors).unsqueeze(2) * radial.unsqueeze(1)
        n_pairs = index.shape[1]
        return PairGeometry(
            index=index,
            scalar=_of_pairs(scalar, pair, n_pairs),
            moments=_of_pairs(moments, pair, n_pairs).transpose(0, 1).contiguous(),
            repulsion=self._repulsion(crystals, neighbors, distance.squeeze(1)),
            factors=factors,
        )

    def _repulsion(self, crystals: Crystals, neighbors: NeighborList, distance: Tensor) -> Tensor:
        radius = crystals.species_probs @ self.covalent_radii.to(distance)
        i, j = neighbors.edge_index
        ratio = distance / (radius.index_select(0, i) + radius.index_select(0, j))
        total = distance.new_zeros(crystals.n_systems)
        # A processor sees at once that nothing overlaps; a GPU would have to be waited for.
        if total.device.type == "cpu" and not (ratio < self.wall.onset).any():
            return total
        energy = self.wall.strength * torch.relu(self.wall.onset - ratio) ** 2
        return total.index_add_(0, crystals.system_idx[i], energy) / crystals.counts


def _centers_and_widths(*centers: Tensor) -> tuple[Tensor, Tensor]:
    """Of Gaussians around evenly spaced centres, Å, several rows [K]: each [sum of K]."""
    widths = torch.cat([(row[1] - row[0]).expand(len(row)) for row in centers])
    return torch.cat(centers), widths


def _of_pairs(x: Tensor, pair: Tensor, n_pairs: int) -> Tensor:
    """Sums over the edges, [M, ...], of each pair, [P, ...]."""
    if len(pair) == n_pairs:  # in a large cell, every edge joins a pair of its own
        return x
    return x.new_zeros(n_pairs, *x.shape[1:]).index_add_(0, pair, x)
