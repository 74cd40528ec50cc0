"""Neighbour lists: a value of its own that knows when it is stale.

The list is a half list: each pair of atoms closer than the cutoff (periodic images included) once.
Crystals of a batch never share edges.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from smoacs.crystals.crystals import Crystals
from smoacs.crystals.pair_search import close_pairs, has_volume, volumes_and_heights


@dataclass(frozen=True)
class NeighborList:
    """Pairs of neighbouring atoms, M edges.

    Attributes:
        edge_index: Atoms i <= j of each edge, sorted by (i, j), shape [2, M].
        shifts: Whole lattice vectors from i's cell to j's image, shape [M, 3]; the edge's vector is
            (frac_coords[j] + shifts - frac_coords[i]) @ cell.
        cutoff: Distance (Å) up to which the list is complete while it is not stale.
        skin: Extra distance (Å) up to which edges were collected.
        frac_coords: Fractional coordinates when the list was built, shape [N, 3].
        cell: Cells when the list was built, Å, shape [B, 3, 3].
    """

    edge_index: Int[Tensor, "2 edges"]
    shifts: Int[Tensor, "edges 3"]
    cutoff: float
    skin: float
    frac_coords: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "systems 3 3"]

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
        n_atoms = len(self.frac_coords)
        numbers, pair = torch.unique_consecutive(i * n_atoms + j, return_inverse=True)
        if len(numbers) == self.n_edges:  # in a large cell, every edge joins a pair of its own
            return self.edge_index, pair
        return torch.stack([numbers // n_atoms, numbers % n_atoms]), pair

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
        return replace(
            self,
            edge_index=self.edge_index.to(device),
            shifts=self.shifts.to(device),
            frac_coords=self.frac_coords.to(device),
            cell=self.cell.to(device),
        )

    def full(self) -> tuple[Int[Tensor, "2 directed"], Int[Tensor, "directed 3"]]:
        """Both directions of every edge: edge_index [2, 2M] and shifts [2M, 3]."""
        return (
            torch.cat([self.edge_index, self.edge_index.flip(0)], dim=1),
            torch.cat([self.shifts, -self.shifts]),
        )

    def stale_systems(self, crystals: Crystals) -> Bool[Tensor, " systems"]:
        """Whether a pair may have come within the cutoff unseen, shape [B].

        A crystal that is deformed by F (cell_now = cell_then @ F) and whose atoms then move by at
        most u brings no pair closer than sigma_min(F) * d - 2 u. The bound is exact, not a guess.
        A crystal whose cell is or was not finite, or was flat, is stale.
        """
        with torch.no_grad():
            then, now = self.cell.double(), crystals.cell.double()
            usable = has_volume(volumes_and_heights(then)[0]) & now.isfinite().all(2).all(1)
            then, now = (
                torch.where(usable[:, None, None], c, torch.eye(3).to(c)) for c in (then, now)
            )
            sigma = torch.linalg.svdvals(torch.linalg.solve(then, now))[:, -1]
            moved = (crystals.frac_coords - self.frac_coords).double()
            step = (moved.unsqueeze(1) @ now[crystals.system_idx]).squeeze(1)
            farthest = torch.zeros_like(sigma)
            farthest.scatter_reduce_(0, crystals.system_idx, step.norm(dim=1), "amax")
            safe = sigma * (self.cutoff + self.skin) - 2 * farthest >= self.cutoff
            stale: Tensor = ~(usable & safe)
            return stale

    def is_stale(self, crystals: Crystals) -> bool:
        """Whether any crystal of the batch needs a new list."""
        return bool(self.stale_systems(crystals).any())


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
        frac_coords=crystals.frac_coords.detach().clone(),
        cell=crystals.cell.detach().clone(),
    )
