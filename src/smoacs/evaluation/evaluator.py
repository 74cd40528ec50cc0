"""Values of many real crystals and slopes of their energies, in chunks on all cores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.evaluation.derivatives import energy_gradients, residuals
from smoacs.evaluation.threads import Workers, atoms_per_chunk
from smoacs.predictors import ENERGY, Predictor, for_properties
from smoacs.templates import Template


@dataclass(frozen=True)
class Prediction:
    """What the predictor says of b crystals.

    Attributes:
        properties: Raw properties, each [b].
        finite: Whether crystal and properties, and gradients if any, are finite, [b].
    """

    properties: dict[str, Tensor]
    finite: Tensor


@dataclass(frozen=True)
class Slopes(Prediction):
    """A prediction with the gradients of the energy.

    Attributes:
        frac_grad: Of the energy (eV) by frac_coords, [N, 3].
        cell_grad: Of the energy by cell, [b, 3, 3].
        pressure: GPa, [b].
        max_force: eV/Å, [b].
    """

    frac_grad: Tensor
    cell_grad: Tensor
    pressure: Tensor
    max_force: Tensor


_P = TypeVar("_P", bound=Prediction)

Observer = Callable[[int, Tensor, Prediction], Tensor]
"""Told of every step: its number from 0, which crystals were evaluated, [b], and what the predictor
says of them. Returns which of them need not be followed any further, [b]."""


class Evaluator(Workers):
    """Evaluates crystals in chunks on all cores, and counts; a context manager.

    Unlike the `Objective` of the gradient search it takes no gradient by species.
    """

    def __init__(
        self,
        predictor: Predictor,
        properties: Sequence[str],
        *,
        device: torch.device,
        batch_size: int | None = None,
        held: Tensor | None = None,
    ) -> None:
        """Take what evaluates the crystals.

        Args:
            predictor: Gives the properties, and the formation energy if there are gradients.
            properties: Those to keep.
            device: Where the crystals are.
            batch_size: How many crystals a chunk may hold at most.
            held: Sites of every crystal that must not move, [n]: no force acts on them.
        """
        super().__init__()
        self.held = held
        self.device = device
        self.properties = tuple(properties)
        self.predictor = for_properties(predictor, {*properties, ENERGY})
        self.batch_size = batch_size
        self.calls = 0

    def values(self, crystals: Crystals) -> Prediction:
        """Evaluate real crystals, each one call."""
        parts = self._map(crystals, self._values)
        return Prediction(*_joined(parts))

    def slopes(self, crystals: Crystals) -> Slopes:
        """Evaluate real crystals and the gradients of their energies, each one call."""
        parts = self._map(crystals, self._slopes)
        names = ("frac_grad", "cell_grad", "pressure", "max_force")
        return Slopes(
            *_joined(parts), *(torch.cat([getattr(part, name) for part in parts]) for name in names)
        )

    def _map(self, crystals: Crystals, evaluate: Callable[[Crystals], _P]) -> list[_P]:
        """Evaluate all crystals chunk by chunk."""
        crystals = crystals.replace(
            frac_coords=crystals.frac_coords.detach(), cell=crystals.cell.detach()
        )
        limit = atoms_per_chunk(crystals.counts)
        if self.batch_size is not None:
            limit = min(limit, self.batch_size * int(crystals.counts.max()))
        chunks = chunk_systems(crystals.counts, limit)
        self.calls += crystals.n_systems
        return self.map(lambda chunk: evaluate(crystals.select(chunk)), chunks)

    def _predict(self, part: Crystals) -> tuple[dict[str, Tensor], Prediction]:
        out = self.predictor(part, neighbor_list(part, self.predictor.cutoff))
        wanted = {name: out[name].detach() for name in self.properties}
        finite = part.finite & torch.stack([v.isfinite() for v in wanted.values()]).all(0)
        return out, Prediction(wanted, finite)

    def _values(self, part: Crystals) -> Prediction:
        with torch.no_grad():
            return self._predict(part)[1]

    def _slopes(self, part: Crystals) -> Slopes:
        part.frac_coords.requires_grad_()
        part.cell.requires_grad_()
        out, found = self._predict(part)
        frac_grad, cell_grad = energy_gradients(out[ENERGY], part)
        frac_grad = without_held(frac_grad, self.held)
        pressure, force = residuals(frac_grad, cell_grad, part)
        finite = found.finite & pressure.isfinite() & force.isfinite()
        return Slopes(found.properties, finite, frac_grad, cell_grad, pressure, force)


def _joined(parts: Sequence[Prediction]) -> tuple[dict[str, Tensor], Tensor]:
    names = parts[0].properties
    joined = {name: torch.cat([part.properties[name] for part in parts]) for name in names}
    return joined, torch.cat([part.finite for part in parts])


def held_sites(template: Template) -> Tensor | None:
    """Sites whose coordinates are all frozen, [n]; None if there are none."""
    held = torch.tensor((template.coord_box == 0.0).all(axis=1))
    return held if held.any() else None


def without_held(frac_grad: Tensor, held: Tensor | None) -> Tensor:
    """The gradient of the energy by frac_coords, [b·n, 3], without its part on held sites, [n]."""
    if held is None:
        return frac_grad
    sites = held.to(frac_grad.device).repeat(len(frac_grad) // len(held))
    return frac_grad.masked_fill(sites[:, None], 0.0)
