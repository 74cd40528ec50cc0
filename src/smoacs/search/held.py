"""Sites that must not move: whatever pulls at their atoms, something holds them there."""

import torch
from torch import Tensor

from smoacs.templates import Template


def held_sites(template: Template) -> Tensor | None:
    """Sites whose coordinates are all frozen, [n]; None if there are none."""
    held = torch.tensor((template.coord_box == 0.0).all(axis=1))
    return held if held.any() else None


def without_held(frac_grad: Tensor, held: Tensor | None) -> Tensor:
    """The gradient of the energy by frac_coords, [b·n, 3], without its part on held sites, [n]."""
    if held is None:
        return frac_grad
    sites = held.to(frac_grad.device).repeat(len(frac_grad) // len(held))
    return frac_grad.masked_fill(sites[:, None], 0.0)
