"""Steps of real crystals towards rest, one a call, each candidate at its own pace.

Quasi-Newton steps of limited memory (L-BFGS: J. Nocedal and S. Wright, Numerical Optimization, 2nd
edition, algorithm 7.4) in logarithms of lattice lengths, lattice angles and Cartesian
displacements. The inverse Hessian starts from that of a typical ionic solid. After every step cell
and displacements are averaged over the symmetries that the decorated template has.
"""

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals
from smoacs.evaluation import GPA
from smoacs.relaxation.motion import LATTICE, SPRING, Motion, typical_compliance
from smoacs.relaxation.site_symmetry import SiteSymmetry

MEMORY = 12
"""Steps that the inverse Hessian is learnt from."""


class Settler:
    """Moves geometry down the energy; the crystals of B candidates on one template.

    Attributes:
        stress: Largest slope of the energy by any variable of the lattice over the volume, where
            each candidate was evaluated last, GPa, [B].
        force: Largest force on an atom there, but for what pushes against its box, eV/Å, [B].
    """

    def __init__(self, soft: SoftCrystals, symmetry: SiteSymmetry) -> None:
        """Take the candidates whose geometry to move, in place; call `restart` before `step`."""
        self._soft = soft
        self._motion = Motion(soft, symmetry)
        like = soft.lengths.detach()
        b = len(like)
        size = LATTICE + 3 * (len(soft.displacements) // b)
        self.stress = torch.full_like(like[:, 0], torch.inf)
        self.force = self.stress.clone()
        self._moves = like.new_zeros(b, MEMORY, size)
        self._changes = like.new_zeros(b, MEMORY, size)
        self._curvature = like.new_zeros(b, MEMORY)  # inverse; 0 where nothing was learnt
        self._gradient = like.new_full((b, size), torch.nan)
        self._move = like.new_zeros(b, size)
        self._compliance = typical_compliance(like)

    def restart(self, systems: Tensor, elements: Tensor) -> None:
        """Begin anew for some candidates ([B] bool), whose sites now hold `elements` ([N])."""
        index = torch.nonzero(systems).flatten()
        self._motion.decorate(index, elements.view(len(systems), -1)[index])
        self._motion.symmetrise(index)
        self._curvature[index] = 0
        self._gradient[index] = torch.nan

    def look(
        self, index: Tensor, crystals: Crystals, *, frac_grad: Tensor, cell_grad: Tensor
    ) -> Tensor:
        """Note stress and forces of crystals that were evaluated.

        Args:
            index: Candidates that were evaluated, [b].
            crystals: Their crystals, computed from the candidates' variables, [b].
            frac_grad: Gradient of the energy by fractional coordinates, eV, [b·n, 3].
            cell_grad: By the cell at fixed fractional coordinates, eV/Å, [b, 3, 3].

        Returns:
            Gradient of the energy by the variables of the crystals, eV, [b, 6 + 3n].
        """
        gradient = self._motion.gradients(
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
        self._move[index] = self._motion.apply(index, step, cell)

    def _unless_outwards(self, index: Tensor, frac_grad: Tensor) -> Tensor:
        """Gradients by coordinates, eV, [b, n, 3]; 0 for those that push against their box."""
        shape = (self._soft.space.n_systems, -1, 3)
        box = self._soft.space.coord_box.view(shape)[index]
        displacements = self._soft.displacements.detach().view(shape)[index]
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
