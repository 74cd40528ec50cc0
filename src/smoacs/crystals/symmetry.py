"""The symmetry of templates as tensors: what lattice and displacements are projected on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from smoacs.templates import Template

_HALVINGS = 24
"""Most halvings of the way of a lattice to its template's."""

_LEEWAY = 1 + 1e-6
"""Factor by which symmetric lattices may pass their bounds before these cut them."""

Parameters = tuple[Float[Tensor, "systems 3"], Float[Tensor, "systems 3"]]
"""Lattice lengths (Å) and angles (degrees)."""


@dataclass(frozen=True)
class SpaceSymmetry:
    """Ties of lattice and sites of B candidates with N sites; see `TemplateSymmetry`.

    Attributes:
        metric_mean: Takes a flattened metric tensor to its invariant part, [B, 9, 9].
        orbits: A site's representative among all sites of the batch, [N].
        gather: [N, 3, 3].
        scatter: [N, 3, 3].
    """

    metric_mean: Float[Tensor, "systems 9 9"]
    orbits: Int[Tensor, " sites"]
    gather: Float[Tensor, "sites 3 3"]
    scatter: Float[Tensor, "sites 3 3"]

    @staticmethod
    def from_templates(
        templates: Sequence[Template], device: torch.device | str
    ) -> "SpaceSymmetry | None":
        """Symmetry of candidates side by side; None if no template has any."""
        if all(template.symmetry is None for template in templates):
            return None
        means, orbits, gather, scatter = [], [], [], []
        begin = 0
        for template in templates:
            n, symmetry = template.n_sites, template.symmetry
            rotations = np.eye(3)[None] if symmetry is None else symmetry.rotations
            # vec(Rᵀ G R) = (Rᵀ ⊗ Rᵀ) vec(G), flattened row by row
            kron = np.einsum("gki,glj->gijkl", rotations, rotations)
            means.append(kron.mean(0).reshape(9, 9))
            if symmetry is not None and symmetry.ties_sites:
                orbits.append(begin + symmetry.orbits)
                gather.append(symmetry.gather)
                scatter.append(symmetry.scatter)
            else:
                orbits.append(begin + np.arange(n))
                gather.append(np.tile(np.eye(3), (n, 1, 1)))
                scatter.append(gather[-1])
            begin += n
        return SpaceSymmetry(
            metric_mean=torch.as_tensor(np.stack(means), device=device),
            orbits=torch.as_tensor(np.concatenate(orbits), device=device),
            gather=torch.as_tensor(np.concatenate(gather), device=device),
            scatter=torch.as_tensor(np.concatenate(scatter), device=device),
        )

    def cpu(self) -> "SpaceSymmetry":
        """The same, on the CPU."""
        return SpaceSymmetry(
            self.metric_mean.cpu(), self.orbits.cpu(), self.gather.cpu(), self.scatter.cpu()
        )

    def invariant_metric(
        self, metric: Float[Tensor, "systems 3 3"]
    ) -> Float[Tensor, "systems 3 3"]:
        """Part of metric tensors that keeps the symmetry."""
        flat = torch.einsum("bij,bj->bi", self.metric_mean, metric.flatten(1))
        return flat.view(-1, 3, 3)

    def cells(
        self,
        wanted: Parameters,
        start: Parameters,
        length_bounds: Float[Tensor, "systems 2 3"],
        angle_bounds: Float[Tensor, "systems 2 3"],
    ) -> Parameters:
        """Cells that keep symmetry and bounds, near those wanted, in double precision.

        Where the symmetric part of a cell leaves its bounds, it goes half the way to the start, as
        often as it takes.

        Args:
            wanted: Any cells.
            start: Cells that keep symmetry and bounds.
            length_bounds: Å.
            angle_bounds: Degrees.
        """
        (low, high), (narrow, wide) = (
            bounds.double().unbind(1) for bounds in (length_bounds, angle_bounds)
        )
        begin, end = (
            self.invariant_metric(metric_tensors(lengths.double(), angles.double()))
            for lengths, angles in (start, wanted)
        )
        share = torch.ones_like(low[:, 0])
        for _ in range(_HALVINGS):
            lengths, angles = parameters_of(begin + share[:, None, None] * (end - begin))
            inside = (lengths <= high * _LEEWAY) & (lengths * _LEEWAY >= low)
            inside &= (angles <= wide * _LEEWAY) & (angles * _LEEWAY >= narrow)
            if inside.all():
                break
            share = torch.where(inside.all(1), share, 0.5 * share)
        return lengths.clamp(low, high), angles.clamp(narrow, wide)

    def invariant_displacements(
        self, displacements: Float[Tensor, "sites 3"], box: Float[Tensor, "sites 3"]
    ) -> Float[Tensor, "sites 3"]:
        """Part of fractional displacements that keeps the symmetry, shrunk into the box.

        Equivalent sites shrink by one factor, so that they stay equivalent.

        Args:
            displacements: From the template's coordinates.
            box: Half-width of the allowed displacement.
        """
        shares = torch.einsum("nij,nj->ni", self.gather.to(displacements), displacements)
        total = torch.zeros_like(displacements).index_add(0, self.orbits, shares)
        moved = torch.einsum("nij,nj->ni", self.scatter.to(displacements), total[self.orbits])
        excess = torch.where(moved == 0, 0.0, moved.abs() / box).amax(1)
        worst = torch.zeros_like(excess).scatter_reduce(0, self.orbits, excess, "amax")
        return moved / worst[self.orbits].clamp(min=1.0)[:, None]


def metric_tensors(
    lengths: Float[Tensor, "systems 3"], angles: Float[Tensor, "systems 3"]
) -> Float[Tensor, "systems 3 3"]:
    """Scalar products of lattice vectors, of lengths (Å) and angles (degrees)."""
    alpha, beta, gamma = torch.cos(torch.deg2rad(angles)).unbind(1)
    one = torch.ones_like(alpha)
    rows = [one, gamma, beta, gamma, one, alpha, beta, alpha, one]
    metric = torch.stack(rows, 1).view(-1, 3, 3)
    return metric * lengths[:, :, None] * lengths[:, None, :]


def parameters_of(
    metric: Float[Tensor, "systems 3 3"],
) -> tuple[Float[Tensor, "systems 3"], Float[Tensor, "systems 3"]]:
    """Lengths (Å) and angles (degrees) of metric tensors."""
    lengths = torch.diagonal(metric, dim1=1, dim2=2).sqrt()
    cosine = metric / (lengths[:, :, None] * lengths[:, None, :])
    cosines = torch.stack([cosine[:, 1, 2], cosine[:, 0, 2], cosine[:, 0, 1]], 1)
    return lengths, torch.rad2deg(torch.acos(cosines.clamp(-1.0, 1.0)))
