"""Relaxing real crystals on the predicted formation energy, many at once, symmetry kept.

Quasi-Newton steps (BFGS: J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, chapter 6)
in logarithms of lattice lengths, lattice angles and Cartesian displacements, each crystal with an
inverse Hessian of its own that starts from a typical ionic solid. After every step cell and
displacements are averaged over the symmetries that the decorated template has, so that nothing
breaks them.
"""

import torch
from torch import Tensor

from smoacs.crystals import SoftCrystals
from smoacs.evaluation import GPA, Evaluator, Observer
from smoacs.relaxation.motion import LATTICE, SPRING, Motion, typical_compliance
from smoacs.relaxation.site_symmetry import SiteSymmetry

STEPS = 30
"""Predictor calls after which a crystal that still moves is given up."""

SMALL_PRESSURE = 0.2
"""GPa on any axis or angle; below it a crystal is relaxed. At 0.5 GPa the band gap of a soft halide
still depended on where the relaxation began, by up to 0.2 eV."""

SMALL_FORCE = 0.03
"""eV/Å on any atom; likewise."""


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
