"""Lattice lengths that ionic radii ask for, where a relaxation starts."""

import torch
from torch import Tensor

from smoacs.crystals import Candidates, Crystals
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


def start_at_radii(candidates: Candidates, crystals: Crystals, repeat: int) -> None:
    """Set all lengths to what the ions' radii ask for, where they are known.

    Args:
        candidates: Those to change.
        crystals: Theirs, soft or real.
        repeat: Unit cells along each edge.
    """
    with torch.no_grad():
        length = radius_length(crystals)
        if length is not None:
            candidates.place((repeat * length)[:, None].expand(-1, 3))


def change_elements(candidates: Candidates, systems: Tensor, elements: Tensor) -> None:
    """Put other elements on the sites of real candidates, whose lengths scale with the ions' sizes.

    Args:
        candidates: Those to change.
        systems: Which of them, [b] indices.
        elements: On their sites, [b, n].
    """
    old = radius_length(candidates.hard().detached())
    candidates.decorate(systems, elements)
    new = radius_length(candidates.hard().detached())
    if old is not None and new is not None:
        candidates.place(candidates.lengths.detach() * (new / old)[:, None])
