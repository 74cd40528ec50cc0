"""Steps of real crystals towards rest, one a call, each candidate at its own pace.

Quasi-Newton steps of limited memory (L-BFGS: J. Nocedal and S. Wright, Numerical Optimization, 2nd
edition, algorithm 7.4) in logarithms of lattice lengths, lattice angles and Cartesian
displacements. The inverse Hessian starts from that of a typical ionic solid. After every step cell
and displacements are averaged over the symmetries that the decorated template has.
"""

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals
from smoacs.predictors import GPA
from smoacs.search.objective import NEGLIGIBLE_FORCE, Evaluation
from smoacs.search.site_symmetry import SiteSymmetry

MEMORY = 12
"""Steps that the inverse Hessian is learnt from."""

BULK_MODULUS = 100.0
"""GPa, of the solid that the inverse Hessian starts from."""

SHEAR_MODULUS = 40.0
"""GPa; likewise."""

SPRING = 8.0
"""eV/Å², on each atom; likewise."""

MAX_STRAIN = 0.06
"""Largest change of a length (relative) or an angle (radians) in one step."""

MAX_MOVE = 0.15
"""Å, of an atom in one step."""

LATTICE = 6
"""Variables of a lattice: three lengths, three angles."""

_PAIRS = ((1, 2), (0, 2), (0, 1))
"""Axes that each angle lies between."""


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
        self._every = symmetry
        like = soft.lengths.detach()
        b = len(like)
        size = LATTICE + 3 * (len(soft.displacements) // b)
        self.stress = torch.full_like(like[:, 0], torch.inf)
        self.force = self.stress.clone()
        self._weights = torch.zeros(b, len(symmetry.rotations), device=like.device)
        self._moves = like.new_zeros(b, MEMORY, size)
        self._changes = like.new_zeros(b, MEMORY, size)
        self._curvature = like.new_zeros(b, MEMORY)  # inverse; 0 where nothing was learnt
        self._gradient = like.new_full((b, size), torch.nan)
        self._move = like.new_zeros(b, size)
        along = BULK_MODULUS + 4 / 3 * SHEAR_MODULUS
        across = BULK_MODULUS - 2 / 3 * SHEAR_MODULUS
        stiffness = torch.full((3, 3), across) + torch.eye(3) * (along - across)
        compliance = torch.block_diag(torch.linalg.inv(stiffness), torch.eye(3) / SHEAR_MODULUS)
        self._compliance = (GPA * compliance).to(like)

    def restart(self, systems: Tensor, elements: Tensor) -> None:
        """Begin anew for some candidates ([B] bool), whose sites now hold `elements` ([N])."""
        index = torch.nonzero(systems).flatten()
        rows = elements.view(len(systems), -1)[index]
        self._weights[index] = self._every.kept_by(rows).to(self._weights)
        self._curvature[index] = 0
        self._gradient[index] = torch.nan
        with torch.no_grad():
            sites = systems[self._soft.space.system_idx]
            lengths, angles = (p[index].double() for p in self._soft.cell_parameters())
            shift = self._soft.displacements[sites].view(len(index), -1, 3)
            self._place(index, lengths, angles, shift)

    def look(self, index: Tensor, crystals: Crystals, evaluation: Evaluation) -> Tensor:
        """Note stress and forces of crystals that were evaluated.

        Args:
            index: Candidates that were evaluated, [b].
            crystals: Their crystals, computed from the candidates' variables, [b].
            evaluation: With the gradients of the energy.

        Returns:
            Gradient of the energy by the variables of the crystals, eV, [b, 6 + 3n].
        """
        gradient = self._gradients(index, crystals, evaluation)
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
        strain = step[:, :LATTICE].abs().amax(1) / MAX_STRAIN
        shift = step[:, LATTICE:].view(len(index), -1, 3).norm(dim=2).amax(1) / MAX_MOVE
        step = step / torch.maximum(strain, shift).clamp(min=1.0)[:, None]
        self._move[index] = self._apply(index, step, cell)

    def _gradients(self, index: Tensor, crystals: Crystals, evaluation: Evaluation) -> Tensor:
        """Gradient of the energy by the variables of the crystals, eV, [b, 6 + 3n]."""
        soft = self._soft
        for leaf in (soft.lengths, soft.angles):
            leaf.grad = None
        crystals.cell.backward(evaluation.cell_grad)
        by_length = soft.lengths.detach()[index] * _grad(soft.lengths)[index]
        span = _angle_span(soft, index)
        by_angle = torch.where(span > 0, _grad(soft.angles)[index] / span.clamp(min=1e-6), 0.0)
        for leaf in (soft.lengths, soft.angles):
            leaf.grad = None
        inverse = torch.linalg.inv(crystals.cell.detach())
        shape = (soft.space.n_systems, -1, 3)
        box = soft.space.coord_box.view(shape)[index]
        displacements = soft.displacements.detach().view(shape)[index]
        frac_grad = evaluation.frac_grad.view(displacements.shape)
        outwards = torch.where(frac_grad < 0, displacements >= box, displacements <= -box)
        frac_grad = frac_grad.masked_fill(outwards, 0.0)
        forces = torch.einsum("bij,bnj->bni", inverse, frac_grad)
        forces = forces * (forces.norm(dim=2, keepdim=True) > NEGLIGIBLE_FORCE)
        return torch.cat([by_length, by_angle, forces.flatten(1)], 1).nan_to_num(0.0, 0.0, 0.0)

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

    def _apply(self, index: Tensor, move: Tensor, cell: Tensor) -> Tensor:
        """Move the crystals within their bounds and symmetries; return the real step."""
        soft = self._soft
        chosen = torch.zeros(soft.space.n_systems, dtype=torch.bool, device=index.device)
        chosen[index] = True
        sites = chosen[soft.space.system_idx]
        shape = (len(index), -1, 3)
        span = _angle_span(soft, index)
        with torch.no_grad():
            before = soft.lengths[index].log(), soft.angles[index], soft.displacements[sites]
            lengths, angles = (p[index].double() for p in soft.cell_parameters())
            lengths = lengths * move[:, :3].exp()
            angles = angles + torch.rad2deg(move[:, 3:LATTICE]) * (span > 0)
            shift = move[:, LATTICE:].view(shape) @ torch.linalg.inv(cell)
            self._place(index, lengths, angles, soft.displacements[sites].view(shape) + shift)
            moved = (soft.displacements[sites] - before[2]).view(shape) @ cell
            lattice = soft.lengths[index].log() - before[0], (soft.angles[index] - before[1])
            return torch.cat([lattice[0], lattice[1] * span, moved.flatten(1)], 1)

    def _place(self, index: Tensor, lengths: Tensor, angles: Tensor, shift: Tensor) -> None:
        """Put crystals where they are wanted, but symmetric and within their bounds."""
        soft = self._soft
        weights = self._weights[index]
        used = (weights > 0).any(0)
        if int(used.sum()) > 1:
            rows = used.cpu().numpy()
            symmetry = SiteSymmetry(self._every.permutations[rows], self._every.rotations[rows])
            metric = symmetry.mean_metric(_metric(lengths, angles), weights[:, used])
            lengths, angles = _cell_parameters(metric)
            shift = symmetry.mean_displacements(shift, weights[:, used])
        low = soft.space.angle_bounds[index, 0]
        span = _angle_span(soft, index)
        scaled = torch.deg2rad(angles.to(low) - low) / span.clamp(min=1e-6)
        soft.lengths[index] = (lengths / soft.length_unit).to(soft.lengths)
        soft.angles[index] = torch.where(span > 0, scaled, soft.angles[index])
        chosen = torch.zeros(soft.space.n_systems, dtype=torch.bool, device=index.device)
        chosen[index] = True
        soft.displacements[chosen[soft.space.system_idx]] = shift.reshape(-1, 3)
        soft.project()


def _grad(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _angle_span(soft: SoftCrystals, systems: Tensor) -> Tensor:
    """Radians from the lowest to the highest of each angle, [b, 3]; 0 where frozen."""
    low, high = soft.space.angle_bounds[systems].unbind(1)
    return torch.deg2rad(high - low)


def _metric(lengths: Tensor, angles: Tensor) -> Tensor:
    """Metric tensors, Å², [b, 3, 3], of lattice lengths (Å) and angles (degrees), each [b, 3]."""
    metric = torch.diag_embed(lengths**2)
    cosines = torch.cos(torch.deg2rad(angles))
    for k, (i, j) in enumerate(_PAIRS):
        metric[:, i, j] = metric[:, j, i] = lengths[:, i] * lengths[:, j] * cosines[:, k]
    return metric


def _cell_parameters(metric: Tensor) -> tuple[Tensor, Tensor]:
    """Lattice lengths (Å) and angles (degrees), each [b, 3], of metric tensors."""
    lengths = metric.diagonal(dim1=1, dim2=2).sqrt()
    cosines = [metric[:, i, j] / (lengths[:, i] * lengths[:, j]) for i, j in _PAIRS]
    return lengths, torch.rad2deg(torch.acos(torch.stack(cosines, 1).clamp(-1.0, 1.0)))
