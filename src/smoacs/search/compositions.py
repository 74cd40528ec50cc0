"""Compositions as short texts, to tell whether two crystals have the same one."""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS


def composition_keys(elements: Tensor) -> list[str]:
    """A short text for each composition of crystals of one size, [B, n]; the same if they are."""
    counts = torch.zeros(len(elements), N_ELEMENTS, dtype=torch.int64, device=elements.device)
    counts.scatter_add_(1, elements, torch.ones_like(elements))
    return [composition_key(row) for row in counts.cpu().tolist()]


def composition_key(counts: Sequence[int]) -> str:
    """The text for atoms of each element, [E]."""
    packed = b"".join(count.to_bytes(4, "little") for count in counts)
    return blake2b(packed, digest_size=12).hexdigest()
