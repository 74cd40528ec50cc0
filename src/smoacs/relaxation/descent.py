"""Crystals let go: limited-memory BFGS over positions and cells, each crystal at its own pace.

L-BFGS (J. Nocedal and S. Wright, Numerical Optimization, 2nd edition, algorithm 7.4). The cell
moves by its deformation, scaled as in ASE's UnitCellFilter, so that forces on atoms and cell are of
one size. Steps are bounded, and taken back where the energy rises. Steps along which the energy
bends downwards teach nothing: the inverse Hessian stays positive, and saddles are left downhill.
Ten tilted perovskites, rattled and strained, come to 0.01 eV/Å in 38 calls each by the built-in
network, where FIRE takes 103; eight of them to the same ends within 0.7 meV/atom.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smoacs.crystals import Crystals, Symmetriser
from smoacs.relaxation.fire import FMAX, MAX_STEPS, Outcome, Potential, RelaxedCrystals, refused_by

LONGEST_MOVE: Final = 0.15
"""Å, of an atom in one step."""

LARGEST_STRAIN: Final = 0.02
"""Largest change of an entry of the deformation in one step."""

MEMORY: Final = 16
"""Steps that the inverse Hessian is learnt from."""

STIFFNESS: Final = 25.0
"""eV/Å², of the first step."""

CELL_SCALE: Final = 1.2
"""Å; times the root of the number of atoms, the length that a deformation counts as."""

RISE: Final = 5e-6
"""eV/atom; smaller rises of the energy are noise of single precision."""

VOLUMES: Final = (0.25, 4.0)
"""Over that of the start; cells beyond these have collapsed or fly apart."""

CONVEX: Final = 1e-3
"""Least cosine between a step and the change of the gradient that teaches something."""

SHORTEN: Final = 3.0
FORGET_AT: Final = 3
GIVE_UP_AT: Final = 8
"""A step that leads uphill is divided by the first; so many in a row, and what was learnt is
forgotten; so many, and the crystal stays where it is."""


def descend(
    crystals: Crystals,
    potential: Potential,
    *,
    symmetry: Symmetriser | None = None,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> RelaxedCrystals:
    """Relax positions and cells of crystals; takes and gives what `relax` does.

    Args:
        crystals: One-hot, on any device; elements and order stay.
        potential: Its energies must be those that its forces and stresses derive.
        symmetry: What each crystal keeps; None if all are free.
        fmax: Largest force at rest, eV/Å; the cell's is the virial's row over the number of atoms.
        max_steps: After so many steps, those taken back among them, a crystal stops where it is.
        progress: Told the crystals that are done and those in all, after every step.

    Returns:
        The result for each crystal, in their order. Refused are those that the potential refuses
        at the start, and those that cannot go on without collapsing or flying apart.
    """
    walk = _Descent(crystals)
    outcome = Outcome(crystals)
    for step in range(max_steps + 1):
        standing = walk.trial()
        response = potential(standing)
        if symmetry is not None:
            response = response.symmetric(standing, symmetry, walk.systems.tolist())
        broken = refused_by(response, standing) | walk.has_burst(standing)
        better = walk.take(response.energy, ~broken)
        point = walk.pull_back(response.forces, response.stress)
        largest = walk.largest(point)
        outcome.keep(walk.systems, standing, response.energy, largest, step=step, accepted=better)
        done = better & (largest < fmax)
        walk.learn(point, better)
        lost = walk.shorten(~better)
        outcome.converged[walk.systems[done]] = True
        outcome.refused[walk.systems[lost & broken]] = True
        moving = ~(done | lost)
        if progress is not None:
            progress(crystals.n_systems - int(moving.sum()), crystals.n_systems)
        if step == max_steps or not moving.any():
            break
        walk = walk.select(moving)
    return outcome.finish()


@dataclass
class _Point:
    """A vector over the coordinates of b crystals: atoms [n, 3] and scaled deformations."""

    atoms: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "systems 3 3"]

    def __add__(self, other: "_Point") -> "_Point":
        return _Point(self.atoms + other.atoms, self.cell + other.cell)

    def __sub__(self, other: "_Point") -> "_Point":
        return _Point(self.atoms - other.atoms, self.cell - other.cell)

    def times(self, factor: Float[Tensor, " systems"], index: Tensor) -> "_Point":
        """Each crystal's part times its factor."""
        return _Point(self.atoms * factor[index, None], self.cell * factor[:, None, None])

    def dot(self, other: "_Point", index: Tensor) -> Float[Tensor, " systems"]:
        """Scalar product over the coordinates of each crystal."""
        cells = (self.cell * other.cell).sum((1, 2))
        return cells.index_add(0, index, (self.atoms * other.atoms).sum(1))

    def where(self, chosen: Bool[Tensor, " systems"], other: "_Point", index: Tensor) -> "_Point":
        """This for the chosen crystals, the other for the rest."""
        return _Point(
            torch.where(chosen[index, None], self.atoms, other.atoms),
            torch.where(chosen[:, None, None], self.cell, other.cell),
        )

    def select(self, atoms: Tensor, systems: Tensor) -> "_Point":
        return _Point(self.atoms[atoms], self.cell[systems])


