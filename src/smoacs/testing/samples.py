"""Crystals to check predictors with, and the same crystals written down in other ways."""

from typing import Final

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, element_index
from smoacs.crystals import Crystals

STRAIN: Final = 0.03
DISPLACEMENT: Final = 0.1
"""Å."""

_FACES: Final = [(0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)]
_CORNERS: Final = [(0.0, 0.0, 0.0), *_FACES]


def default_crystals(elements: frozenset[str] = frozenset(ELEMENTS)) -> Crystals:
    """Build CaF2, SrTiO3 and NaCl, distorted so that no symmetry is left, in double precision.

    The sites have roles and radii like those of a perovskite's ions.

    Args:
        elements: Symbols that may be used; one of them stands in for each that may not.
    """
    generator = torch.Generator().manual_seed(7)
    fluorite = Lattice(2.73 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    structures = [
        Structure(fluorite, ["Ca", "F", "F"], [[0.0] * 3, [0.25] * 3, [0.75] * 3]),
        Structure(
            Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], [[0.0] * 3, [0.5] * 3, *_FACES]
        ),
        Structure(
            Lattice.cubic(5.64),
            ["Na"] * 4 + ["Cl"] * 4,
            np.concatenate([_CORNERS, np.add(_CORNERS, [0.5, 0.0, 0.0])]),
        ),
    ]
    for structure in structures:
        used = {site.specie.symbol for site in structure}
        structure.replace_species({symbol: min(elements) for symbol in used - elements})
    crystals = Crystals.from_structures(structures)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    strain = STRAIN * normal(len(structures), 3, 3)
    displaced = crystals.positions + DISPLACEMENT * normal(crystals.n_atoms, 3)
    inverse = torch.linalg.inv(crystals.cell)[crystals.system_idx]
    return crystals.replace(
        frac_coords=(displaced.unsqueeze(1) @ inverse).squeeze(1),
        cell=crystals.cell + crystals.cell @ strain,
        ionic_radii=1.1 + 0.2 * torch.tanh(normal(crystals.n_atoms)),
        site_roles=torch.cat([torch.arange(len(structure)) % 3 for structure in structures]),
    )


def take_atoms(crystals: Crystals, order: Tensor) -> Crystals:
    """Put the atoms in another order, [N], in which they are still sorted by crystal."""
    return Crystals(
        species_probs=crystals.species_probs[order],
        frac_coords=crystals.frac_coords[order],
        cell=crystals.cell,
        system_idx=crystals.system_idx[order],
        ionic_radii=None if crystals.ionic_radii is None else crystals.ionic_radii[order],
        site_roles=None if crystals.site_roles is None else crystals.site_roles[order],
    )


def doubled(crystals: Crystals, axis: int) -> Crystals:
    """Two cells of every crystal, side by side along one lattice vector."""
    copies = take_atoms(crystals, torch.arange(crystals.n_atoms).repeat_interleave(2))
    stretch = torch.ones(3).to(crystals.cell)
    stretch[axis] = 2
    shift = torch.zeros_like(copies.frac_coords)
    shift[1::2, axis] = 1
    return copies.replace(
        frac_coords=(copies.frac_coords + shift) / stretch,
        cell=crystals.cell * stretch[:, None],
    )


def softened(crystals: Crystals, elements: frozenset[str], share: float) -> Crystals:
    """Replace a share of every site's species by the even mixture of the elements."""
    even = torch.zeros(N_ELEMENTS).to(crystals.species_probs)
    even[[element_index(e) for e in elements]] = 1 / len(elements)
    return crystals.replace(species_probs=(1 - share) * crystals.species_probs + share * even)
