"""Neighbour lists: pairs of atoms that are near each other.

The list is a half list: each pair of atoms closer than the cutoff (periodic images included) once.
Crystals of a batch never share edges.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from smoacs.crystals.crystals import Crystals
from smoacs.crystals.pair_search import close_pairs


@dataclass(frozen=True)
class NeighborList:
    """Pairs of neighbouring atoms, M edges.

    Attributes:
        edge_index: Atoms i <= j of each edge, sorted by (i, j), shape [2, M].
        shifts: Whole lattice vectors from i's cell to j's image, shape [M, 3]; the edge's vector is
            (frac_coords[j] + shifts - frac_coords[i]) @ cell.
        cutoff: Distance (Å) up to which the list is complete.
        skin: Extra distance (Å) up to which edges were collected.
        n_atoms: Atoms of the batch.
    """

    edge_index: Int[Tensor, "2 edges"]
    shifts: Int[Tensor, "edges 3"]
    cutoff: float
    skin: float
    n_atoms: int

    @property
    def n_edges(self) -> int:
        """Number of edges of the half list."""
        return int(self.edge_index.shape[1])

    @cached_property
    def pairs(self) -> tuple[Int[Tensor, "2 pairs"], Int[Tensor, " edges"]]:
        """Distinct atom pairs [2, P] and the pair of each edge [M].

        In a small cell many edges join the same two atoms through different images.
        """
        i, j = self.edge_index
        numbers, pair = torch.unique_consecutive(i * self.n_atoms + j, return_inverse=True)
        if len(numbers) == self.n_edges:  # in a large cell, every edge joins a pair of its own
            return self.edge_index, pair
        return torch.stack([numbers // self.n_atoms, numbers % self.n_atoms]), pair

    def vectors(self, crystals: Crystals) -> Float[Tensor, "edges 3"]:
        """Edge vectors from i to j's image, Å, shape [M, 3]; differentiable."""
        i, j = self.edge_index
        frac = crystals.frac_coords
        apart = frac.index_select(0, j) - frac.index_select(0, i) + self.shifts.to(frac)
        if crystals.n_systems == 1:
            return apart @ crystals.cell[0]
        cell = crystals.cell.index_select(0, crystals.system_idx.index_select(0, i))
        return (apart.unsqueeze(1) @ cell).squeeze(1)

    def to(self, device: torch.device | str) -> "NeighborList":
        """A copy on `device`."""
        return replace(self, edge_index=self.edge_index.to(device), shifts=self.shifts.to(device))

    def full(self) -> tuple[Int[Tensor, "2 directed"], Int[Tensor, "directed 3"]]:
        """Both directions of every edge: edge_index [2, 2M] and shifts [2M, 3]."""
        return (
            torch.cat([self.edge_index, self.edge_index.flip(0)], dim=1),
            torch.cat([self.shifts, -self.shifts]),
        )


def neighbor_list(crystals: Crystals, cutoff: float, skin: float = 0.0) -> NeighborList:
    """Finds all pairs within `cutoff + skin` (Å) of each crystal, periodic images included.

    A crystal with a non-finite or flat cell gets no edges.
    """
    edge_index, shifts = close_pairs(crystals, cutoff + skin if cutoff > 0 else 0.0)
    return NeighborList(
        edge_index=edge_index,
        shifts=shifts,
        cutoff=cutoff,
        skin=skin,
        n_atoms=crystals.n_atoms,
    )