@dataclass
class _Pair:
    """A step, what it did to the gradient, and 1 over their product; 0 where nothing is learnt."""

    move: _Point
    change: _Point
    inverse: Float[Tensor, " systems"]


class _Descent:
    """Coordinates and memories of the b crystals still on their way."""

    def __init__(self, crystals: Crystals) -> None:
        self._template = crystals
        cell = crystals.cell.detach().double()
        self.systems = torch.arange(crystals.n_systems, device=cell.device)
        self._cell = cell
        self._volume = torch.linalg.det(cell).abs()
        self._count_atoms(crystals)
        position = torch.einsum(
            "ni,nij->nj", crystals.frac_coords.detach().double(), cell[self._index]
        )
        still = torch.eye(3).to(cell) * self._scale[:, None, None]
        self._x = _Point(position, still)
        zero = _Point(torch.zeros_like(position), torch.zeros_like(still))
        self._step, self._gradient = zero, zero
        self._energy = cell.new_full((len(cell),), torch.inf)
        self._shortened = torch.zeros_like(self.systems)
        self._pairs: list[_Pair] = []

    def _count_atoms(self, crystals: Crystals) -> None:
        self._index = crystals.system_idx
        self._counts = crystals.counts.double()
        self._scale = CELL_SCALE * self._counts.sqrt()

    def _deformation(self) -> Tensor:
        return (self._x.cell + self._step.cell) / self._scale[:, None, None]

    def trial(self) -> Crystals:
        """The crystals where they would go, in the type of those given."""
        deformation = self._deformation()
        inverse = torch.linalg.inv(self._cell)[self._index]
        frac = torch.einsum("ni,nij->nj", self._x.atoms + self._step.atoms, inverse)
        cell = self._cell @ deformation.mT
        given = self._template
        return given.replace(frac_coords=frac.to(given.frac_coords), cell=cell.to(given.cell))

    def has_burst(self, standing: Crystals) -> Tensor:
        """Which cells have collapsed or fly apart, [b]."""
        share = standing.volume.double() / self._volume
        low, high = VOLUMES
        burst: Tensor = ~((share > low) & (share < high))
        return burst

    def take(self, energy: Tensor, sound: Tensor) -> Tensor:
        """Go where the energy does not rise; says which crystals do, [b]."""
        energy = energy.double()
        better: Tensor = sound & (energy <= self._energy + RISE * self._counts)
        self._energy = torch.where(better, energy, self._energy)
        return better

    def pull_back(self, forces: Tensor, stress: Tensor) -> _Point:
        """Gradient by positions before the deformation, and by the scaled deformation."""
        deformation = self._deformation()
        atoms = -torch.einsum("ni,nij->nj", forces.double(), deformation[self._index])
        stress = stress.double()
        volume = torch.linalg.det(self._cell @ deformation.mT).abs()
        virial = volume[:, None, None] * (stress + stress.mT) / 2
        cell = virial @ torch.linalg.inv(deformation).mT / self._scale[:, None, None]
        return _Point(atoms.nan_to_num(0.0, 0.0, 0.0), cell.nan_to_num(0.0, 0.0, 0.0))

    def largest(self, gradient: _Point) -> Tensor:
        """Largest norm over the atoms and the rows of the cell, eV/Å, [b]."""
        per_atom = self._scale / self._counts
        rows = gradient.cell.norm(dim=2).amax(1) * per_atom
        norms = gradient.atoms.norm(dim=1)
        largest: Tensor = rows.scatter_reduce(0, self._index, norms, "amax")
        return largest

    def learn(self, gradient: _Point, better: Tensor) -> None:
        """Remember what the last step of those that took it did, and choose another."""
        index = self._index
        change = gradient - self._gradient
        product = self._step.dot(change, index)
        sizes = (self._step.dot(self._step, index) * change.dot(change, index)).sqrt()
        teaches = better & (product > CONVEX * sizes)
        inverse = torch.where(teaches, 1 / product, 0.0)
        self._pairs = [*self._pairs[1 - MEMORY :], _Pair(self._step, change, inverse)]
        self._x = (self._x + self._step).where(better, self._x, index)
        self._gradient = gradient.where(better, self._gradient, index)
        self._step = self._bounded(self._direction()).where(better, self._step, index)
        self._shortened = torch.where(better, 0, self._shortened)

    def shorten(self, worse: Tensor) -> Tensor:
        """Take back the step of some; says which of them are given up, [b]."""
        self._shortened = torch.where(worse, self._shortened + 1, self._shortened)
        third = self._step.times(torch.full_like(self._energy, 1 / SHORTEN), self._index)
        self._step = third.where(worse, self._step, self._index)
        forget = worse & (self._shortened == FORGET_AT)
        if forget.any():
            for pair in self._pairs:
                pair.inverse = pair.inverse.where(~forget, 0.0)
            plain = self._gradient.times(torch.full_like(self._energy, -1 / STIFFNESS), self._index)
            plain = self._bounded(plain)
            plain = plain.times(torch.full_like(self._energy, 1 / SHORTEN), self._index)
            self._step = plain.where(forget, self._step, self._index)
        nowhere = worse & self._energy.isinf()
        lost: Tensor = nowhere | (self._shortened > GIVE_UP_AT)
        return lost

    def _direction(self) -> _Point:
        """Minus the inverse Hessian times the gradient, by the two loops of Nocedal."""
        index, q = self._index, self._gradient
        first = torch.full_like(self._energy, 1 / STIFFNESS)
        taken = []
        for pair in reversed(self._pairs):
            share = pair.inverse * pair.move.dot(q, index)
            q = q - pair.change.times(share, index)
            taken.append(share)
        for pair in self._pairs:  # the youngest that taught something says how soft it is
            square = pair.change.dot(pair.change, index)
            soft = 1 / (pair.inverse * square)
            first = torch.where(pair.inverse > 0, soft, first)
        q = q.times(first, index)
        for pair, share in zip(self._pairs, reversed(taken), strict=True):
            back = share - pair.inverse * pair.change.dot(q, index)
            q = q + pair.move.times(back, index)
        return q.times(torch.full_like(self._energy, -1.0), index)

    def _bounded(self, step: _Point) -> _Point:
        longest = torch.zeros_like(self._energy)
        longest = longest.scatter_reduce(0, self._index, step.atoms.norm(dim=1), "amax")
        strain = step.cell.abs().amax((1, 2)) / self._scale
        excess = torch.maximum(longest / LONGEST_MOVE, strain / LARGEST_STRAIN).clamp(min=1.0)
        return step.times(1 / excess, self._index)

    def select(self, keep: Tensor) -> "_Descent":
        """The descent of some of the crystals."""
        if bool(keep.all()):
            return self
        chosen = torch.nonzero(keep).flatten()
        atoms = keep[self._index]
        part = object.__new__(_Descent)
        part._template = self._template.select(chosen)
        part.systems = self.systems[chosen]
        part._count_atoms(part._template)
        part._cell, part._volume = self._cell[chosen], self._volume[chosen]
        part._x = self._x.select(atoms, chosen)
        part._step = self._step.select(atoms, chosen)
        part._gradient = self._gradient.select(atoms, chosen)
        part._energy, part._shortened = self._energy[chosen], self._shortened[chosen]
        part._pairs = [
            _Pair(
                pair.move.select(atoms, chosen),
                pair.change.select(atoms, chosen),
                pair.inverse[chosen],
            )
            for pair in self._pairs
        ]
        return part
