"""Real candidates moved to the minimum of the predicted energy by quasi-Newton steps.

L-BFGS (J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, algorithm 7.4) in logarithms
of lattice lengths, lattice angles and Cartesian displacements, each candidate at its own pace. The
inverse Hessian starts from that of a typical ionic solid. Symmetry is kept at every step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from smoacs.crystals import Candidates, Crystals
from smoacs.evaluation import GPA, EnergySlopes, Evaluator
from smoacs.relaxation.variables import LATTICE, SPRING, Variables, typical_compliance
from smoacs.templates import Operations

MEMORY = 12
"""Steps that the inverse Hessian is learnt from."""

STEPS = 30
"""Predictor calls after which a crystal that still moves is given up."""

SMALL_PRESSURE = 0.2
"""GPa on any axis or angle; below it a crystal is relaxed. At 0.5 GPa the band gap of a soft halide
still depended on where the relaxation began, by up to 0.2 eV."""

SMALL_FORCE = 0.03
"""eV/Å on any atom; likewise."""


class QuasiNewton:
    """Moves geometry down the energy, the real candidates of one template.

    Attributes:
        stress: Largest slope of the energy by any variable of the lattice over the volume, where
            each candidate was evaluated last, GPa, [B].
        force: Largest force on an atom there, but for what pushes against its box, eV/Å, [B].
    """

    NOT_STATE: ClassVar = frozenset({"_candidates", "_variables", "_compliance"})

    def __init__(self, candidates: Candidates, operations: Operations) -> None:
        """Take the candidates whose geometry to move, and the symmetries of their template."""
        self._candidates = candidates
        self._variables = Variables(candidates, operations)
        like = candidates.lengths.detach()
        b, size = len(candidates), self._variables.size
        self.stress = torch.full_like(like[:, 0], torch.inf)
        self.force = self.stress.clone()
        self._moves = like.new_zeros(b, MEMORY, size)
        self._changes = like.new_zeros(b, MEMORY, size)
        self._curvature = like.new_zeros(b, MEMORY)  # inverse; 0 where nothing was learnt
        self._gradient = like.new_full((b, size), torch.nan)
        self._move = like.new_zeros(b, size)
        self._compliance = typical_compliance(like)

    def restart(self, index: Tensor) -> None:
        """Begin anew for some candidates ([b] indices), symmetric with the elements they hold."""
        self._variables.symmetrise(index)
        self._curvature[index] = 0
        self._gradient[index] = torch.nan

    def look(
        self, index: Tensor, crystals: Crystals, *, frac_grad: Tensor, cell_grad: Tensor
    ) -> Tensor:
        """Note stress and forces of crystals that were evaluated.

        Args:
            index: Candidates that were evaluated, [b].
            crystals: Theirs, [b].
            frac_grad: Gradient of the energy by fractional coordinates, eV, [b·n, 3].
            cell_grad: By the cell at fixed fractional coordinates, eV/Å, [b, 3, 3].

        Returns:
            Gradient of the energy by the variables of the crystals, eV, [b, 6 + 3n].
        """
        gradient = self._variables.gradients(
            index,
            crystals,
            frac_grad=self._unless_outwards(index, frac_grad),
            cell_grad=cell_grad,
        )
        volume = crystals.volume.detach()
        self.stress[index] = GPA * gradient[:, :LATTICE].abs().amax(1) / volume
        forces = gradient[:, LATTICE:].view(len(index), -1, 3)
        self.force[index] = forces.norm(dim=2).amax(1)
        return gradient

    def step(self, index: Tensor, gradient: Tensor, cell: Tensor) -> None:
        """Move crystals.

        Args:
            index: Candidates to move, [b].
            gradient: What `look` has returned for them, [b, 6 + 3n].
            cell: Å, [b, 3, 3].
        """
        volume = torch.linalg.det(cell).abs()
        self._learn(index, gradient)
        step = self._direction(index, gradient, volume)
        self._move[index] = self._variables.apply(index, step, cell)

    def _unless_outwards(self, index: Tensor, frac_grad: Tensor) -> Tensor:
        """Gradients by coordinates, eV, [b, n, 3]; 0 for those that push against their box."""
        shape = (len(self._candidates), -1, 3)
        box = self._candidates.space.coord_box.view(shape)[index]
        displacements = self._candidates.displacements.detach().view(shape)[index]
        frac_grad = frac_grad.view(displacements.shape)
        outwards = torch.where(frac_grad < 0, displacements >= box, displacements <= -box)
        return frac_grad.masked_fill(outwards, 0.0)

    def _learn(self, index: Tensor, gradient: Tensor) -> None:
        """Remember what the last step of each crystal did to its gradient."""
        move = self._move[index]
        change = (gradient - self._gradient[index]).nan_to_num(nan=0.0)
        curvature = (move * change).sum(1)
        convex = curvature > 1e-3 * move.norm(dim=1) * change.norm(dim=1)
        inverse = torch.where(convex, 1 / curvature, 0.0)
        for memory, new in (
            (self._moves, move),
            (self._changes, change),
            (self._curvature, inverse),
        ):
            memory[index] = torch.cat([memory[index, 1:], new[:, None]], 1)
        self._gradient[index] = gradient

    def _direction(self, index: Tensor, gradient: Tensor, volume: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient, [b, 6 + 3n]; downhill."""
        moves, changes = self._moves[index], self._changes[index]
        curvature = self._curvature[index]
        q = gradient
        taken = []
        for k in reversed(range(MEMORY)):
            taken.append(curvature[:, k] * (moves[:, k] * q).sum(1))
            q = q - taken[-1][:, None] * changes[:, k]
        r = self._typical(q, volume)
        for k in range(MEMORY):
            beta = curvature[:, k] * (changes[:, k] * r).sum(1)
            r = r + (taken[MEMORY - 1 - k] - beta)[:, None] * moves[:, k]
        downhill = (r * gradient).sum(1) > 0
        return -torch.where(downhill[:, None], r, self._typical(gradient, volume))

    def _typical(self, gradient: Tensor, volume: Tensor) -> Tensor:
        """Inverse Hessian of a typical solid times gradients, [b, 6 + 3n]."""
        lattice = gradient[:, :LATTICE] @ self._compliance / volume[:, None]
        return torch.cat([lattice, gradient[:, LATTICE:] / SPRING], 1)


