"""Lattices and displacements of many crystals, projected on what keeps their symmetries."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals.lattice import cell_parameters, metric_tensors
from smoacs.templates.symmetry import Operations, TemplateSymmetry

_HALVINGS = 24
"""Most halvings of the way of a lattice to one that is known to be symmetric."""

_LEEWAY = 1 + 1e-6
"""Factor by which symmetric lattices may pass their bounds before these cut them."""

Parameters = tuple[Float[Tensor, "systems 3"], Float[Tensor, "systems 3"]]
"""Lattice lengths (Å) and angles (degrees)."""


@dataclass(frozen=True, eq=False)
class Invariants:
    """Projections on what some symmetries leave unchanged of a crystal with n sites.

    Attributes:
        metric: Of flattened metric tensors, [9, 9].
        sites: Of flattened fractional displacements, [3n, 3n]; None if they are free.
        orbits: The first of the sites that are equivalent to each, [n]; None likewise.
    """

    metric: Float[Tensor, "9 9"]
    sites: Float[Tensor, "rows rows"] | None = None
    orbits: Int[Tensor, " sites"] | None = None

    @staticmethod
    def of(operations: Operations, kept: NDArray[np.bool_] | None = None) -> "Invariants":
        """Of all symmetries, or those that are kept, [G]."""
        permutations = operations.permutations if kept is None else operations.permutations[kept]
        return Invariants(
            metric=torch.as_tensor(operations.metric_mean(kept)),
            sites=torch.as_tensor(operations.displacement_mean(kept)),
            orbits=torch.as_tensor(permutations.min(axis=0)),
        )

    @staticmethod
    def of_template(symmetry: TemplateSymmetry | None) -> "Invariants | None":
        """Of what a template keeps; None if nothing."""
        if symmetry is None:
            return None
        if symmetry.ties_sites:
            return Invariants.of(symmetry.operations)
        return Invariants(torch.as_tensor(symmetry.operations.metric_mean()))


@dataclass
class Symmetriser:
    """The invariants of each of B crystals, which may have different sizes.

    Crystals that share an `Invariants` object are worked on together.

    Attributes:
        of_systems: Invariants of each crystal, B in all; None for one that keeps no symmetry.
        counts: Sites of each crystal, [B].
    """

    of_systems: list[Invariants | None]
    counts: Int[Tensor, " systems"]
    _starts: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._starts = torch.cumsum(self.counts, 0) - self.counts

    def metric(
        self, metric: Float[Tensor, "chosen 3 3"], systems: Sequence[int] | None = None
    ) -> Float[Tensor, "chosen 3 3"]:
        """Part of metric tensors (Å²) that keeps the symmetries.

        Args:
            metric: Of the chosen crystals.
            systems: Which crystals they are of; None if of all.
        """
        found = metric.clone()
        for invariants, rows, _ in self._groups(systems):
            flat = metric[rows].flatten(1) @ invariants.metric.to(metric).T
            found[rows] = flat.view(-1, 3, 3)
        return found

    def displacements(
        self, shifts: Float[Tensor, "sites 3"], systems: Sequence[int] | None = None
    ) -> Float[Tensor, "sites 3"]:
        """Part of fractional displacements that keeps the symmetries.

        Args:
            shifts: Of the sites of the chosen crystals, one crystal after another.
            systems: As above.
        """
        found = shifts.clone()
        for invariants, rows, sites in self._groups(systems):
            if invariants.sites is not None:
                flat = shifts[sites].flatten(1) @ invariants.sites.to(shifts).T
                found[sites] = flat.view(len(rows), -1, 3)
        return found

    def shrunk(
        self, shifts: Float[Tensor, "sites 3"], box: Float[Tensor, "sites 3"]
    ) -> Float[Tensor, "sites 3"]:
        """Displacements of all crystals within their boxes, equivalent sites shrunk alike.

        Args:
            shifts: Fractional, symmetric.
            box: Half-width of what is allowed.
        """
        excess = torch.where(shifts == 0, 0.0, shifts.abs() / box).amax(1)
        found = shifts / excess.clamp(min=1.0)[:, None]
        for invariants, _, sites in self._groups(None):
            if invariants.orbits is None:
                continue
            of_rows = excess[sites]
            orbits = invariants.orbits.to(sites).expand(of_rows.shape)
            worst = torch.zeros_like(of_rows).scatter_reduce(1, orbits, of_rows, "amax")
            shares = worst.gather(1, orbits).clamp(min=1.0)
            found[sites] = shifts[sites] / shares[:, :, None]
        return found

    def gradients(
        self, grads: Float[Tensor, "sites 3"], systems: Sequence[int] | None = None
    ) -> Float[Tensor, "sites 3"]:
        """The same of gradients by fractional coordinates, which turn the other way round."""
        found = grads.clone()
        for invariants, rows, sites in self._groups(systems):
            if invariants.sites is not None:
                flat = grads[sites].flatten(1) @ invariants.sites.to(grads)
                found[sites] = flat.view(len(rows), -1, 3)
        return found

    def metric_gradients(
        self, grads: Float[Tensor, "chosen 3 3"], systems: Sequence[int] | None = None
    ) -> Float[Tensor, "chosen 3 3"]:
        """The same of gradients by metric tensors."""
        found = grads.clone()
        for invariants, rows, _ in self._groups(systems):
            flat = grads[rows].flatten(1) @ invariants.metric.to(grads)
            found[rows] = flat.view(-1, 3, 3)
        return found

    def _groups(
        self, systems: Sequence[int] | None
    ) -> list[tuple[Invariants, Int[Tensor, " rows"], Int[Tensor, "rows sites"]]]:
        """Crystals with the same invariants: their rows, and the rows of their sites."""
        chosen = range(len(self.of_systems)) if systems is None else systems
        rows_of: dict[int, list[int]] = {}
        for row, system in enumerate(chosen):
            if self.of_systems[system] is not None:
                rows_of.setdefault(id(self.of_systems[system]), []).append(row)
        if not rows_of:
            return []
        counts = self.counts if systems is None else self.counts[torch.as_tensor(list(chosen))]
        starts = self._starts if systems is None else torch.cumsum(counts, 0) - counts
        groups = []
        for rows in rows_of.values():
            invariants = self.of_systems[chosen[rows[0]]]
            index = torch.tensor(rows, device=self.counts.device)
            sites = torch.arange(int(counts[rows[0]]), device=index.device)
            if invariants is not None:
                groups.append((invariants, index, starts[index][:, None] + sites))
        return groups

    def cells(
        self, wanted: Parameters, start: Parameters, bounds: tuple[Tensor, Tensor]
    ) -> Parameters:
        """Cells that keep symmetry and bounds, near those wanted, in double precision.

        Where the symmetric part of a cell leaves its bounds, it goes half the way to the start, as
        often as it takes.

        Args:
            wanted: Any cells, of all crystals.
            start: Cells that keep symmetry and bounds.
            bounds: Of lengths (Å) and angles (degrees), each [B, 2, 3].
        """
        (low, high), (narrow, wide) = (of.double().unbind(1) for of in bounds)
        begin, end = (
            self.metric(metric_tensors(lengths.double(), angles.double()))
            for lengths, angles in (start, wanted)
        )
        share = torch.ones_like(low[:, 0])
        for _ in range(_HALVINGS):
            lengths, angles = cell_parameters(begin + share[:, None, None] * (end - begin))
            inside = (lengths <= high * _LEEWAY) & (lengths * _LEEWAY >= low)
            inside &= (angles <= wide * _LEEWAY) & (angles * _LEEWAY >= narrow)
            if inside.all():
                break
            share = torch.where(inside.all(1), share, 0.5 * share)
        return lengths.clamp(low, high), angles.clamp(narrow, wide)
