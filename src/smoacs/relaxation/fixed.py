"""Atoms and cells that keep their place in a relaxation, as in VASP's selective dynamics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from smoacs.crystals import Crystals
from smoacs.structures import SELECTIVE_DYNAMICS


@dataclass(frozen=True)
class Fixed:
    """What does not move in a relaxation of B crystals with N atoms in all.

    Attributes:
        directions: Whether an atom is fixed along each of the three lattice vectors, [N, 3]; VASP's
            selective dynamics are the negation of this.
        cells: Whether a crystal's cell is fixed, [B].
    """

    directions: Bool[Tensor, "atoms 3"]
    cells: Bool[Tensor, " systems"]

    def allowed(self, crystals: Crystals) -> "tuple[Tensor, Tensor]":
        """What forces may act along.

        Returns:
            For each atom the orthogonal projection of a Cartesian vector onto the lattice vectors
            that the atom may follow, [N, 3, 3], and for each cell 1 if it may move, else 0, [B].
        """
        cell = crystals.cell.detach().double()
        free = cell[crystals.system_idx] * (~self.directions)[:, :, None]
        return torch.linalg.pinv(free) @ free, (~self.cells).to(cell)


def fixed_of(
    structures: Sequence[Structure], *, fix_cell: bool = False, fix_atoms: bool = False
) -> Fixed | None:
    """What the structures themselves, and the two settings, keep in place; None if nothing."""
    atoms = np.concatenate([fixed_directions(s) for s in structures] or [np.zeros((0, 3), bool)])
    if not (fix_cell or fix_atoms or atoms.any()):
        return None
    return Fixed(
        directions=torch.from_numpy(atoms | fix_atoms),
        cells=torch.full((len(structures),), fix_cell),
    )


def fixed_directions(structure: Structure) -> NDArray[np.bool_]:
    """Along which lattice vectors each atom is fixed, [n, 3]."""
    flags = structure.site_properties.get(SELECTIVE_DYNAMICS)
    if flags is None:
        return np.zeros((len(structure), 3), dtype=bool)
    free = [(True,) * 3 if row is None else row for row in flags]  # merged structures have gaps
    return ~np.array(free, dtype=bool).reshape(-1, 3)


def flags_of(
    structure: Structure,
) -> dict[str, Sequence[Sequence[bool] | NDArray[np.bool_] | None]] | None:
    """Site properties that keep what a structure says of its atoms; None if it says nothing."""
    flags = structure.site_properties.get(SELECTIVE_DYNAMICS)
    return None if flags is None else {SELECTIVE_DYNAMICS: flags}
