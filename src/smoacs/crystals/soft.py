"""Crystals as differentiable variables (arXiv:2410.08562, section 3).

A candidate is described by lattice lengths and angles, coordinates, scores of elements for each
site, and scores of the neutral combinations of oxidation numbers. Under a combination, a site may
only hold elements that take its oxidation number, so whatever the scores say, the discrete crystal
is neutral.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals.crystals import Crystals
from smoacs.crystals.mixture import mixture_of_elements
from smoacs.crystals.symmetry import SpaceSymmetry
from smoacs.templates import Template

MIN_ANGLE_FACTOR = 0.05
"""Lattice angles keep 1 - cos²α - cos²β - cos²γ + 2 cosα cosβ cosγ (the square of the cell's volume
over abc) above this, so a cell is never flat."""


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
    symmetry: SpaceSymmetry | None = None

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
        return _directions(self.angle_bounds[:, 0])

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
            symmetry=SpaceSymmetry.from_templates(templates, device),
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


@dataclass(frozen=True)
class SoftCrystals:
    """The variables of a batch of candidates; leaves that an optimiser moves in place.

    Attributes:
        space: Where the candidates may go.
        lengths: Lattice lengths over the longest starting length of the batch, [B, 3].
        angles: Lattice angles, scaled so that 0 is the lower and 1 the upper bound, [B, 3].
        displacements: Fractional displacements from the template's coordinates, [N, 3].
        element_scores: P, [N, E].
        combination_scores: w, [B, K].
        length_unit: Å per unit of `lengths`: the longest starting length of the batch.
    """

    space: DesignSpace
    lengths: Float[Tensor, "systems 3"]
    angles: Float[Tensor, "systems 3"]
    displacements: Float[Tensor, "sites 3"]
    element_scores: Float[Tensor, "sites 98"]
    combination_scores: Float[Tensor, "systems combinations"]
    length_unit: float

    @staticmethod
    def start(
        space: DesignSpace,
        generator: torch.Generator,
        *,
        score_noise: float = 0.0,
        combination_noise: float = 0.0,
    ) -> "SoftCrystals":
        """Candidates at the template, lengths drawn uniformly where the template asks for it.

        Element scores start at 1/E and combination scores at 1, plus normal noise of the given
        standard deviations.
        """
        low, high = space.length_bounds.unbind(1)
        drawn = low + (high - low) * torch.rand(low.shape, generator=generator).to(low)
        lengths = torch.where(space.random_lengths[:, None], drawn, space.lengths)
        unit = float(lengths.max())
        span = space.angle_bounds[:, 1] - space.angle_bounds[:, 0]
        angles = (space.angles - space.angle_bounds[:, 0]) / span.clamp(min=1e-6)
        scores_shape = (space.frac_coords.shape[0], N_ELEMENTS)
        scores = score_noise * torch.randn(scores_shape, generator=generator)
        weights = combination_noise * torch.randn(
            tuple(space.combination_used.shape), generator=generator
        )
        return SoftCrystals(
            space=space,
            lengths=(lengths / unit).requires_grad_(),
            angles=angles.clone().requires_grad_(),
            displacements=torch.zeros_like(space.frac_coords).requires_grad_(),
            element_scores=(1.0 / N_ELEMENTS + scores.to(lengths)).requires_grad_(),
            combination_scores=(1.0 + weights.to(lengths)).requires_grad_(),
            length_unit=unit,
        )

    def cell_parameters(self) -> tuple[Float[Tensor, "systems 3"], Float[Tensor, "systems 3"]]:
        """Lattice lengths (Å) and angles (degrees), each [B, 3]."""
        lengths = self.lengths * self.length_unit
        low, high = self.space.angle_bounds.unbind(1)
        if not self.space.angles_vary:
            return lengths, low
        return lengths, low + (high - low) * self.angles

    def element_probs(
        self, temperature: float, *, second_softmax: bool = False
    ) -> tuple[Float[Tensor, "sites 98"], Float[Tensor, " sites"] | None]:
        """Element distribution of each site, [N, E], and its expected ionic radius, Å, [N].

        A forbidden element has probability exactly 0, and its score gradient exactly 0.

        Args:
            temperature: T of the softmaxes.
            second_softmax: Sharpen the mixture over combinations by one more softmax, as the paper
                does; else the mixture itself is the distribution.
        """
        space = self.space
        weights = (self.combination_scores / temperature).masked_fill(
            ~space.combination_used, -torch.inf
        )
        v = torch.softmax(weights, dim=1)[space.system_idx]
        scores = self._tied_scores() / temperature
        mixture, radii = mixture_of_elements(scores, space.allowed, v, space.radii)
        if second_softmax:
            possible = (space.allowed & space.combination_used[space.system_idx, :, None]).any(1)
            mixture = torch.softmax(
                (mixture / temperature).masked_fill(~possible, -torch.inf), dim=1
            )
        return mixture, radii

    def crystals(self, temperature: float, *, second_softmax: bool = False) -> Crystals:
        """The soft crystals at one temperature; differentiable in all variables."""
        probs, radii = self.element_probs(temperature, second_softmax=second_softmax)
        return self._with_species(probs, radii)

    def hard_crystals(
        self, combination: Int[Tensor, " systems"], elements: Int[Tensor, " sites"]
    ) -> Crystals:
        """One-hot crystals with the given combination [B] and elements [N] (int64)."""
        probs = torch.nn.functional.one_hot(elements, N_ELEMENTS).to(self.lengths)
        return self._with_species(probs, self.radii_of(combination, elements))

    def radii_of(self, combination: Tensor, elements: Tensor) -> Tensor | None:
        """Ionic radius of each site's element under the candidate's combination, Å, [N]."""
        if self.space.radii is None:
            return None
        site = torch.arange(len(elements), device=elements.device)
        return self.space.radii[site, combination[self.space.system_idx], elements]

    def discretise(self) -> tuple[Int[Tensor, " systems"], Int[Tensor, " sites"]]:
        """Most probable combination of each candidate [B], then the best element of each site [N].

        The combination comes first: taking the best element of the mixture could mix two
        combinations and break neutrality.
        """
        with torch.no_grad():
            used = self.space.combination_used
            combination = self.combination_scores.masked_fill(~used, -torch.inf).argmax(1)
            allowed = self.allowed_under(combination)
            return combination, self._tied_scores().masked_fill(~allowed, -torch.inf).argmax(1)

    def allowed_under(self, combination: Int[Tensor, " systems"]) -> Bool[Tensor, "sites 98"]:
        """Elements that each site may hold under its candidate's combination, [N, E]."""
        site = torch.arange(len(self.space.system_idx), device=combination.device)
        return self.space.allowed[site, combination[self.space.system_idx]]

    def copy_systems(self, source: Tensor) -> None:
        """Overwrite each candidate by candidate source[b] ([B]), in place; all of one size.

        What the candidate may hold is copied, too.
        """
        n = self.space.n_systems
        of_systems = [self.lengths, self.angles, self.combination_scores]
        of_sites = [self.displacements, self.element_scores]
        if self.space.individual:
            of_systems.append(self.space.combination_used)
            of_sites.append(self.space.allowed)
        with torch.no_grad():
            for tensor in of_systems:
                tensor.copy_(tensor[source])
            for tensor in of_sites:
                rows = tensor.view(n, -1, *tensor.shape[1:])
                rows.copy_(rows[source])

    def project(self) -> None:
        """Moves lattice and coordinates back into their bounds, in place and outside the graph."""
        with torch.no_grad():
            self.lengths.clamp_(*(self.space.length_bounds / self.length_unit).unbind(1))
            self.angles.clamp_(0.0, 1.0)
            if self.space.angles_vary:
                self._open_flat_cells()
            box = self.space.coord_box
            self.displacements.clamp_(-box, box)
            if self.space.symmetry is not None:
                self._symmetrise(self.space.symmetry)

    def _symmetrise(self, symmetry: SpaceSymmetry) -> None:
        """Projects lattice and displacements on what keeps the symmetry, within their bounds."""
        space = self.space
        lengths, angles = symmetry.cells(
            self.cell_parameters(),
            (space.lengths, space.angles),
            space.length_bounds,
            space.angle_bounds,
        )
        low, high = space.angle_bounds.double().unbind(1)
        scaled = (angles - low) / (high - low).clamp(min=1e-6)
        self.lengths.copy_(lengths / self.length_unit)
        self.angles.copy_(torch.where(high > low, scaled, 0.0))
        self.displacements.copy_(
            symmetry.invariant_displacements(self.displacements.double(), space.coord_box)
        )

    def _tied_scores(self) -> Tensor:
        """Element scores of each site, tied sites alike, [N, E]."""
        tied_to = self.space.tied_to
        return self.element_scores if tied_to is None else self.element_scores[tied_to]

    def _open_flat_cells(self) -> None:
        """Halves the way from the template's angles until each cell has volume."""
        low, high = self.space.angle_bounds.unbind(1)
        for _ in range(20):
            flat = angle_factor(low + (high - low) * self.angles) < MIN_ANGLE_FACTOR
            if not flat.any():
                return
            start = (self.space.angles - low) / (high - low).clamp(min=1e-6)
            half = 0.5 * (self.angles + start)
            self.angles.copy_(torch.where(flat[:, None], half, self.angles))

    def _with_species(self, probs: Tensor, radii: Tensor | None) -> Crystals:
        lengths, angles = self.cell_parameters()
        directions = _directions(angles) if self.space.angles_vary else self.space.directions
        return Crystals(
            species_probs=probs,
            frac_coords=self.space.frac_coords + self.displacements,
            cell=directions * lengths.unsqueeze(2),
            system_idx=self.space.system_idx,
            ionic_radii=radii,
            site_roles=None if radii is None else self.space.roles,
        )


