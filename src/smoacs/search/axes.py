"""Which lattice lengths symmetry keeps equal, for each choice of elements on a template."""

import warnings

import numpy as np
import spglib
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.templates import Template

SYMPREC = 1e-3

MOST_SITES = 300
"""In larger cells sites that choose their own elements leave no symmetry worth looking for."""


class AxisSymmetry:
    """Symmetries of a template that exchange its lattice vectors.

    A perovskite is cubic only if its three X sites hold one element; with two on one element it is
    tetragonal, and two axes stay equal.
    """

    def __init__(self, template: Template) -> None:
        """Find the symmetries, by spglib, of the template with one element per site kind.

        None are needed where the design space keeps the template's space group by itself.
        """
        self._permutations: list[Tensor] = []
        self._axes: list[Tensor] = []
        kept = template.symmetry is not None and template.symmetry.ties_sites
        if kept or template.n_sites > MOST_SITES:
            return
        lattice = template.to_structure().lattice.matrix
        kinds = sorted(set(template.site_labels))
        numbers = [kinds.index(label) for label in template.site_labels]
        cell = (lattice.tolist(), template.frac_coords.tolist(), numbers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # spglib, on its own error handling
            found = spglib.get_symmetry(cell, symprec=SYMPREC)
        images: dict[bytes, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}
        if found is not None:
            for rotation, shift in zip(found["rotations"], found["translations"], strict=True):
                if _exchanges_axes(rotation):
                    permutation = _permutation(template.frac_coords, rotation, shift)
                    axes = np.abs(rotation) == 1
                    images.setdefault(permutation.tobytes() + axes.tobytes(), (permutation, axes))
        self._permutations = [torch.as_tensor(p) for p, _ in images.values()]
        self._axes = [torch.as_tensor(a) for _, a in images.values()]

    def shares(self, elements: Tensor) -> Tensor:
        """Weights that average each axis over those equal to it, [B, 3, 3].

        Args:
            elements: Element of each site of B crystals, [B, n].
        """
        tied = torch.eye(3, dtype=torch.bool, device=elements.device).repeat(len(elements), 1, 1)
        for permutation, axes in zip(self._permutations, self._axes, strict=True):
            same = (elements[:, permutation.to(elements.device)] == elements).all(1)
            tied |= same[:, None, None] & axes.to(elements.device)
        weights = tied.float()
        weights = ((weights @ weights) > 0).float()  # equal to an equal one
        return weights / weights.sum(2, keepdim=True)


def _exchanges_axes(rotation: NDArray[np.intc]) -> bool:
    """Whether a rotation maps lattice vectors to others, up to their signs."""
    size = np.abs(rotation)
    is_permutation = (size.sum(0) == 1).all() and (size.sum(1) == 1).all()
    return bool(is_permutation and (np.diag(size) == 0).any())


def _permutation(
    frac: NDArray[np.float64], rotation: NDArray[np.intc], shift: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Site to which a symmetry brings each site, [n]."""
    moved = frac @ rotation.T + shift
    difference = moved[:, None] - frac[None]
    difference -= np.round(difference)
    permutation: NDArray[np.int64] = np.abs(difference).max(2).argmin(1)
    return permutation
