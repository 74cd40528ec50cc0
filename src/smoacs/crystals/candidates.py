"""Crystals as differentiable variables (arXiv:2410.08562, section 3), and then as real ones.

A candidate is described by lattice lengths and angles, coordinates, scores of elements for each
site, and scores of the neutral combinations of oxidation numbers. Under a combination, a site may
only hold elements that take its oxidation number, so whatever the scores say, the real crystal
is neutral. `Candidates` is the only writer of all this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals.crystals import Crystals
from smoacs.crystals.lattice import cosines, directions, relative_volume
from smoacs.crystals.mixture import mixture_of_elements
from smoacs.crystals.space import DesignSpace

MIN_RELATIVE_VOLUME = 0.05
"""Lattice angles keep the square of the cell's volume over abc above this, so that no cell is
flat."""

GEOMETRY = ("lengths", "angles", "displacements")
"""Variables of lattice and coordinates."""


@dataclass
class Snapshot:
    """B real crystals of one size that are remembered: chemistry and geometry.

    Attributes:
        combination: Charge combination, [B].
        elements: Index Z - 1, [B, n].
        lengths: Å, [B, 3].
        angles: Degrees, [B, 3].
        displacements: Fractional, from the template's coordinates, [B, n, 3].
    """

    combination: Int[Tensor, " systems"]
    elements: Int[Tensor, "systems sites"]
    lengths: Float[Tensor, "systems 3"]
    angles: Float[Tensor, "systems 3"]
    displacements: Float[Tensor, "systems sites 3"]

    def take(self, rows: Tensor, other: "Snapshot", sources: Tensor) -> None:
        """Overwrite some rows ([r] indices) by rows of another, in place."""
        for part in fields(self):
            getattr(self, part.name)[rows] = getattr(other, part.name)[sources]


@dataclass(eq=False)
class Candidates:
    """The variables of B candidates with N sites in all, and the elements that they have taken.

    Attributes:
        space: Where the candidates may go.
        lengths: Lattice lengths, Å, [B, 3].
        angles: Lattice angles, degrees, [B, 3].
        displacements: Fractional displacements from the template's coordinates, [N, 3].
        element_scores: P, [N, E].
        combination_scores: w, [B, K].
        combination: Charge combination of each real candidate, [B]; see `harden`.
        elements: Element (Z - 1) of each of its sites, [N].
        length_scale: Longest lattice length at the start, Å; what steps of lengths are shares of.
    """

    space: DesignSpace
    lengths: Float[Tensor, "systems 3"]
    angles: Float[Tensor, "systems 3"]
    displacements: Float[Tensor, "sites 3"]
    element_scores: Float[Tensor, "sites 98"]
    combination_scores: Float[Tensor, "systems combinations"]
    combination: Int[Tensor, " systems"] = field(init=False)
    elements: Int[Tensor, " sites"] = field(init=False)

    length_scale: float = field(init=False)

    def __post_init__(self) -> None:
        index = self.space.system_idx
        self.length_scale = float(self.lengths.detach().max())
        self.combination = torch.zeros(len(self), dtype=torch.int64, device=index.device)
        self.elements = torch.zeros_like(index)

    def __len__(self) -> int:
        """Number of candidates, B."""
        return self.space.n_systems

    @staticmethod
    def start(
        space: DesignSpace,
        generator: torch.Generator,
        *,
        score_noise: float = 0.0,
        combination_noise: float = 0.0,
    ) -> "Candidates":
        """Candidates at the template, lengths drawn uniformly where the template asks for it.

        Element scores start at 1/E and combination scores at 1, plus normal noise of the given
        standard deviations.
        """
        low, high = space.length_bounds.unbind(1)
        drawn = low + (high - low) * torch.rand(low.shape, generator=generator).to(low)
        lengths = torch.where(space.random_lengths[:, None], drawn, space.lengths)
        scores_shape = (space.frac_coords.shape[0], N_ELEMENTS)
        scores = score_noise * torch.randn(scores_shape, generator=generator)
        weights = combination_noise * torch.randn(
            tuple(space.combination_used.shape), generator=generator
        )
        return Candidates(
            space=space,
            lengths=lengths.clone().requires_grad_(),
            angles=space.angles.clone().requires_grad_(),
            displacements=torch.zeros_like(space.frac_coords).requires_grad_(),
            element_scores=(1.0 / N_ELEMENTS + scores.to(lengths)).requires_grad_(),
            combination_scores=(1.0 + weights.to(lengths)).requires_grad_(),
        )

    @staticmethod
    def real(space: DesignSpace, combination: Tensor, elements: Tensor) -> "Candidates":
        """Real candidates, [B] and [B, n], with their template's lattice and coordinates."""
        candidates = Candidates.start(space, torch.Generator())
        candidates.lengths = space.lengths.clone().requires_grad_()
        candidates.combination = combination.to(space.system_idx)
        candidates.elements = elements.flatten().to(space.system_idx)
        return candidates

    @property
    def sites_each(self) -> int:
        """Sites of a candidate, n, where all are of one size."""
        return len(self.displacements) // len(self)

    @property
    def rows(self) -> Int[Tensor, "systems sites"]:
        """Elements of the real candidates, [B, n]."""
        return self.elements.view(len(self), -1)

    @property
    def variables(self) -> dict[str, Tensor]:
        """What an optimiser moves, by name: leaves that require gradients."""
        names = (*GEOMETRY, "element_scores", "combination_scores")
        return {name: getattr(self, name) for name in names}

    @property
    def state(self) -> dict[str, Tensor]:
        """All that changes from step to step, by name, tensors that are written in place."""
        found = {**self.variables, "combination": self.combination, "elements": self.elements}
        if self.space.individual:
            found["allowed"] = self.space.allowed
            found["combination_used"] = self.space.combination_used
        return found

    def with_space(self, space: DesignSpace) -> "Candidates":
        """The same candidates, the same tensors, where other elements are allowed."""
        other = replace(self, space=space)
        other.combination, other.elements = self.combination, self.elements
        other.length_scale = self.length_scale
        return other

    # ---- as crystals

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

    def soft(self, temperature: float, *, second_softmax: bool = False) -> Crystals:
        """The soft crystals at one temperature; differentiable in all variables."""
        probs, radii = self.element_probs(temperature, second_softmax=second_softmax)
        return self._with_species(probs, radii)

    def hard(self, systems: Int[Tensor, " chosen"] | None = None) -> Crystals:
        """The real crystals, one-hot: of all candidates, or of some ([b] indices, ascending)."""
        probs = torch.nn.functional.one_hot(self.elements, N_ELEMENTS).to(self.lengths)
        crystals = self._with_species(probs, self._radii())
        return crystals if systems is None else crystals.select(systems)

    def allowed(self) -> Bool[Tensor, "sites 98"]:
        """Elements that each site may hold under its real candidate's combination, [N, E]."""
        site = torch.arange(len(self.elements), device=self.elements.device)
        return self.space.allowed[site, self.combination[self.space.system_idx]]

    def snapshot(self) -> Snapshot:
        """Copies of the real candidates as they stand."""
        return Snapshot(
            combination=self.combination.clone(),
            elements=self.rows.clone(),
            lengths=self.lengths.detach().clone(),
            angles=self.angles.detach().clone(),
            displacements=self.displacements.detach().view(len(self), -1, 3).clone(),
        )

    # ---- what changes them

    def harden(self) -> None:
        """Take real elements: the most probable combination, then the best element of each site.

        The combination comes first: taking the best element of the mixture could mix two
        combinations and break neutrality.
        """
        with torch.no_grad():
            used = self.space.combination_used
            self.combination.copy_(self.combination_scores.masked_fill(~used, -torch.inf).argmax(1))
            scores = self._tied_scores().masked_fill(~self.allowed(), -torch.inf)
            self.elements.copy_(scores.argmax(1))

    def decorate(self, systems: Tensor, elements: Int[Tensor, "chosen sites"]) -> None:
        """Put other elements on the sites of some real candidates ([b] indices)."""
        self.rows[systems] = elements

    def restore(self, systems: Tensor, from_: Snapshot, sources: Tensor | None = None) -> None:
        """Make some candidates ([b] indices) crystals that are remembered.

        Args:
            systems: The candidates.
            from_: What is remembered.
            sources: Which of them, [b]; None if they have the same numbers.
        """
        sources = systems if sources is None else sources
        self.combination[systems] = from_.combination[sources]
        self.rows[systems] = from_.elements[sources]
        with torch.no_grad():
            self.lengths[systems] = from_.lengths[sources].to(self.lengths)
            self.angles[systems] = from_.angles[sources].to(self.angles)
            shifts = self.displacements.view(len(self), -1, 3)
            shifts[systems] = from_.displacements[sources].to(shifts)

    def place(
        self,
        lengths: Tensor | None = None,
        angles: Tensor | None = None,
        displacements: Tensor | None = None,
        systems: Tensor | None = None,
    ) -> None:
        """Give candidates another geometry, brought within their bounds.

        Args:
            lengths: Å, [b, 3]; None leaves them.
            angles: Degrees, [b, 3]; likewise.
            displacements: Fractional, [b·n, 3] or [b, n, 3]; likewise.
            systems: Candidates, [b] indices; None for all.
        """
        chosen = slice(None) if systems is None else systems
        with torch.no_grad():
            if lengths is not None:
                self.lengths[chosen] = lengths.to(self.lengths)
            if angles is not None:
                self.angles[chosen] = angles.to(self.angles)
            if displacements is not None:
                shifts = self.displacements.view(len(self), -1, 3)
                n = len(self) if systems is None else len(systems)
                shifts[chosen] = displacements.view(n, -1, 3).to(shifts)
        self.project()

    def move(self, changes: Mapping[str, Tensor]) -> None:
        """Add changes of the variables, by name, then go back within bounds."""
        with torch.no_grad():
            for name, change in changes.items():
                getattr(self, name).add_(change)
        self.project()

    def copy_systems(self, source: Tensor) -> None:
        """Overwrite each candidate by candidate source[b] ([B]); all of one size.

        What the candidate may hold is copied, too.
        """
        with torch.no_grad():
            for tensor in self.state.values():
                rows = tensor.view(len(self), -1, *tensor.shape[1:])
                rows.copy_(rows[source])

    def project(self) -> None:
        """Moves lattice and coordinates back into their bounds, in place and outside the graph."""
        space = self.space
        with torch.no_grad():
            self.lengths.clamp_(*space.length_bounds.unbind(1))
            self.angles.clamp_(*space.angle_bounds.unbind(1))
            if space.angles_vary:
                self._open_flat_cells()
            self.displacements.clamp_(-space.coord_box, space.coord_box)
            if space.symmetry is not None:
                lengths, angles = space.symmetry.cells(
                    (self.lengths, self.angles),
                    (space.lengths, space.angles),
                    (space.length_bounds, space.angle_bounds),
                )
                shifts = space.symmetry.displacements(self.displacements.double())
                self.lengths.copy_(lengths)
                self.angles.copy_(angles)
                self.displacements.copy_(space.symmetry.shrunk(shifts, space.coord_box))

    def _tied_scores(self) -> Tensor:
        """Element scores of each site, tied sites alike, [N, E]."""
        tied_to = self.space.tied_to
        return self.element_scores if tied_to is None else self.element_scores[tied_to]

    def _radii(self) -> Tensor | None:
        """Ionic radius of each site's element under its combination, Å, [N]."""
        if self.space.radii is None:
            return None
        site = torch.arange(len(self.elements), device=self.elements.device)
        return self.space.radii[site, self.combination[self.space.system_idx], self.elements]

    def _open_flat_cells(self) -> None:
        """Halves the way from the template's angles until each cell has volume."""
        for _ in range(20):
            flat = relative_volume(cosines(self.angles)) < MIN_RELATIVE_VOLUME
            if not flat.any():
                return
            half = 0.5 * (self.angles + self.space.angles)
            self.angles.copy_(torch.where(flat[:, None], half, self.angles))

    def _with_species(self, probs: Tensor, radii: Tensor | None) -> Crystals:
        space = self.space
        along = directions(self.angles) if space.angles_vary else space.directions
        return Crystals(
            species_probs=probs,
            frac_coords=space.frac_coords + self.displacements,
            cell=along * self.lengths.unsqueeze(2),
            system_idx=space.system_idx,
            ionic_radii=radii,
            site_roles=None if radii is None else space.roles,
        )
