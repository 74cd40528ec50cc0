"""FIRE over positions and cells of many crystals at once, elements fixed, for any potential.

FIRE: E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with the constants of ASE. The cell
moves by the logarithm of its deformation, as in ASE's FrechetCellFilter: with the atoms' positions
pulled back to the undeformed cell and N times the logarithm as coordinates, the forces on both are
of one size. Every crystal has a clock and a velocity of its own and leaves the batch when it is
done, so it takes the same path alone as in company.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from smoacs.crystals import Crystals, Symmetriser
from smoacs.relaxation.fixed import Fixed

FMAX: Final = 0.05
"""eV/Å below which nothing moves any more."""

MAX_STEPS: Final = 300

_FIRST_TIME_STEP: Final = 0.1
_LONGEST_TIME_STEP: Final = 1.0
_LONGEST_MOVE: Final = 0.2
"""Å, the norm over all coordinates of one crystal."""

_STEPS_BEFORE_SPEEDUP: Final = 5
_SPEEDUP: Final = 1.1
_SLOWDOWN: Final = 0.5
_FIRST_MIXING: Final = 0.1
_LESS_MIXING: Final = 0.99


@dataclass(frozen=True)
class Response:
    """What a potential says of B crystals with N atoms in all.

    Attributes:
        energy: Of the whole cell, eV, [B]; not finite where the potential refuses a crystal.
        forces: Minus the gradient by Cartesian positions, eV/Å, [N, 3].
        stress: Growth of the energy with strain over the volume, eV/Å³, [B, 3, 3]; positive where
            the crystal is stretched too far, as in ASE.
    """

    energy: Float[Tensor, " systems"]
    forces: Float[Tensor, "atoms 3"]
    stress: Float[Tensor, "systems 3 3"]

    @classmethod
    def from_gradients(
        cls,
        energy: Float[Tensor, " systems"],
        frac_grad: Float[Tensor, "atoms 3"],
        cell_grad: Float[Tensor, "systems 3 3"],
        crystals: Crystals,
    ) -> "Response":
        """The response of an energy that was differentiated by our own coordinates.

        Args:
            energy: Of the whole cells, eV.
            frac_grad: Its gradient by `frac_coords`, eV.
            cell_grad: Its gradient by `cell` at fixed `frac_coords`, eV/Å.
            crystals: Where they were taken.
        """
        cell = crystals.cell
        to_cartesian = torch.linalg.inv(cell).transpose(1, 2)
        forces = -torch.einsum("ni,nij->nj", frac_grad, to_cartesian[crystals.system_idx])
        virial = cell.transpose(1, 2) @ cell_grad
        return cls(energy, forces, virial / crystals.volume[:, None, None])

    def symmetric(
        self, crystals: Crystals, symmetry: Symmetriser, systems: Sequence[int]
    ) -> "Response":
        """The part of forces and stresses that keeps symmetries of fractional coordinates.

        Args:
            crystals: Where the potential was asked.
            symmetry: Of these crystals and others.
            systems: Their numbers there, [B].
        """
        cell = crystals.cell.to(self.forces)
        by_coords = torch.einsum("ni,nji->nj", self.forces, cell[crystals.system_idx])
        by_coords = symmetry.gradients(by_coords, systems)
        inverse = torch.linalg.inv(cell)
        forces = torch.einsum("nj,nij->ni", by_coords, inverse[crystals.system_idx])
        # A strain e changes the metric A Aᵀ by A (e + eᵀ) Aᵀ: stresses are gradients by metrics.
        stress = self.stress.to(cell)
        by_metric = symmetry.metric_gradients(inverse.mT @ stress @ inverse, systems)
        return Response(self.energy, forces, cell.mT @ by_metric @ cell)


@runtime_checkable
class Potential(Protocol):
    """Energies, forces and stresses of real crystals; called once a step with those that move."""

    def __call__(self, crystals: Crystals) -> Response:
        """Evaluate a batch; no gradient flows through the answer."""
        ...


@dataclass(frozen=True)
class RelaxedCrystals:
    """Where B crystals came to rest, or stopped.

    Attributes:
        crystals: The last geometry of each that the potential accepted.
        energy: There, eV for the whole cell, [B].
        max_force: There, the largest force on an atom or on a row of the cell, eV/Å, [B].
        steps: Taken by each crystal, [B].
        converged: Whether `max_force` fell below the threshold, [B].
        refused: Whether the potential refused the crystal, at the start or on its way, [B].
    """

    crystals: Crystals
    energy: Float[Tensor, " systems"]
    max_force: Float[Tensor, " systems"]
    steps: Int[Tensor, " systems"]
    converged: Bool[Tensor, " systems"]
    refused: Bool[Tensor, " systems"]


def relax(
    crystals: Crystals,
    potential: Potential,
    *,
    symmetry: Symmetriser | None = None,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    fixed: Fixed | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RelaxedCrystals:
    """Relax positions and cells of crystals.

    Args:
        crystals: One-hot, on any device; elements and order stay.
        potential: Its energies must be those that its forces and stresses derive.
        symmetry: What each crystal keeps; None if all are free.
        fmax: Largest force at rest, eV/Å; the cell's is the virial's row over the number of atoms.
        max_steps: After so many steps a crystal stops where it is.
        fixed: What keeps its place: fractional coordinates of atoms, and whole cells. Forces on it
            count as zero.
        progress: Told the crystals that are done and those in all, after every step.

    Returns:
        The result for each crystal, in their order.
    """
    walk = _Walk(crystals, fixed)
    outcome = Outcome(crystals)
    for step in range(max_steps + 1):
        standing = walk.crystals()
        response = potential(standing)
        if symmetry is not None:
            response = response.symmetric(standing, symmetry, walk.systems.tolist())
        refused = refused_by(response, standing)
        forces = walk.forces(response)
        largest = forces.largest(walk)
        outcome.keep(walk.systems, standing, response.energy, largest, step=step, accepted=~refused)
        done = (largest < fmax) & ~refused
        outcome.converged[walk.systems[done]] = True
        outcome.refused[walk.systems[refused]] = True
        moving = ~(done | refused)
        if progress is not None:
            progress(crystals.n_systems - int(moving.sum()), crystals.n_systems)
        if step == max_steps or not moving.any():
            break
        walk, forces = walk.select(moving, forces)
        walk.step(forces)
    return outcome.finish()


def refused_by(response: Response, crystals: Crystals) -> Bool[Tensor, " systems"]:
    """Which crystals have an answer with a number that is none."""
    broken = ~response.forces.isfinite().all(1)
    atoms = torch.bincount(crystals.system_idx[broken], minlength=crystals.n_systems) > 0
    stress = response.stress.isfinite().all(2).all(1)
    refused: Tensor = ~response.energy.isfinite() | ~stress | atoms
    return refused


@dataclass
class _Forces:
    """On the coordinates of the walk: pulled-back positions [n, 3] and logarithms [b, 3, 3]."""

    atoms: Tensor
    cell: Tensor

    def largest(self, walk: "_Walk") -> Tensor:
        """Largest norm over the atoms and the rows of the cell, [b]."""
        rows = self.cell.norm(dim=2).amax(1)
        largest: Tensor = rows.scatter_reduce(0, walk.system_idx, self.atoms.norm(dim=1), "amax")
        return largest


class _Walk:
    """Coordinates, velocities and clocks of the b crystals still on their way."""

    def __init__(self, crystals: Crystals, fixed: Fixed | None = None) -> None:
        self._template = crystals
        self._allowed = None if fixed is None else fixed.allowed(crystals)
        cell = crystals.cell.detach().double()
        self.systems = torch.arange(crystals.n_systems, device=cell.device)
        self.system_idx = crystals.system_idx
        self._start = cell
        self._positions = torch.einsum(
            "ni,nij->nj", crystals.frac_coords.detach().double(), cell[self.system_idx]
        )
        self._logarithm = torch.zeros_like(cell)
        self._atom_speed = torch.zeros_like(self._positions)
        self._cell_speed = torch.zeros_like(cell)
        b = crystals.n_systems
        self._time_step = cell.new_full((b,), _FIRST_TIME_STEP)
        self._mixing = cell.new_full((b,), _FIRST_MIXING)
        self._downhill = torch.zeros_like(self.systems)
        self._begun = False

    @property
    def _n_atoms(self) -> Tensor:
        return torch.bincount(self.system_idx, minlength=len(self.systems))

    @property
    def _deformation(self) -> Tensor:
        deformation: Tensor = torch.linalg.matrix_exp(self._logarithm / self._scale)
        return deformation

    @property
    def _scale(self) -> Tensor:
        return self._n_atoms.double()[:, None, None]

    def crystals(self) -> Crystals:
        """The crystals as they stand, in the type of those given."""
        inverse = torch.linalg.inv(self._start)[self.system_idx]
        frac = torch.einsum("ni,nij->nj", self._positions, inverse)
        cell = self._start @ self._deformation.transpose(1, 2)
        given = self._template
        return given.replace(frac_coords=frac.to(given.frac_coords), cell=cell.to(given.cell))

    def forces(self, response: Response) -> _Forces:
        """Pull the potential's answer back to the coordinates of the walk.

        The force on the logarithm U is the adjoint of the derivative of exp at U, applied to that
        on exp(U): again such a derivative, at the transpose of U (N. Higham, Functions of Matrices,
        2008, section 3.2 and equation 10.21).
        """
        deformation = self._deformation
        on_atoms = torch.einsum(
            "ni,nij->nj", response.forces.double(), deformation[self.system_idx]
        )
        stress = response.stress.double()
        symmetric = (stress + stress.transpose(1, 2)) / 2
        volume = torch.linalg.det(self._start @ deformation.transpose(1, 2)).abs()
        virial = -volume[:, None, None] * symmetric
        on_deformation = virial @ torch.linalg.inv(deformation).transpose(1, 2)
        transposed = (self._logarithm / self._scale).transpose(1, 2)
        block = torch.zeros(len(self.systems), 6, 6, dtype=torch.float64, device=virial.device)
        block[:, :3, :3] = block[:, 3:, 3:] = transposed
        block[:, :3, 3:] = torch.nan_to_num(on_deformation)  # those refused; never used
        on_logarithm = torch.linalg.matrix_exp(block)[:, :3, 3:] / self._scale
        if self._allowed is not None:
            atoms, cells = self._allowed
            on_atoms = torch.einsum("ni,nij->nj", on_atoms, atoms)
            on_logarithm = on_logarithm * cells[:, None, None]
        return _Forces(on_atoms, on_logarithm)

    def select(self, keep: Tensor, forces: _Forces) -> "tuple[_Walk, _Forces]":
        """The walk of some of the crystals, and the forces on them."""
        if bool(keep.all()):
            return self, forces
        chosen = torch.nonzero(keep).flatten()
        atoms = keep[self.system_idx]
        part = object.__new__(_Walk)
        part._template = self._template.select(chosen)
        part.systems = self.systems[chosen]
        part.system_idx = part._template.system_idx
        part._start = self._start[chosen]
        part._allowed = self._allowed and (self._allowed[0][atoms], self._allowed[1][chosen])
        part._positions = self._positions[atoms]
        part._logarithm = self._logarithm[chosen]
        part._atom_speed = self._atom_speed[atoms]
        part._cell_speed = self._cell_speed[chosen]
        part._time_step = self._time_step[chosen]
        part._mixing = self._mixing[chosen]
        part._downhill = self._downhill[chosen]
        part._begun = self._begun
        return part, _Forces(forces.atoms[atoms], forces.cell[chosen])

    def step(self, forces: _Forces) -> None:
        """One step of FIRE."""
        if self._begun:
            self._turn(forces)
        self._begun = True
        self._atom_speed += self._time_step[self.system_idx, None] * forces.atoms
        self._cell_speed += self._time_step[:, None, None] * forces.cell
        speed = self._dot(self._atom_speed, self._cell_speed, self._atom_speed, self._cell_speed)
        move = self._time_step * speed.sqrt()
        reach = self._time_step * (_LONGEST_MOVE / move.clamp(min=_LONGEST_MOVE))
        self._positions = self._positions + reach[self.system_idx, None] * self._atom_speed
        self._logarithm = self._logarithm + reach[:, None, None] * self._cell_speed

    def _turn(self, forces: _Forces) -> None:
        """Bend the velocities towards the forces; stop those that run uphill."""
        speeds = (self._atom_speed, self._cell_speed)
        along = self._dot(forces.atoms, forces.cell, *speeds) > 0
        force = self._dot(forces.atoms, forces.cell, forces.atoms, forces.cell).sqrt()
        speed = self._dot(*speeds, *speeds).sqrt()
        keep = torch.where(along, 1 - self._mixing, 0)
        add = torch.where(along, self._mixing * speed / force, 0)
        index = self.system_idx
        self._atom_speed = keep[index, None] * speeds[0] + add[index, None] * forces.atoms
        self._cell_speed = keep[:, None, None] * speeds[1] + add[:, None, None] * forces.cell
        fast = along & (self._downhill > _STEPS_BEFORE_SPEEDUP)
        longer = (self._time_step * _SPEEDUP).clamp(max=_LONGEST_TIME_STEP)
        self._time_step = torch.where(fast, longer, self._time_step)
        self._time_step = torch.where(along, self._time_step, self._time_step * _SLOWDOWN)
        self._mixing = torch.where(fast, self._mixing * _LESS_MIXING, self._mixing)
        self._mixing = torch.where(
            along, self._mixing, torch.full_like(self._mixing, _FIRST_MIXING)
        )
        self._downhill = torch.where(along, self._downhill + 1, torch.zeros_like(self._downhill))

    def _dot(self, atoms_1: Tensor, cell_1: Tensor, atoms_2: Tensor, cell_2: Tensor) -> Tensor:
        """Scalar product over all coordinates of each crystal, [b]."""
        cells = (cell_1 * cell_2).sum((1, 2))
        return cells.index_add(0, self.system_idx, (atoms_1 * atoms_2).sum(1))


class Outcome:
    """The last state of each of the B crystals."""

    def __init__(self, crystals: Crystals) -> None:
        self._given = crystals
        self._frac = crystals.frac_coords.detach().clone()
        self._cell = crystals.cell.detach().clone()
        empty = self._cell.new_full((crystals.n_systems,), torch.nan, dtype=torch.float64)
        self._energy, self._max_force = empty, empty.clone()
        self._steps = torch.zeros(crystals.n_systems, dtype=torch.int64, device=empty.device)
        self.converged = torch.zeros_like(self._steps, dtype=torch.bool)
        self.refused = self.converged.clone()

    def keep(
        self,
        systems: Int[Tensor, " systems"],
        now: Crystals,
        energy: Float[Tensor, " systems"],
        largest: Float[Tensor, " systems"],
        *,
        step: int,
        accepted: Bool[Tensor, " systems"],
    ) -> None:
        """Note where the accepted ones of some crystals stand."""
        systems = systems[accepted]
        chosen = torch.zeros_like(self.refused)
        chosen[systems] = True
        self._frac[chosen[self._given.system_idx]] = now.frac_coords[accepted[now.system_idx]]
        self._cell[systems] = now.cell[accepted]
        self._energy[systems] = energy.double()[accepted]
        self._max_force[systems] = largest[accepted]
        self._steps[systems] = step

    def finish(self) -> RelaxedCrystals:
        """The outcome as a record."""
        return RelaxedCrystals(
            crystals=self._given.replace(frac_coords=self._frac, cell=self._cell),
            energy=self._energy,
            max_force=self._max_force,
            steps=self._steps,
            converged=self.converged,
            refused=self.refused,
        )