Observer = Callable[[int, Tensor, EnergySlopes], Tensor]
"""Told of every step: its number from 0, which crystals were evaluated, [b], and what the predictor
says of them. Returns which of them need not be followed any further, [b]."""


@dataclass(frozen=True)
class Ends:
    """Where the relaxations of B candidates ended: at rest, given up, or out of steps.

    Attributes:
        values: Raw properties, each [B]; NaN where it was never evaluated.
        finite: Whether crystal, properties and gradients are finite, [B].
        pressure: GPa, [B].
        max_force: eV/Å, [B].
        given_up: Those that had not come to rest when the observer let them go, [B].
    """

    values: dict[str, Tensor]
    finite: Tensor
    pressure: Tensor
    max_force: Tensor
    given_up: Tensor


def relax_candidates(
    candidates: Candidates,
    operations: Operations,
    evaluator: Evaluator,
    observer: Observer | None = None,
) -> Ends:
    """Relax all candidates, from where they stand.

    Args:
        candidates: Real ones of one template; their geometry is moved.
        operations: Symmetries of the template.
        evaluator: Gives the energy.
        observer: Decides which crystals are given up.
    """
    newton = QuasiNewton(candidates, operations)
    nan = torch.full_like(candidates.lengths.detach()[:, 0], torch.nan)
    ends = Ends(
        values={name: nan.clone() for name in evaluator.properties},
        finite=torch.zeros_like(nan, dtype=torch.bool),
        pressure=nan.clone(),
        max_force=nan.clone(),
        given_up=torch.zeros_like(nan, dtype=torch.bool),
    )
    moving = torch.arange(len(nan), device=nan.device)
    for step in range(STEPS):
        part = candidates.hard(moving).detached()
        found = evaluator.energy_slopes(part)
        for name, value in found.values.items():
            ends.values[name][moving] = value.to(nan)
        ends.finite[moving] = found.finite
        ends.pressure[moving] = found.pressure.to(nan)
        ends.max_force[moving] = found.max_force.to(nan)
        cell_grad = found.cell_grad.where(found.finite[:, None, None], 0.0)
        gradient = newton.look(moving, part, frac_grad=found.frac_grad, cell_grad=cell_grad)
        strained = newton.stress[moving] > SMALL_PRESSURE
        restless = found.finite & (strained | (newton.force[moving] > SMALL_FORCE))
        if observer is not None:
            gone = observer(step, moving, found) & restless
            ends.given_up[moving[gone]] = True
            restless &= ~gone
        if step == STEPS - 1 or not restless.any():
            break
        moving = moving[restless]
        newton.step(moving, gradient[restless], part.cell[restless])
    return ends
