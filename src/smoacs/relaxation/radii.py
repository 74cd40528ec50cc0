"""Lattice lengths that ionic radii ask for, where a relaxation starts."""

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals
from smoacs.predictors.descriptors import mean_radii


def radius_length(crystals: Crystals) -> Tensor | None:
    """Lattice length (Å) of a cubic ABX3 perovskite of touching ions, [B]; None without radii.

    The mean of what the B-X contact and the A-X contact ask for: 2 (r_B + r_X) and
    √2 (r_A + r_X), the two lengths whose ratio is Goldschmidt's tolerance factor.
    """
    if crystals.ionic_radii is None or crystals.site_roles is None:
        return None
    a, b, x = mean_radii(crystals)
    return 0.5 * (2 * (b + x) + 2**0.5 * (a + x))


def start_at_radii(soft: SoftCrystals, temperature: float, repeat: int) -> None:
    """Set all lengths to what the ions' expected radii ask for, in place."""
    with torch.no_grad():
        length = radius_length(soft.crystals(temperature))
        if length is not None:
            soft.lengths.copy_((repeat * length / soft.length_unit)[:, None].expand(-1, 3))


def scale_to_radii(soft: SoftCrystals, combination: Tensor, before: Tensor, after: Tensor) -> None:
    """Scale lengths by what a change of elements ([N] to [N]) does to the ions' sizes, in place."""
    with torch.no_grad():
        old = radius_length(soft.hard_crystals(combination, before))
        new = radius_length(soft.hard_crystals(combination, after))
        if old is not None and new is not None:
            soft.lengths.mul_((new / old)[:, None])
            soft.project()
