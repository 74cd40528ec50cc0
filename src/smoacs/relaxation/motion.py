"""Real crystals moved down the energy: variables, gradients, and steps that keep symmetry.

The variables of a crystal of n sites are logarithms of its lattice lengths, its lattice angles
(radians) and Cartesian displacements (Å), 6 + 3n in all. Both optimisers, `quasi_newton` and
`settler`,
learn the curvature in them.
"""

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals
from smoacs.evaluation import GPA, NEGLIGIBLE_FORCE
from smoacs.relaxation.site_symmetry import SiteSymmetry

BULK_MODULUS = 100.0
"""GPa, of the typical ionic solid that an inverse Hessian starts from."""

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


class Motion:
    """Moves the geometry of B candidates on one template, in place.

    After every move cell and displacements are averaged over the symmetries that the decorated
    template has, so that nothing breaks them.
    """

    def __init__(self, soft: SoftCrystals, symmetry: SiteSymmetry) -> None:
        """Take the candidates, and the symmetry of the bare template."""
        self._soft = soft
        self._symmetry = symmetry
        lengths = soft.lengths.detach()
        self._weights = torch.zeros(
            len(lengths), len(symmetry.rotations), dtype=torch.float64, device=lengths.device
        )

    def decorate(self, index: Tensor, elements: Tensor) -> None:
        """Keep the symmetries that candidates ([b] indices) have with these elements, [b, n]."""
        self._weights[index] = self._symmetry.kept_by(elements).to(self._weights)

    def symmetrise(self, index: Tensor) -> None:
        """Average cells and displacements of candidates ([b] indices) over their symmetries."""
        soft = self._soft
        with torch.no_grad():
            lengths, angles = (p[index].double() for p in soft.cell_parameters())
            shift = soft.displacements[self._sites(index)].view(len(index), -1, 3)
            self._place(index, lengths, angles, shift)

    def gradients(
        self, index: Tensor, crystals: Crystals, *, frac_grad: Tensor, cell_grad: Tensor
    ) -> Tensor:
        """Gradient of the energy by the variables of crystals, eV (eV/Å by displacements).

        Args:
            index: Candidates, [b].
            crystals: Theirs, computed from the candidates' variables.
            frac_grad: Gradient by fractional coordinates, eV, [b·n, 3].
            cell_grad: Gradient by the cell at fixed fractional coordinates, eV/Å, [b, 3, 3].

        Returns:
            [b, 6 + 3n]; 0 where something is not finite.
        """
        soft = self._soft
        for leaf in (soft.lengths, soft.angles):
            leaf.grad = None
        crystals.cell.backward(cell_grad)
        by_length = soft.lengths.detach()[index] * _grad(soft.lengths)[index]
        span = self._angle_span(index)
        by_angle = torch.where(span > 0, _grad(soft.angles)[index] / span.clamp(min=1e-6), 0.0)
        for leaf in (soft.lengths, soft.angles):
            leaf.grad = None
        inverse = torch.linalg.inv(crystals.cell.detach())
        forces = torch.einsum("bij,bnj->bni", inverse, frac_grad.view(len(index), -1, 3))
        # Atoms on symmetric sites feel rounding errors only.
        forces = forces * (forces.norm(dim=2, keepdim=True) > NEGLIGIBLE_FORCE)
        return torch.cat([by_length, by_angle, forces.flatten(1)], 1).nan_to_num(0.0, 0.0, 0.0)

    def apply(self, index: Tensor, step: Tensor, cell: Tensor) -> Tensor:
        """Move crystals within their bounds and symmetries.

        Args:
            index: Candidates, [b].
            step: In the variables, [b, 6 + 3n]; shortened to the largest step that is allowed.
            cell: Before the step, Å, [b, 3, 3].

        Returns:
            The step that was really taken, [b, 6 + 3n].
        """
        soft, sites, shape = self._soft, self._sites(index), (len(index), -1, 3)
        step = _shortened(step)
        span = self._angle_span(index)
        with torch.no_grad():
            before = soft.lengths[index].log(), soft.angles[index], soft.displacements[sites]
            lengths, angles = (p[index].double() for p in soft.cell_parameters())
            lengths = lengths * step[:, :3].exp()
            angles = angles + torch.rad2deg(step[:, 3:LATTICE]) * (span > 0)
            shift = step[:, LATTICE:].view(shape) @ torch.linalg.inv(cell)
            self._place(index, lengths, angles, soft.displacements[sites].view(shape) + shift)
            moved = (soft.displacements[sites] - before[2]).view(shape) @ cell
            by_length = soft.lengths[index].log() - before[0]
            by_angle = (soft.angles[index] - before[1]) * span
            return torch.cat([by_length, by_angle, moved.flatten(1)], 1)

    def _place(self, index: Tensor, lengths: Tensor, angles: Tensor, shift: Tensor) -> None:
        """Put crystals where they are wanted, but symmetric and within their bounds."""
        soft, weights = self._soft, self._weights[index]
        used = (weights > 0).any(0)
        if int(used.sum()) > 1:  # the identity alone changes nothing
            rows = used.cpu().numpy()
            kept = SiteSymmetry(self._symmetry.permutations[rows], self._symmetry.rotations[rows])
            metric = kept.mean_metric(_metric(lengths, angles), weights[:, used])
            lengths, angles = _cell_parameters(metric)
            shift = kept.mean_displacements(shift, weights[:, used])
        low, span = soft.space.angle_bounds[index, 0], self._angle_span(index)
        scaled = torch.deg2rad(angles.to(low) - low) / span.clamp(min=1e-6)
        soft.lengths[index] = (lengths / soft.length_unit).to(soft.lengths)
        soft.angles[index] = torch.where(span > 0, scaled, soft.angles[index])
        soft.displacements[self._sites(index)] = shift.reshape(-1, 3).to(soft.displacements)
        soft.project()

    def _sites(self, index: Tensor) -> Tensor:
        """Sites of candidates ([b] indices), in their order, [b·n]."""
        n = len(self._soft.displacements) // len(self._soft.lengths)
        return (index[:, None] * n + torch.arange(n, device=index.device)).flatten()

    def _angle_span(self, index: Tensor) -> Tensor:
        """Radians from the lowest to the highest of each angle, [b, 3]; 0 where frozen."""
        low, high = self._soft.space.angle_bounds[index].unbind(1)
        return torch.deg2rad(high - low)


def typical_compliance(like: Tensor) -> Tensor:
    """Inverse stiffness of a typical solid by the variables of a lattice, Å³/eV, [6, 6]."""
    along = BULK_MODULUS + 4 / 3 * SHEAR_MODULUS
    across = BULK_MODULUS - 2 / 3 * SHEAR_MODULUS
    stiffness = torch.full((3, 3), across) + torch.eye(3) * (along - across)
    compliance = torch.block_diag(torch.linalg.inv(stiffness), torch.eye(3) / SHEAR_MODULUS)
    scaled: Tensor = GPA * compliance
    return scaled.to(like)


def _shortened(step: Tensor) -> Tensor:
    """Steps, [b, 6 + 3n], scaled so that none strains or shifts more than is allowed."""
    strain = step[:, :LATTICE].abs().amax(1) / MAX_STRAIN
    shift = step[:, LATTICE:].view(len(step), -1, 3).norm(dim=2).amax(1) / MAX_MOVE
    return step / torch.maximum(strain, shift).clamp(min=1.0)[:, None]


def _grad(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


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
