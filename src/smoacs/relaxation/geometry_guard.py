"""Geometric constraints that depend on the elements: distances, and a space group that is kept.

Bounds, boxes and ties are part of the design space and hold at every step. What elements bring
with them is kept here: atoms that are too close get a wider cell. What a search ends with is
repaired if need be, so that every crystal keeps what was asked for, whatever became of the targets.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Lattice, Species, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Candidates, Crystals, Invariants, Symmetriser, neighbor_list
from smoacs.templates import (
    GeometryRules,
    Template,
    roomiest_lattice,
    site_radii,
    space_group_data,
)

ROOM = 1 + 1e-5
"""Factor by which cells are made wider than they need to be, against rounding."""

WIDENINGS = 8
"""Most times that a cell is widened in one go: where bounds stop some lengths, others follow."""

RETREATS = (0.75, 0.5, 0.25, 0.0)
"""Shares of a displacement that are left when a crystal goes back towards its template."""


class GeometryGuard:
    """Keeps the candidates of one template within its geometric rules."""

    def __init__(self, template: Template, rules: GeometryRules) -> None:
        """Take a template that the rules are already worked into."""
        self.template = template
        self._share = rules.min_distance
        ties = template.symmetry is not None and template.symmetry.ties_sites
        self._symmetry = template.symmetry if ties else None
        self._radii = None
        self._cutoff = 0.0
        if rules.min_distance is not None:
            radii = site_radii(template, rules.distance_radii)
            self._radii = torch.tensor(radii)
            self._cutoff = 2 * rules.min_distance * ROOM * float(radii[template.allowed].max())

    @staticmethod
    def of(template: Template, rules: GeometryRules) -> "GeometryGuard | None":
        """Guard of a design; None if its geometry is free."""
        return None if rules == GeometryRules() else GeometryGuard(template, rules)

    def fits(self, crystals: Crystals, combination: Tensor) -> Tensor:
        """Whether no two atoms of hard crystals are closer than asked for, [B].

        Args:
            crystals: Some or all of the candidates.
            combination: Of each, [B].
        """
        return self._room(crystals, combination) >= 1

    def make_room(self, candidates: Candidates) -> None:
        """Widen the cells of real candidates until the atoms fit or bounds forbid it."""
        if self._share is None:
            return
        for _ in range(WIDENINGS):
            room = self._room(candidates.hard().detached(), candidates.combination)
            if (room >= 1).all():
                return
            factor = torch.where(room < 1, ROOM / room, 1.0).to(candidates.lengths)
            candidates.place(candidates.lengths.detach() * factor[:, None])

    def _room(self, crystals: Crystals, combination: Tensor) -> Tensor:
        """Shortest distance over what is asked for, [B]; infinite beyond the cutoff."""
        room = torch.full_like(crystals.volume.detach(), torch.inf)
        if self._radii is None or self._share is None:
            return room
        with torch.no_grad():
            neighbors = neighbor_list(crystals, self._cutoff)
            i, j = neighbors.edge_index
            distance = neighbors.vectors(crystals).norm(dim=1)
            site = torch.arange(self.template.n_sites, device=i.device).repeat(crystals.n_systems)
            element = crystals.species_probs.argmax(1)
            radii = self._radii.to(i.device)[combination[crystals.system_idx], site, element]
            asked = self._share * (radii[i] + radii[j])
            share = (distance / asked).to(room)
            return room.scatter_reduce(0, crystals.system_idx[i], share, "amin")

    def repair(self, candidates: Candidates) -> None:
        """Bring the geometry of real candidates within the rules, with small changes."""
        candidates.project()
        self.make_room(candidates)
        for share in RETREATS:
            wrong = ~self._sound(candidates)
            if not wrong.any():
                return
            _retreat(candidates, torch.nonzero(wrong).flatten(), share)
            self.make_room(candidates)
        fits = self.fits(candidates.hard().detached(), candidates.combination)
        tight = torch.nonzero(~fits).flatten()
        if len(tight):
            widest = torch.as_tensor(np.linalg.norm(roomiest_lattice(self.template), axis=1))
            candidates.place(widest.expand(len(tight), 3), systems=tight)

    def _sound(self, candidates: Candidates) -> Tensor:
        """Whether each candidate has room and its template's space group, [B]."""
        sound = self.fits(candidates.hard().detached(), candidates.combination)
        if self._symmetry is None:
            return sound
        rows = candidates.rows.cpu().numpy()
        for b, (lattice, coords) in enumerate(self._exact_geometry(candidates)):
            found = space_group_data(lattice.matrix, coords, rows[b])
            sound[b] &= found is not None and found.number == self._symmetry.number
        return sound

    def structures(self, candidates: Candidates) -> list[Structure]:
        """Real crystals that keep bounds and symmetry in double precision."""
        self.repair(candidates)
        return [
            Structure(lattice, [ELEMENTS[e] for e in row], coords)
            for row, (lattice, coords) in zip(
                candidates.rows.cpu().tolist(), self._exact_geometry(candidates), strict=True
            )
        ]

    def _exact_geometry(self, candidates: Candidates) -> list[tuple[Lattice, NDArray[np.float64]]]:
        """Lattice and fractional coordinates of each candidate, free of single-precision errors."""
        template, n = self.template, len(candidates)
        lengths = candidates.lengths.detach().double().cpu()
        angles = candidates.angles.detach().double().cpu()
        moved = candidates.displacements.detach().double().cpu()
        keeps = Invariants.of_template(template.symmetry)
        if keeps is not None:
            symmetry = Symmetriser([keeps] * n, torch.full((n,), template.n_sites))
            own = [torch.tensor(x).expand(n, 3) for x in (template.lengths, template.angles)]
            bounds = [
                torch.tensor(x).expand(n, 2, 3)
                for x in (template.length_bounds, template.angle_bounds)
            ]
            lengths, angles = symmetry.cells(
                (lengths, angles), (own[0], own[1]), (bounds[0], bounds[1])
            )
            box = torch.tensor(template.coord_box).repeat(n, 1)
            moved = symmetry.shrunk(symmetry.displacements(moved), box)
        lengths_in = np.clip(lengths.numpy(), *template.length_bounds)
        angles_in = np.clip(angles.numpy(), *template.angle_bounds)
        displacement = moved.view(n, -1, 3).numpy()
        displacement = np.clip(displacement, -template.coord_box, template.coord_box)
        return [
            (Lattice.from_parameters(*l_b, *a_b), template.frac_coords + d_b)
            for l_b, a_b, d_b in zip(
                lengths_in.tolist(), angles_in.tolist(), displacement, strict=True
            )
        ]


def _retreat(candidates: Candidates, systems: Tensor, share: float) -> None:
    """Leave some candidates ([b] indices) a share of their way from the template."""
    space = candidates.space
    own = space.lengths[systems]
    lengths = candidates.lengths.detach()[systems]
    angles = candidates.angles.detach()[systems]
    shifts = candidates.displacements.detach().view(len(candidates), -1, 3)[systems]
    start = (lengths / own).mean(1, keepdim=True) * own
    candidates.place(
        start + share * (lengths - start),
        space.angles[systems] + share * (angles - space.angles[systems]),
        share * shifts,
        systems,
    )


def to_structures(
    candidates: Candidates, template: Template, guard: GeometryGuard | None = None
) -> list[Structure]:
    """Real candidates as pymatgen structures with oxidation states; coordinates are not wrapped."""
    plain = candidates.hard().to_structures() if guard is None else guard.structures(candidates)
    structures = []
    for structure, k in zip(plain, candidates.combination.tolist(), strict=True):
        charges = template.combinations[k]
        species = [
            Species(site.specie.symbol, int(charge))
            for site, charge in zip(structure, charges, strict=True)
        ]
        structures.append(Structure(structure.lattice, species, structure.frac_coords))
    return structures
