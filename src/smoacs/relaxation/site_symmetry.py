"""Space-group symmetries of a template: how they permute its sites, and what they do to a cell."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.templates import Template
from smoacs.templates.symmetry import kind_symmetry

MOST_SITES = 300
"""Larger cells have thousands of symmetries, too many to go through one by one."""


@dataclass(frozen=True, eq=False)
class SiteSymmetry:
    """The G symmetries of a template with one element on each kind of site.

    Attributes:
        permutations: Site to which each symmetry brings each site, [G, n].
        rotations: Rotation of fractional (column) coordinates, [G, 3, 3].
    """

    permutations: NDArray[np.int64]
    rotations: NDArray[np.float64]

    @staticmethod
    def of(template: Template) -> "SiteSymmetry":
        """Find the symmetries by spglib; the identity where it finds none, or in large cells."""
        if template.n_sites > MOST_SITES:
            return SiteSymmetry(np.arange(template.n_sites)[None], np.eye(3)[None])
        found = kind_symmetry(template)
        if found is None:
            return SiteSymmetry(np.arange(template.n_sites)[None], np.eye(3)[None])
        rotations = np.asarray(found.rotations, dtype=float)
        moved = np.einsum("gij,nj->gni", rotations, template.frac_coords)
        moved += np.asarray(found.translations)[:, None]
        return SiteSymmetry(
            np.stack([_nearest(sites, template.frac_coords) for sites in moved]), rotations
        )

    @property
    def distinct_permutations(self) -> NDArray[np.int64]:
        """The permutations, each once, [P, n]."""
        return np.unique(self.permutations, axis=0)

    def kept_by(self, elements: Tensor) -> Tensor:
        """Weight of each symmetry in the mean over those that decorations keep, [B, G].

        Args:
            elements: Element of each site of B decorations, [B, n].
        """
        permutations = torch.as_tensor(self.permutations, device=elements.device)
        kept = [(elements[:, p] == elements).all(1) for p in permutations]
        weights = torch.stack(kept, 1).double()
        return weights / weights.sum(1, keepdim=True)

    def mean_metric(self, metric: Tensor, weights: Tensor) -> Tensor:
        """Mean of metric tensors (Å², [B, 3, 3]) over symmetries weighted as by `kept_by`."""
        rotations = torch.as_tensor(self.rotations).to(metric)
        turned = torch.einsum("gki,bkl,glj->bgij", rotations, metric, rotations)
        return torch.einsum("bg,bgij->bij", weights.to(metric), turned)

    def mean_displacements(self, displacements: Tensor, weights: Tensor) -> Tensor:
        """Mean of fractional displacements ([B, n, 3]) over symmetries weighted likewise."""
        rotations = torch.as_tensor(self.rotations).to(displacements)
        weights = weights.to(displacements)
        mean = torch.zeros_like(displacements)
        for g, permutation in enumerate(self.permutations):
            turned = displacements @ rotations[g].T
            target = torch.as_tensor(permutation, device=displacements.device)
            mean.index_add_(1, target, weights[:, g, None, None] * turned)
        return mean


def _nearest(moved: NDArray[np.float64], sites: NDArray[np.float64]) -> NDArray[np.int64]:
    """Site on which each moved site lands, [n]."""
    difference = moved[:, None] - sites[None]
    difference -= np.round(difference)
    nearest: NDArray[np.int64] = np.abs(difference).max(2).argmin(1)
    return nearest
