"""Geometry of real candidates in the variables of a relaxation: gradients, and symmetric steps.

The variables of a crystal of n sites are logarithms of its lattice lengths, its lattice angles
(radians) and Cartesian displacements (Å), 6 + 3n in all.
"""

import torch
from torch import Tensor

from smoacs.crystals import Candidates, Crystals, Invariants, Symmetriser, cell_from_parameters
from smoacs.crystals.lattice import cell_parameters, metric_tensors
from smoacs.evaluation import GPA, NEGLIGIBLE_FORCE
from smoacs.templates import Operations

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


class Variables:
    """Moves the geometry of candidates on one template.

    After every move cell and displacements are averaged over the symmetries that the template has
    with the elements on its sites, so that nothing breaks them.
    """

    def __init__(self, candidates: Candidates, operations: Operations) -> None:
        """Take the candidates, and the symmetries of the bare template."""
        self._candidates = candidates
        self._operations = operations
        self._known: dict[bytes, Invariants | None] = {}

    @property
    def size(self) -> int:
        """Variables of a candidate, 6 + 3n."""
        return LATTICE + 3 * self._candidates.sites_each

    def symmetrise(self, index: Tensor) -> None:
        """Average cells and displacements of candidates ([b] indices) over their symmetries."""
        candidates = self._candidates
        shifts = candidates.displacements.detach().view(len(candidates), -1, 3)[index]
        lengths, angles = candidates.lengths.detach(), candidates.angles.detach()
        self._place(index, lengths[index].double(), angles[index].double(), shifts.double())

    def gradients(
        self, index: Tensor, crystals: Crystals, *, frac_grad: Tensor, cell_grad: Tensor
    ) -> Tensor:
        """Gradient of the energy by the variables, eV (eV/Å by displacements).

        Args:
            index: Candidates, [b].
            crystals: Theirs.
            frac_grad: Gradient by fractional coordinates, eV, [b·n, 3].
            cell_grad: Gradient by the cell at fixed fractional coordinates, eV/Å, [b, 3, 3].

        Returns:
            [b, 6 + 3n]; 0 where something is not finite.
        """
        cell = crystals.cell.detach()
        by_length = (cell * cell_grad).sum(2)
        by_angle = torch.rad2deg(self._by_angles(index, cell_grad))
        inverse = torch.linalg.inv(cell)
        forces = torch.einsum("bij,bnj->bni", inverse, frac_grad.view(len(index), -1, 3))
        # Atoms on symmetric sites feel rounding errors only.
        forces = forces * (forces.norm(dim=2, keepdim=True) > NEGLIGIBLE_FORCE)
        return torch.cat([by_length, by_angle, forces.flatten(1)], 1).nan_to_num(0.0, 0.0, 0.0)

    def _by_angles(self, index: Tensor, cell_grad: Tensor) -> Tensor:
        """Gradient by the angles, eV per degree, [b, 3]; 0 for those that are fixed."""
        candidates = self._candidates
        angles = candidates.angles.detach()[index]
        if not candidates.space.angles_vary:
            return torch.zeros_like(angles)
        angles.requires_grad_()
        with torch.enable_grad():
            cell = cell_from_parameters(candidates.lengths.detach()[index], angles)
            (slope,) = torch.autograd.grad((cell * cell_grad).sum(), angles)
        return slope.where(self._is_free(index), 0.0)

    def apply(self, index: Tensor, step: Tensor, cell: Tensor) -> Tensor:
        """Move crystals within their bounds and symmetries.

        Args:
            index: Candidates, [b].
            step: In the variables, [b, 6 + 3n]; shortened to the largest step that is allowed.
            cell: Before the step, Å, [b, 3, 3].

        Returns:
            The step that was really taken, [b, 6 + 3n].
        """
        step = _shortened(step)
        lengths, angles, shifts = self._geometry(index)
        self._place(
            index,
            lengths.double() * step[:, :3].exp(),
            angles.double() + torch.rad2deg(step[:, 3:LATTICE]) * self._is_free(index),
            shifts.double()
            + (step[:, LATTICE:].view(shifts.shape) @ torch.linalg.inv(cell)).double(),
        )
        after = self._geometry(index)
        moved = (after[2] - shifts) @ cell
        by_length = after[0].log() - lengths.log()
        by_angle = torch.deg2rad(after[1] - angles)
        return torch.cat([by_length, by_angle, moved.flatten(1)], 1)

    def _geometry(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of lengths, angles and displacements, [b, 3], [b, 3] and [b, n, 3]."""
        candidates = self._candidates
        shifts = candidates.displacements.detach().view(len(candidates), -1, 3)
        return candidates.lengths.detach()[index], candidates.angles.detach()[index], shifts[index]

    def _place(self, index: Tensor, lengths: Tensor, angles: Tensor, shifts: Tensor) -> None:
        """Put crystals where they are wanted, but symmetric and within their bounds."""
        symmetry = self._symmetry(index)
        if symmetry is not None:
            lengths, angles = cell_parameters(symmetry.metric(metric_tensors(lengths, angles)))
            shifts = symmetry.displacements(shifts.reshape(-1, 3))
        self._candidates.place(lengths, angles, shifts, index)

    def _symmetry(self, index: Tensor) -> Symmetriser | None:
        """Of candidates with the elements that they hold now; None if none has any."""
        if len(self._operations) == 1:
            return None
        elements = self._candidates.rows[index].cpu().numpy()
        of_systems: list[Invariants | None] = []
        for kept in self._operations.kept_by(elements):
            key = kept.tobytes()
            if key not in self._known:
                alone = kept.sum() == 1  # the identity changes nothing
                self._known[key] = None if alone else Invariants.of(self._operations, kept)
            of_systems.append(self._known[key])
        if not any(of_systems):
            return None
        counts = torch.full_like(index, elements.shape[1])
        return Symmetriser(of_systems, counts)

    def _is_free(self, index: Tensor) -> Tensor:
        """Which angles may change, [b, 3]."""
        low, high = self._candidates.space.angle_bounds[index].unbind(1)
        return high > low


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