def _ties(templates: Sequence[Template], device: torch.device | str) -> Tensor | None:
    """Site whose element each site takes, [N]; None if no template has tied sites."""
    if all(t.tied_to is None for t in templates):
        return None
    first = np.cumsum([0, *(t.n_sites for t in templates[:-1])])
    ties = [np.arange(t.n_sites) if t.tied_to is None else t.tied_to for t in templates]
    both = [start + tie for start, tie in zip(first, ties, strict=True)]
    return torch.as_tensor(np.concatenate(both), device=device)


def angle_factor(angles: Float[Tensor, "systems 3"]) -> Float[Tensor, " systems"]:
    """Square of the volume over abc, [B], of cells with the given angles (degrees, [B, 3])."""
    return _factor_of_cosines(_cosines(angles))


def _factor_of_cosines(cos: Tensor) -> Tensor:
    """`angle_factor`, [B], from the angles' cosines, [B, 3]."""
    a, b, c = cos.unbind(1)
    return 1 - (cos * cos).sum(1) + 2 * a * b * c


def _cosines(angles: Tensor) -> Tensor:
    """Cosines of angles in degrees; exactly 0 at 90°, with the cosine's slope."""
    cos = torch.cos(torch.deg2rad(angles))
    return torch.where(angles == 90.0, cos - cos.detach(), cos)  # noqa: PLR2004


def cell_from_parameters(
    lengths: Float[Tensor, "systems 3"], angles: Float[Tensor, "systems 3"]
) -> Float[Tensor, "systems 3 3"]:
    """Lattice vectors as rows, Å, [B, 3, 3]: a along x, b in the xy plane.

    Args:
        lengths: a, b, c in Å, [B, 3].
        angles: α, β, γ in degrees, [B, 3], with a positive `angle_factor`.
    """
    return _directions(angles) * lengths.unsqueeze(2)


def _directions(angles: Tensor) -> Tensor:
    """Lattice vectors of length 1 as rows, [B, 3, 3], as `cell_from_parameters` turns them."""
    cos = _cosines(angles)
    ca, cb, cg = cos.unbind(1)
    sg = torch.sin(torch.deg2rad(angles[:, 2]))
    zero, one = torch.zeros_like(sg), torch.ones_like(sg)
    cy = (ca - cb * cg) / sg
    cz = torch.sqrt(_factor_of_cosines(cos)) / sg
    directions = torch.stack([one, zero, zero, cg, sg, zero, cb, cy, cz], 1)
    return directions.view(-1, 3, 3)
