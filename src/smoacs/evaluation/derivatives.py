"""Pressure and forces from the gradient of the formation energy."""

import torch
from torch import Tensor

from smoacs.crystals import Crystals

GPA = 160.21766208
"""One eV/Å³ in GPa (CODATA 2022)."""

MAX_PRESSURE = 3.0
"""GPa; a crystal at rest has less."""

MAX_FORCE = 0.1
"""eV/Å; a crystal at rest has less on every atom that may move."""


NEGLIGIBLE_FORCE = 0.1 * MAX_FORCE
"""eV/Å. Atoms on symmetric sites feel rounding errors only, which are smaller."""


def is_at_rest(pressure: Tensor, max_force: Tensor) -> Tensor:
    """Whether crystals with these pressures (GPa) and largest forces (eV/Å) are at rest, [B]."""
    rest: Tensor = (pressure.abs() < MAX_PRESSURE) & (max_force < MAX_FORCE)
    return rest


def energy_gradients(energy_per_atom: Tensor, crystals: Crystals) -> tuple[Tensor, Tensor]:
    """Gradients of the cells' energies (eV) by frac_coords [N, 3] and cell [B, 3, 3].

    Args:
        energy_per_atom: Computed from `crystals`, eV/atom, [B]; its graph is kept.
        crystals: Their frac_coords and cell must be leaves that require gradients.
    """
    total = (energy_per_atom * crystals.counts).sum()
    frac, cell = torch.autograd.grad(
        total,
        [crystals.frac_coords, crystals.cell],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return frac, cell


def residuals(
    frac_grad: Tensor, cell_grad: Tensor, crystals: Crystals, fixed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pressure (GPa, positive if the crystal wants to expand) and largest force (eV/Å), each [B].

    Args:
        frac_grad: Gradient of the energy by frac_coords, eV, [N, 3].
        cell_grad: Gradient of the energy by cell at fixed frac_coords, eV/Å, [B, 3, 3].
        crystals: Where the gradients were taken.
        fixed: Atoms that must not move, [N], whose forces are not counted; None if all may.
    """
    cell = crystals.cell.detach()
    pressure = -GPA * (cell * cell_grad).sum((1, 2)) / (3 * crystals.volume.detach())
    largest = torch.zeros_like(pressure)
    forces = force_sizes(frac_grad, crystals)
    if fixed is not None:
        forces = forces.masked_fill(fixed, 0.0)
    largest.scatter_reduce_(0, crystals.system_idx, forces, "amax")
    return pressure, largest


def force_sizes(frac_grad: Tensor, crystals: Crystals) -> Tensor:
    """Size of the force on each atom, eV/Å, [N], from the energy's gradient by frac_coords."""
    inverse = torch.linalg.inv(crystals.cell.detach())[crystals.system_idx]
    sizes: Tensor = torch.einsum("nij,nj->ni", inverse, frac_grad).norm(dim=1)
    return sizes
