"""Discrete crystals of one template that a search remembers, and their compositions."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import SoftCrystals


@dataclass
class CrystalRows:
    """B crystals: chemistry, and geometry in the variables of `SoftCrystals`.

    Attributes:
        combination: Charge combination, [B].
        elements: Index Z - 1, [B, n].
        lengths: [B, 3].
        angles: [B, 3].
        displacements: [B, n, 3].
    """

    combination: Tensor
    elements: Tensor
    lengths: Tensor
    angles: Tensor
    displacements: Tensor

    @staticmethod
    def of(soft: SoftCrystals, combination: Tensor, elements: Tensor) -> "CrystalRows":
        """Copies of the candidates as they stand, with these combinations [B] and elements [N]."""
        b = soft.space.n_systems
        return CrystalRows(
            combination=combination.clone(),
            elements=elements.view(b, -1).clone(),
            lengths=soft.lengths.detach().clone(),
            angles=soft.angles.detach().clone(),
            displacements=soft.displacements.detach().view(b, -1, 3).clone(),
        )

    def take(self, rows: Tensor, other: "CrystalRows", sources: Tensor) -> None:
        """Overwrite some rows ([r] indices) by rows of another, in place."""
        for name, value in vars(self).items():
            value[rows] = getattr(other, name)[sources]

    def place(self, soft: SoftCrystals, rows: Tensor) -> None:
        """Give the candidates of some rows ([r] indices) this geometry, in place."""
        with torch.no_grad():
            soft.lengths[rows] = self.lengths[rows]
            soft.angles[rows] = self.angles[rows]
            displacements = soft.displacements.view(len(self.lengths), -1, 3)
            displacements[rows] = self.displacements[rows]


def composition_keys(elements: Tensor) -> list[str]:
    """A short text for each composition of crystals of one size, [B, n]; the same if they are."""
    counts = torch.zeros(len(elements), N_ELEMENTS, dtype=torch.int64, device=elements.device)
    counts.scatter_add_(1, elements, torch.ones_like(elements))
    return [composition_key(row) for row in counts.cpu().tolist()]


def composition_key(counts: Sequence[int]) -> str:
    """The text for atoms of each element, [E]."""
    packed = b"".join(count.to_bytes(4, "little") for count in counts)
    return blake2b(packed, digest_size=12).hexdigest()
