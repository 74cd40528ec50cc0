"""Lattice lengths and angles, metric tensors and lattice vectors of many cells."""

import torch
from jaxtyping import Float
from torch import Tensor

PAIRS = ((1, 2), (0, 2), (0, 1))
"""Axes that each angle lies between."""


def cosines(angles: Tensor) -> Tensor:
    """Cosines of angles in degrees; exactly 0 at 90°, with the cosine's slope."""
    cos = torch.cos(torch.deg2rad(angles))
    return torch.where(angles == 90.0, cos - cos.detach(), cos)  # noqa: PLR2004


def relative_volume(cos: Float[Tensor, "systems 3"]) -> Float[Tensor, " systems"]:
    """Square of the volume over abc, by the cosines of the angles; 1 if rectangular."""
    a, b, c = cos.unbind(1)
    return 1 - (cos * cos).sum(1) + 2 * a * b * c


def metric_tensors(
    lengths: Float[Tensor, "systems 3"], angles: Float[Tensor, "systems 3"]
) -> Float[Tensor, "systems 3 3"]:
    """Scalar products of lattice vectors, Å², of lengths (Å) and angles (degrees)."""
    alpha, beta, gamma = cosines(angles).unbind(1)
    one = torch.ones_like(alpha)
    rows = [one, gamma, beta, gamma, one, alpha, beta, alpha, one]
    metric = torch.stack(rows, 1).view(-1, 3, 3)
    return metric * lengths[:, :, None] * lengths[:, None, :]


def cell_parameters(
    metric: Float[Tensor, "systems 3 3"],
) -> tuple[Float[Tensor, "systems 3"], Float[Tensor, "systems 3"]]:
    """Lengths (Å) and angles (degrees) of metric tensors; exactly 90° at a cosine of 0."""
    lengths = torch.diagonal(metric, dim1=1, dim2=2).sqrt()
    cosine = metric / (lengths[:, :, None] * lengths[:, None, :])
    of_angles = torch.stack([cosine[:, i, j] for i, j in PAIRS], 1).clamp(-1.0, 1.0)
    angles = torch.rad2deg(torch.acos(of_angles))
    return lengths, torch.where(of_angles == 0, 90.0, angles)


def cell_from_parameters(
    lengths: Float[Tensor, "systems 3"], angles: Float[Tensor, "systems 3"]
) -> Float[Tensor, "systems 3 3"]:
    """Lattice vectors as rows, Å, [B, 3, 3]: a along x, b in the xy plane.

    Args:
        lengths: a, b, c in Å, [B, 3].
        angles: α, β, γ in degrees, [B, 3], of cells that have a volume.
    """
    return directions(angles) * lengths.unsqueeze(2)


def directions(angles: Float[Tensor, "systems 3"]) -> Float[Tensor, "systems 3 3"]:
    """Lattice vectors of length 1 as rows, as `cell_from_parameters` turns them."""
    cos = cosines(angles)
    ca, cb, cg = cos.unbind(1)
    sg = torch.sin(torch.deg2rad(angles[:, 2]))
    zero, one = torch.zeros_like(sg), torch.ones_like(sg)
    cy = (ca - cb * cg) / sg
    cz = torch.sqrt(relative_volume(cos)) / sg
    rows = torch.stack([one, zero, zero, cg, sg, zero, cb, cy, cz], 1)
    return rows.view(-1, 3, 3)
