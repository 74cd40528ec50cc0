"""Geometric constraints that depend on the elements: distances, and a space group not raised.

Bounds, boxes and ties are part of the design space and hold at every step. What elements bring
with them is kept here: atoms that are too close get a wider cell, and elements that would raise the
space group are not combined. What a search ends with is repaired if need be, so that every crystal
keeps what was asked for, whatever became of the targets.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Lattice, Species, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals, SoftCrystals, neighbor_list
from smoacs.templates import (
    GeometryRules,
    Template,
    distinct_choice,
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

    def distinguish(self, soft: SoftCrystals, combination: Tensor, elements: Tensor) -> Tensor:
        """Elements, [N], with as few changes as keep every candidate's space group.

        Args:
            soft: The candidates; their scores say which change costs least.
            combination: Of each candidate, [B].
            elements: Of each site, [N].
        """
        if self._symmetry is None:
            return elements
        n = soft.space.n_systems
        rows = elements.view(n, -1).cpu().numpy().copy()
        wrong = [b for b in range(n) if self._symmetry.is_raised(rows[b])]
        if not wrong:
            return elements
        allowed = soft.allowed_under(combination).view(n, rows.shape[1], -1).cpu().numpy()
        scores = soft.element_scores.detach().view(n, rows.shape[1], -1).cpu().numpy()
        for b in wrong:
            changed = self._one_change(rows[b], allowed[b], scores[b])
            if changed is None:
                changed = distinct_choice(allowed[b], self._symmetry)
            rows[b] = rows[b] if changed is None else changed
        return torch.as_tensor(rows, device=elements.device).flatten()

    def _one_change(
        self, elements: NDArray[np.int64], allowed: NDArray[np.bool_], scores: NDArray[np.float32]
    ) -> NDArray[np.int64] | None:
        """The best other element at one set of equivalent sites that is enough; None if none is."""
        if self._symmetry is None:
            return None
        sites = self._symmetry.representatives
        own = scores[sites, elements[sites]]
        loss = np.where(allowed[sites], own[:, None] - scores[sites], np.inf)
        for flat in np.argsort(loss, axis=None):
            group, element = divmod(int(flat), len(ELEMENTS))
            if not np.isfinite(loss[group, element]):
                return None
            changed = elements.copy()
            changed[self._symmetry.orbits == sites[group]] = element
            if not self._symmetry.is_raised(changed):
                return changed
        return None

    def fits(self, crystals: Crystals, combination: Tensor) -> Tensor:
        """Whether no two atoms of hard crystals are closer than asked for, [B].

        Args:
            crystals: Some or all of the candidates.
            combination: Of each, [B].
        """
        return self._room(crystals, combination) >= 1

    def make_room(self, soft: SoftCrystals, combination: Tensor, elements: Tensor) -> None:
        """Widen the cells, in place, until the atoms fit or bounds forbid it."""
        if self._share is None:
            return
        for _ in range(WIDENINGS):
            room = self._room(soft.hard_crystals(combination, elements), combination)
            if (room >= 1).all():
                return
            with torch.no_grad():
                factor = torch.where(room < 1, ROOM / room, 1.0)
                soft.lengths.mul_(factor.to(soft.lengths)[:, None])
            soft.project()

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

    def repair(self, soft: SoftCrystals, combination: Tensor, elements: Tensor) -> None:
        """Bring the candidates' geometry within the rules, in place, with small changes."""
        soft.project()
        self.make_room(soft, combination, elements)
        for share in RETREATS:
            wrong = ~self._sound(soft, combination, elements)
            if not wrong.any():
                return
            self._retreat(soft, wrong, share)
            self.make_room(soft, combination, elements)
        tight = ~self.fits(soft.hard_crystals(combination, elements), combination)
        if tight.any():
            widest = np.linalg.norm(roomiest_lattice(self.template), axis=1)
            with torch.no_grad():
                soft.lengths[tight] = torch.as_tensor(widest / soft.length_unit).to(soft.lengths)
            soft.project()

    def _retreat(self, soft: SoftCrystals, systems: Tensor, share: float) -> None:
        """Leave some candidates ([B] bool) a share of their way from the template, in place."""
        space = soft.space
        with torch.no_grad():
            sites = systems[space.system_idx]
            soft.displacements[sites] *= share
            low, high = space.angle_bounds.unbind(1)
            own = torch.where(high > low, (space.angles - low) / (high - low), 0.0)
            scale = (soft.lengths * soft.length_unit / space.lengths).mean(1, keepdim=True)
            lengths = scale * space.lengths / soft.length_unit
            for tensor, start in ((soft.lengths, lengths), (soft.angles, own)):
                way = start + share * (tensor - start)
                tensor.copy_(torch.where(systems[:, None], way, tensor))
        soft.project()

    def _sound(self, soft: SoftCrystals, combination: Tensor, elements: Tensor) -> Tensor:
        """Whether each candidate has room and its template's space group, [B]."""
        sound = self.fits(soft.hard_crystals(combination, elements), combination)
        if self._symmetry is None:
            return sound
        rows = elements.view(len(sound), -1).cpu().numpy()
        for b, (lattice, coords) in enumerate(self._exact_geometry(soft)):
            found = space_group_data(lattice.matrix, coords, rows[b])
            sound[b] &= found is not None and found.number == self._symmetry.number
        return sound

    def structures(
        self, soft: SoftCrystals, combination: Tensor, elements: Tensor
    ) -> list[Structure]:
        """Real crystals that keep bounds and symmetry in double precision."""
        self.repair(soft, combination, elements)
        rows = elements.view(soft.space.n_systems, -1).cpu().tolist()
        return [
            Structure(lattice, [ELEMENTS[e] for e in row], coords)
            for row, (lattice, coords) in zip(rows, self._exact_geometry(soft), strict=True)
        ]

    def _exact_geometry(self, soft: SoftCrystals) -> list[tuple[Lattice, NDArray[np.float64]]]:
        """Lattice and fractional coordinates of each candidate, free of single-precision errors."""
        template = self.template
        lengths, angles = (p.detach().double().cpu() for p in soft.cell_parameters())
        moved = soft.displacements.detach().double().cpu()
        symmetry = soft.space.symmetry
        n = len(lengths)
        if symmetry is not None:
            own = (torch.tensor(template.lengths), torch.tensor(template.angles))
            bounds = (torch.tensor(template.length_bounds), torch.tensor(template.angle_bounds))
            symmetry = symmetry.cpu()
            lengths, angles = symmetry.cells(
                (lengths, angles),
                (own[0].expand(n, 3), own[1].expand(n, 3)),
                bounds[0].expand(n, 2, 3),
                bounds[1].expand(n, 2, 3),
            )
            box = torch.tensor(template.coord_box).repeat(n, 1)
            moved = symmetry.invariant_displacements(moved, box)
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


def to_structures(
    soft: SoftCrystals,
    template: Template,
    combination: Tensor,
    elements: Tensor,
    *,
    guard: GeometryGuard | None = None,
) -> list[Structure]:
    """Convert to pymatgen structures with oxidation states; coordinates are not wrapped."""
    if guard is None:
        plain = soft.hard_crystals(combination, elements).to_structures()
    else:
        plain = guard.structures(soft, combination, elements)
    structures = []
    for structure, k in zip(plain, combination.tolist(), strict=True):
        charges = template.combinations[k]
        species = [
            Species(site.specie.symbol, int(charge))
            for site, charge in zip(structure, charges, strict=True)
        ]
        structures.append(Structure(structure.lattice, species, structure.frac_coords))
    return structures
