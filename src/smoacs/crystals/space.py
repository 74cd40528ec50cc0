"""Where candidates may go: elements, lattices and coordinates, as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from smoacs.crystals.lattice import directions
from smoacs.crystals.symmetry import Invariants, Symmetriser
from smoacs.templates import Template


@dataclass(frozen=True)
class DesignSpace:
    """Where a batch of candidates may go: templates, side by side, as tensors.

    N sites, B candidates, K combinations at most, E = 98 elements.

    Attributes:
        frac_coords: Template coordinates, [N, 3].
        coord_box: Half-width of the allowed displacement, fractional, [N, 3].
        allowed: Elements of each site under each combination, [N, K, E].
        radii: Ionic radius of the element at that site under that combination, Å, [N, K, E]; None
            without roles.
        roles: Role in the tolerance factor, [N].
        combination_used: Which combinations exist for a candidate, [B, K].
        lengths: Template lattice lengths, Å, [B, 3].
        angles: Template angles, degrees, [B, 3].
        length_bounds: Å, [B, 2, 3].
        angle_bounds: Degrees, [B, 2, 3].
        random_lengths: Whether the lengths start uniform within their bounds, [B].
        system_idx: [N].
        tied_to: Site whose element each site takes, [N]; None if no sites are tied.
        individual: Whether candidates differ in what they allow.
        symmetry: What lattice and displacements are projected on; None if they are free.
    """

    frac_coords: Float[Tensor, "sites 3"]
    coord_box: Float[Tensor, "sites 3"]
    allowed: Bool[Tensor, "sites combinations 98"]
    radii: Float[Tensor, "sites combinations 98"] | None
    roles: Int[Tensor, " sites"]
    combination_used: Bool[Tensor, "systems combinations"]
    lengths: Float[Tensor, "systems 3"]
    angles: Float[Tensor, "systems 3"]
    length_bounds: Float[Tensor, "systems 2 3"]
    angle_bounds: Float[Tensor, "systems 2 3"]
    random_lengths: Bool[Tensor, " systems"]
    system_idx: Int[Tensor, " sites"]
    tied_to: Int[Tensor, " sites"] | None = None
    individual: bool = False
    symmetry: Symmetriser | None = None

    @property
    def n_systems(self) -> int:
        """Number of candidates."""
        return int(self.lengths.shape[0])

    @cached_property
    def angles_vary(self) -> bool:
        """Whether the angles of any candidate may change."""
        low, high = self.angle_bounds.unbind(1)
        return bool((high > low).any())

    @cached_property
    def directions(self) -> Float[Tensor, "systems 3 3"]:
        """Directions of the lattice vectors as rows, [B, 3, 3], if no angles vary."""
        return directions(self.angle_bounds[:, 0])

    @staticmethod
    def from_templates(
        templates: Sequence[Template], device: torch.device | str = "cpu"
    ) -> "DesignSpace":
        """One candidate for each template of the sequence (a template may come many times)."""
        k_max = max(t.n_combinations for t in templates)
        with_radii = all(t.radii is not None for t in templates)

        def floats(arrays: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.concatenate(arrays), dtype=torch.float32, device=device)

        def stacked(arrays: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.stack(arrays), dtype=torch.float32, device=device)

        def per_site(array: np.ndarray) -> np.ndarray:
            """[K, n, E] -> [n, k_max, E]; missing combinations, never used, repeat the first."""
            missing = np.repeat(array[:1], k_max - len(array), axis=0)
            return np.concatenate([array, missing]).transpose(1, 0, 2)

        used = [np.arange(k_max) < t.n_combinations for t in templates]
        sites = [t.n_sites for t in templates]
        radii = [per_site(t.radii) for t in templates if t.radii is not None]
        allowed = np.concatenate([per_site(t.allowed) for t in templates])
        roles = np.concatenate([t.roles for t in templates]).astype(np.int64)
        return DesignSpace(
            frac_coords=floats([t.frac_coords for t in templates]),
            coord_box=floats([t.coord_box for t in templates]),
            allowed=torch.as_tensor(allowed, device=device),
            radii=floats(radii) if with_radii else None,
            roles=torch.as_tensor(roles, device=device),
            combination_used=torch.as_tensor(np.stack(used), device=device),
            lengths=stacked([t.lengths for t in templates]),
            angles=stacked([t.angles for t in templates]),
            length_bounds=stacked([t.length_bounds for t in templates]),
            angle_bounds=stacked([t.angle_bounds for t in templates]),
            random_lengths=torch.tensor([t.random_lengths for t in templates], device=device),
            system_idx=torch.as_tensor(np.repeat(np.arange(len(templates)), sites), device=device),
            symmetry=_symmetry(templates, device),
            tied_to=_ties(templates, device),
        )

    def with_masks(self, masks: Bool[Tensor, "sites 98"]) -> "DesignSpace":
        """The space with each candidate restricted to elements of its own.

        Combinations that leave a site of a candidate without an element are not used by it.

        Args:
            masks: Elements that each site may hold, [N, E]; tied sites alike. Each candidate
                must keep at least one combination.
        """
        allowed = self.allowed & masks[:, None]
        missing = torch.zeros_like(self.combination_used, dtype=torch.int64)
        missing.index_add_(0, self.system_idx, (~allowed.any(2)).long())
        used = self.combination_used & (missing == 0)
        # Combinations out of use keep some element at every site, so that softmax is finite.
        allowed = torch.where(used[self.system_idx, :, None], allowed, self.allowed)
        return replace(self, allowed=allowed, combination_used=used, individual=True)


def _symmetry(templates: Sequence[Template], device: torch.device | str) -> Symmetriser | None:
    """What the templates' own symmetries tie; None if no template has any."""
    if all(template.symmetry is None for template in templates):
        return None
    of_templates = {id(t): Invariants.of_template(t.symmetry) for t in templates}
    counts = torch.tensor([template.n_sites for template in templates], device=device)
    return Symmetriser([of_templates[id(template)] for template in templates], counts)


def _ties(templates: Sequence[Template], device: torch.device | str) -> Tensor | None:
    """Site whose element each site takes, [N]; None if no template has tied sites."""
    if all(t.tied_to is None for t in templates):
        return None
    first = np.cumsum([0, *(t.n_sites for t in templates[:-1])])
    ties = [np.arange(t.n_sites) if t.tied_to is None else t.tied_to for t in templates]
    both = [start + tie for start, tie in zip(first, ties, strict=True)]
    return torch.as_tensor(np.concatenate(both), device=device)
