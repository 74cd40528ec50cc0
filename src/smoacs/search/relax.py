"""Relaxing real crystals on the predicted formation energy, many at once, symmetry kept.

Quasi-Newton steps (BFGS: J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, chapter 6)
in logarithms of lattice lengths, lattice angles and Cartesian displacements, each crystal with an
inverse Hessian of its own that starts from a typical ionic solid. After every step cell and
displacements are averaged over the symmetries that the decorated template has, so that nothing
breaks them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals, neighbor_list
from smoacs.predictors import (
    ENERGY,
    GPA,
    Predictor,
    chunk_systems,
    energy_gradients,
    for_properties,
    residuals,
)
from smoacs.predictors.threads import Workers, atoms_per_chunk
from smoacs.search.held import without_held
from smoacs.search.motion import LATTICE, SPRING, Motion, typical_compliance
from smoacs.search.site_symmetry import SiteSymmetry

STEPS = 30
"""Predictor calls after which a crystal that still moves is given up."""

SMALL_PRESSURE = 0.2
"""GPa on any axis or angle; below it a crystal is relaxed. At 0.5 GPa the band gap of a soft halide
still depended on where the relaxation began, by up to 0.2 eV."""

SMALL_FORCE = 0.03
"""eV/Å on any atom; likewise."""


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


class Relaxation:
    """Moves cells and coordinates of real crystals on one template to their energy minima.

    Attributes:
        given_up: Crystals that had not come to rest when the observer let them go, [B].
    """

    def __init__(
        self, soft: SoftCrystals, combination: Tensor, elements: Tensor, symmetry: SiteSymmetry
    ) -> None:
        """Take B crystals: their geometry (moved in place) and chemistry, [B] and [B·n]."""
        self._soft = soft
        self._chemistry = combination, elements
        b = soft.space.n_systems
        self._everyone = torch.arange(b, device=elements.device)
        self._motion = Motion(soft, symmetry)
        self._motion.decorate(self._everyone, elements.view(b, -1))
        size = LATTICE + 3 * (len(elements) // b)
        self._hessian = torch.zeros(b, size, size).to(soft.lengths.detach())  # the inverse
        self._gradient = torch.full_like(self._hessian[:, 0], torch.nan)
        self._step = torch.zeros_like(self._gradient)
        self.given_up = torch.zeros(b, dtype=torch.bool, device=elements.device)

    def symmetrise(self) -> None:
        """Average cells and displacements of all crystals over the symmetries that they have."""
        self._motion.symmetrise(self._everyone)

    def run(
        self, evaluate: Evaluator, observer: Observer | None = None
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Relax all crystals.

        Args:
            evaluate: Evaluates crystals.
            observer: Told of every step; decides which crystals are given up.

        Returns:
            Raw values, each [B]; and for each crystal whether it is finite, its pressure (GPa) and
            its largest force (eV/Å), where it was evaluated last, which is where it stays.
        """
        nan = torch.full_like(self._gradient[:, 0], torch.nan)
        values = {name: nan.clone() for name in evaluate.properties}
        finite, pressure, force = torch.zeros_like(nan, dtype=torch.bool), nan.clone(), nan.clone()
        moving = torch.arange(len(nan), device=nan.device)
        for step in range(STEPS):
            part = self._soft.hard_crystals(*self._chemistry).select(moving)
            found = evaluate.slopes(part)
            for name, value in found.properties.items():
                values[name][moving] = value.to(nan)
            finite[moving] = found.finite
            pressure[moving], force[moving] = found.pressure.to(nan), found.max_force.to(nan)
            gradient = self._motion.gradients(
                moving,
                part,
                frac_grad=found.frac_grad,
                cell_grad=found.cell_grad.where(found.finite[:, None, None], 0.0),
            )
            volume = part.volume.detach()
            strained = GPA * gradient[:, :LATTICE].abs().amax(1) / volume > SMALL_PRESSURE
            restless = found.finite & (strained | (found.max_force > SMALL_FORCE))
            if observer is not None:
                gone = observer(step, moving, found) & restless
                self.given_up[moving[gone]] = True
                restless &= ~gone
            if step == STEPS - 1 or not restless.any():
                break
            moving = moving[restless]
            move = self._newton_step(moving, gradient[restless], volume[restless])
            self._step[moving] = self._motion.apply(moving, move, part.cell.detach()[restless])
        return values, finite, pressure, force

    def _newton_step(self, moving: Tensor, gradient: Tensor, volume: Tensor) -> Tensor:
        """Step of the `moving` crystals, [b, 6 + 3n], with what the last step has taught."""
        hessian, step = self._hessian[moving], self._step[moving]
        new = self._gradient[moving].isnan().all(1)
        hessian[new] = _typical(hessian[new], volume[new])
        change = (gradient - self._gradient[moving]).nan_to_num(nan=0.0)
        curvature = (step * change).sum(1)
        learnt = curvature > 1e-3 * step.norm(dim=1) * change.norm(dim=1)
        rho = torch.where(learnt, 1 / curvature, 0.0)[:, None, None]
        across = torch.eye(hessian.shape[1]).to(hessian) - rho * _outer(step, change)
        hessian = across @ hessian @ across.mT + rho * _outer(step, step)
        self._hessian[moving], self._gradient[moving] = hessian, gradient
        return -(hessian @ gradient.unsqueeze(2)).squeeze(2)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return a[:, :, None] * b[:, None, :]


def _typical(like: Tensor, volume: Tensor) -> Tensor:
    """Inverse Hessian (1/eV; Å²/eV for displacements) of a typical solid, shaped as `like`."""
    inverse = (torch.eye(like.shape[1]) / SPRING).to(like).repeat(len(like), 1, 1)
    inverse[:, :LATTICE, :LATTICE] = typical_compliance(like) / volume[:, None, None]
    return inverse
