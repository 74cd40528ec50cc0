"""Runs of crystals that are evaluated together."""

import torch
from torch import Tensor


def chunk_systems(counts: Tensor, atoms_per_chunk: int) -> list[Tensor]:
    """Split B crystals with `counts` atoms [B] into runs of about `atoms_per_chunk` atoms.

    Returns:
        Indices of the crystals of each chunk; every crystal once, in order.
    """
    systems = torch.arange(len(counts), device=counts.device)
    if len(counts) == 1:
        return [systems]
    before = torch.cumsum(counts, 0) - counts
    sizes = torch.unique_consecutive(before // atoms_per_chunk, return_counts=True)[1]
    return list(systems.split(sizes.tolist()))
