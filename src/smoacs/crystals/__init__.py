"""Batches of crystals, their neighbour lists, and crystals as differentiable variables."""

from smoacs.crystals.chunks import ATOMS_AT_ONCE, chunk_systems
from smoacs.crystals.crystals import Crystals
from smoacs.crystals.neighbors import NeighborList, neighbor_list
from smoacs.crystals.soft import DesignSpace, SoftCrystals, cell_from_parameters

__all__ = [
    "ATOMS_AT_ONCE",
    "Crystals",
    "DesignSpace",
    "NeighborList",
    "SoftCrystals",
    "cell_from_parameters",
    "chunk_systems",
    "neighbor_list",
]
