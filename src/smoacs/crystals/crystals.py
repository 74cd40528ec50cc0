"""The batch of crystals that predictors see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.errors import InputError


@dataclass(frozen=True)
class Crystals:
    """Crystals of any sizes in one batch: flat atoms plus an index, never padding.

    N atoms, B crystals, E = 98 elements.

    Attributes:
        species_probs: Element weights of each atom, rows sum to 1, shape [N, E].
        frac_coords: Fractional coordinates, shape [N, 3].
        cell: Lattice vectors as rows, Å, shape [B, 3, 3].
        system_idx: Crystal of each atom, sorted, consecutive from 0, shape [N].
        ionic_radii: Expected ionic radius of each atom, Å, shape [N]; None where unknown.
        site_roles: Role of each site (0 = A, 1 = B, 2 = X, -1 = none), shape [N]; None where
            unknown.
    """

    species_probs: Float[Tensor, "atoms 98"]
    frac_coords: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "systems 3 3"]
    system_idx: Int[Tensor, " atoms"]
    ionic_radii: Float[Tensor, " atoms"] | None = None
    site_roles: Int[Tensor, " atoms"] | None = None

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the whole batch."""
        return int(self.frac_coords.shape[0])

    @property
    def n_systems(self) -> int:
        """Number of crystals."""
        return int(self.cell.shape[0])

    @cached_property
    def counts(self) -> Int[Tensor, " systems"]:
        """Atoms of each crystal, shape [B]."""
        return torch.bincount(self.system_idx, minlength=self.n_systems)

    @property
    def positions(self) -> Float[Tensor, "atoms 3"]:
        """Cartesian positions, Å, shape [N, 3]."""
        return torch.einsum("ni,nij->nj", self.frac_coords, self.cell[self.system_idx])

    @property
    def volume(self) -> Float[Tensor, " systems"]:
        """Cell volumes, Å³, shape [B]."""
        volume: Tensor = torch.linalg.det(self.cell).abs()
        return volume

    @property
    def finite(self) -> Bool[Tensor, " systems"]:
        """Whether species, coordinates and cell of each crystal are finite, shape [B]."""
        atoms = self.frac_coords.isfinite().all(1) & self.species_probs.isfinite().all(1)
        broken = torch.bincount(self.system_idx[~atoms], minlength=self.n_systems)
        finite: Tensor = self.cell.isfinite().all(2).all(1) & (broken == 0)
        return finite

    @property
    def floats(self) -> list[Tensor]:
        """What properties may be differentiated by: species, coordinates, cell, radii if any."""
        found = [self.species_probs, self.frac_coords, self.cell]
        return found if self.ionic_radii is None else [*found, self.ionic_radii]

    def detached(self) -> "Crystals":
        """The same memory outside of any graph."""
        return Crystals(
            species_probs=self.species_probs.detach(),
            frac_coords=self.frac_coords.detach(),
            cell=self.cell.detach(),
            system_idx=self.system_idx,
            ionic_radii=None if self.ionic_radii is None else self.ionic_radii.detach(),
            site_roles=self.site_roles,
        )

    def replace(self, **changes: Tensor | None) -> "Crystals":
        """A copy with the named fields changed."""
        values: dict[str, Any] = changes
        return replace(self, **values)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Crystals":
        """These crystals on `device`, floating-point fields as `dtype`: a copy if they were not."""
        device = torch.device(device)
        floats = (self.species_probs, self.frac_coords, self.cell, self.ionic_radii)
        if self.cell.device == device and all(x is None or x.dtype == dtype for x in floats):
            return self

        def move(x: Tensor) -> Tensor:
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        return Crystals(
            species_probs=move(self.species_probs),
            frac_coords=move(self.frac_coords),
            cell=move(self.cell),
            system_idx=move(self.system_idx),
            ionic_radii=None if self.ionic_radii is None else move(self.ionic_radii),
            site_roles=None if self.site_roles is None else move(self.site_roles),
        )

    def select(self, systems: Int[Tensor, " chosen"]) -> "Crystals":
        """The crystals with the given indices (int64, shape [b]; unique) in increasing order."""
        systems = torch.sort(systems).values
        rank = torch.full((self.n_systems,), -1, dtype=torch.int64, device=self.system_idx.device)
        rank[systems] = torch.arange(len(systems), device=rank.device)
        atoms = torch.nonzero(rank[self.system_idx] >= 0).flatten()
        return Crystals(
            species_probs=self.species_probs[atoms],
            frac_coords=self.frac_coords[atoms],
            cell=self.cell[systems],
            system_idx=rank[self.system_idx[atoms]],
            ionic_radii=None if self.ionic_radii is None else self.ionic_radii[atoms],
            site_roles=None if self.site_roles is None else self.site_roles[atoms],
        )

    def split(self, sizes: Sequence[int]) -> list["Crystals"]:
        """The crystals in runs, of so many crystals each; views of the same memory."""
        if len(sizes) == 1:
            return [self]
        atoms = [int(counts.sum()) for counts in self.counts.split(list(sizes))]

        def cut(x: Tensor | None) -> Sequence[Tensor | None]:
            return [None] * len(atoms) if x is None else x.split(atoms)

        first = accumulate(sizes, initial=0)
        return [
            Crystals(species, frac, cell, index - start, radii, roles)
            for species, frac, cell, index, start, radii, roles in zip(
                self.species_probs.split(atoms),
                self.frac_coords.split(atoms),
                self.cell.split(list(sizes)),
                self.system_idx.split(atoms),
                first,
                cut(self.ionic_radii),
                cut(self.site_roles),
                strict=False,
            )
        ]

    @staticmethod
    def from_structures(
        structures: Sequence[Structure], dtype: torch.dtype = torch.float64
    ) -> "Crystals":
        """One-hot crystals from ordered pymatgen structures.

        Raises:
            InputError: If the list is empty, or a structure is empty, disordered or holds an
                element beyond californium.
        """
        if not structures:
            msg = "no structures were given: at least one is needed"
            raise InputError(msg)
        numbers = [_atomic_numbers(s, i) for i, s in enumerate(structures)]
        index = np.repeat(np.arange(len(structures)), [len(z) for z in numbers])
        z = torch.as_tensor(np.concatenate(numbers), dtype=torch.int64)
        frac = np.concatenate([s.frac_coords for s in structures])
        cell = np.stack([s.lattice.matrix for s in structures])
        return Crystals(
            species_probs=torch.nn.functional.one_hot(z - 1, N_ELEMENTS).to(dtype),
            frac_coords=torch.as_tensor(frac, dtype=dtype),
            cell=torch.as_tensor(cell, dtype=dtype),
            system_idx=torch.as_tensor(index, dtype=torch.int64),
        )

    def to_structures(self) -> list[Structure]:
        """Convert to pymatgen structures with the most probable element on each site."""
        species = self.species_probs.argmax(dim=1).tolist()
        frac = self.frac_coords.detach().double().cpu().numpy()
        cell = self.cell.detach().double().cpu().numpy()
        ends = torch.cumsum(self.counts, 0).tolist()
        starts = [0, *ends[:-1]]
        return [
            Structure(Lattice(cell[b]), [ELEMENTS[e] for e in species[s:t]], frac[s:t])
            for b, (s, t) in enumerate(zip(starts, ends, strict=True))
        ]


def _atomic_numbers(structure: Structure, index: int) -> list[int]:
    if len(structure) == 0:
        msg = f"structure {index} has no atoms"
        raise InputError(msg)
    if not structure.is_ordered:
        msg = (
            f"structure {index} ({structure.formula}) has partially occupied sites: "
            "order it first, one element to a site"
        )
        raise InputError(msg)
    numbers = [int(site.specie.Z) for site in structure]
    if max(numbers) > N_ELEMENTS:
        msg = f"structure {index} ({structure.formula}) holds an element beyond {ELEMENTS[-1]}"
        raise InputError(msg)
    return numbers


def chunk_systems(counts: Tensor, atoms_per_chunk: int) -> list[Tensor]:
    """Split B crystals with `counts` atoms [B] into runs of about `atoms_per_chunk` atoms.

    Returns:
        Indices of the crystals of each chunk; every crystal once, in order.
    """
    systems = torch.arange(len(counts), device=counts.device)
    if len(counts) == 1:
        return [systems]
    before = torch.cumsum(counts, 0) - counts
    sizes = torch.unique_consecutive(before // atoms_per_chunk, return_counts=True)[1]
    return list(systems.split(sizes.tolist()))
