"""Batches of crystals, their neighbour lists, and crystals as differentiable variables."""

from smoacs.crystals.candidates import Candidates, Snapshot
from smoacs.crystals.crystals import Crystals, chunk_systems
from smoacs.crystals.lattice import cell_from_parameters
from smoacs.crystals.neighbors import NeighborList, neighbor_list
from smoacs.crystals.space import DesignSpace
from smoacs.crystals.symmetry import Invariants, Symmetriser

__all__ = [
    "Candidates",
    "Crystals",
    "DesignSpace",
    "Invariants",
    "NeighborList",
    "Snapshot",
    "Symmetriser",
    "cell_from_parameters",
    "chunk_systems",
    "neighbor_list",
]
