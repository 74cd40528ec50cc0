"""Many crystals at once to the minimum of a potential, with what they pass through.

Limited-memory BFGS in positions and deformation gradient (as ASE's `UnitCellFilter` defines them),
with bounded steps that are taken back where the energy rises. Pairs of steps with negative
curvature are not learnt from, so that the search leaves saddle points downhill.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

import ase
import numpy as np
from numpy.typing import NDArray
from potential import Labels

Array = NDArray[np.float64]

MAX_FORCE: Final = 0.01
"""eV/Å."""

MAX_STRESS: Final = 3e-4
"""eV/Å³, 0.05 GPa."""

MAX_STEPS: Final = 220
STEP: Final = 0.15
"""Å, longest way of an atom in a step."""

STRAIN: Final = 0.02
"""Largest change of the deformation gradient in a step."""

MEMORY: Final = 16
STIFFNESS: Final = 25.0
"""eV/Å², of the first step."""

RISE: Final = 5e-6
"""eV/atom; smaller rises of the energy are noise of single precision."""

DENSE: Final = 4.0
LOOSE: Final = 4.0
"""Å³ per atom, and volume over that of the start: cells beyond these are broken."""

SLOTS: Final = 16
"""Crystals that relax side by side."""


class Potential(Protocol):
    """`potential.Potential`, or what takes its place."""

    def __call__(self, crystals: Sequence[ase.Atoms]) -> list[Labels]:
        """Labels in the crystals' order."""
        ...


@dataclass(frozen=True)
class Frame:
    """A crystal with its labels."""

    atoms: ase.Atoms
    labels: Labels

    @property
    def energy(self) -> float:
        """eV/atom."""
        return self.labels.energy / len(self.atoms)

    @property
    def max_force(self) -> float:
        """eV/Å."""
        return float(np.linalg.norm(self.labels.forces, axis=1).max())


@dataclass
class Relaxation:
    """One crystal on its way; `next` is the geometry to be labelled, None at the end.

    Attributes:
        frames: Accepted steps, the start first.
        failure: Why it was given up; empty otherwise.
        steps: Labels used.
    """

    start: ase.Atoms
    max_steps: int = MAX_STEPS
    max_force: float = MAX_FORCE
    frames: list[Frame] = field(default_factory=list)
    failure: str = ""
    steps: int = 0
    converged: bool = False

    def __post_init__(self) -> None:
        """Begin at the start."""
        n = len(self.start)
        self._factor = 1.2 * np.sqrt(n)
        self._cell = self.start.cell.array.copy()
        self._x = np.vstack([self.start.positions, self._factor * np.eye(3)])
        self._trial = self._x
        self._history: list[tuple[Array, Array]] = []
        self._gradient: Array | None = None
        self._halvings = 0
        self.next: ase.Atoms | None = self.start.copy()

    @property
    def end(self) -> Frame:
        """The last accepted step."""
        return self.frames[-1]

    def advance(self, labels: Labels) -> None:
        """Take in the labels of `next` and choose another."""
        if self.next is None:
            raise ValueError("the relaxation is over")
        self.steps += 1
        atoms, n = self.next, len(self.next)
        broken = _broken(atoms, labels, self.start)
        if broken and not self.frames:
            self.failure, self.next = broken, None
            return
        if broken or (self.frames and labels.energy > self.end.labels.energy + RISE * n):
            self._shorten()
            return
        gradient = self._pull_back(labels)
        if self._gradient is not None:
            s, y = self._trial - self._x, gradient - self._gradient
            if (s * y).sum() > 1e-3 * np.linalg.norm(s) * np.linalg.norm(y):
                self._history = [*self._history[1 - MEMORY :], (s, y)]
        self._x, self._gradient, self._halvings = self._trial, gradient, 0
        self.frames.append(Frame(atoms, labels))
        at_rest = self.end.max_force < self.max_force
        self.converged = at_rest and float(np.abs(labels.stress).max()) < MAX_STRESS
        if self.converged or self.steps >= self.max_steps:
            self.next = None
            return
        self._step = self._bounded(-self._direction(gradient))
        self._go()

    def _shorten(self) -> None:
        """Try a third of the last step; the third time in a row, forget all curvature."""
        self._halvings += 1
        if self._halvings > 8 or self.steps >= self.max_steps or self._gradient is None:
            self.next = None
            return
        self._step = self._step / 3.0
        if self._halvings == 3:
            self._history = []
            self._step = self._bounded(-self._gradient / STIFFNESS) / 3.0
        self._go()

    def _go(self) -> None:
        self._trial = self._x + self._step
        deformation = self._trial[-3:] / self._factor
        atoms = self.start.copy()
        atoms.set_cell(self._cell @ deformation.T, scale_atoms=False)
        atoms.positions = self._trial[:-3] @ deformation.T
        self.next = atoms

    def _pull_back(self, labels: Labels) -> Array:
        """Gradient of the energy by positions before deformation and by the deformation."""
        deformation = self._trial[-3:] / self._factor
        volume = abs(np.linalg.det(self._cell @ deformation.T))
        virial = volume * labels.stress
        by_cell = np.linalg.solve(deformation, virial).T / self._factor
        return np.vstack([-labels.forces @ deformation, by_cell])

    def _direction(self, gradient: Array) -> Array:
        """Inverse Hessian times gradient, by the two loops of Nocedal."""
        q, kept = gradient.copy(), []
        for s, y in reversed(self._history):
            rho = 1.0 / (s * y).sum()
            a = rho * (s * q).sum()
            q -= a * y
            kept.append((s, y, rho, a))
        if self._history:
            s, y = self._history[-1]
            q *= (s * y).sum() / (y * y).sum()
        else:
            q /= STIFFNESS
        for s, y, rho, a in reversed(kept):
            q += s * (a - rho * (y * q).sum())
        return q

    def _bounded(self, step: Array) -> Array:
        longest = np.linalg.norm(step[:-3], axis=1).max() / STEP
        strain = np.abs(step[-3:]).max() / self._factor / STRAIN
        return step / max(1.0, longest, strain)


def _broken(atoms: ase.Atoms, labels: Labels, start: ase.Atoms) -> str:
    """What is wrong with a geometry, if anything."""
    volume = atoms.get_volume()
    if not (np.isfinite(labels.energy) and np.isfinite(labels.forces).all()):
        return "labels are no numbers"
    if volume / len(atoms) < DENSE or volume > LOOSE * start.get_volume():
        return "the cell collapses or flies apart"
    return ""


def relax(
    potential: Potential,
    starts: Sequence[ase.Atoms],
    *,
    max_steps: int = MAX_STEPS,
    max_force: float = MAX_FORCE,
) -> list[Relaxation]:
    """Relax crystals freely, some at a time; results in the order of the starts."""
    all_runs = [Relaxation(start, max_steps, max_force) for start in starts]
    waiting: Iterator[Relaxation] = iter(all_runs)
    running = list(islice(waiting, SLOTS))
    while running:
        labels = potential([run.next for run in running if run.next is not None])
        for run, item in zip(running, labels, strict=True):
            run.advance(item)
        ended = sum(run.next is None for run in running)
        running = [run for run in running if run.next is not None]
        running += islice(waiting, ended)
    return all_runs


def thinned(frames: Sequence[Frame], most: int = 9) -> list[int]:
    """Places of frames that differ: start, end, and those between by energy and displacement."""
    kept = [0]
    end = frames[-1].energy
    for k in range(1, len(frames) - 1):
        last = frames[kept[-1]]
        fall = last.energy - frames[k].energy
        far = fall > max(0.003, 0.3 * (last.energy - end)) or way(last.atoms, frames[k].atoms) > 0.1
        if far and frames[k].energy - end > 0.001:
            kept.append(k)
    if len(kept) > most - 1:
        places = np.linspace(0, len(kept) - 1, most - 1).round().astype(int)
        kept = [kept[place] for place in dict.fromkeys(places.tolist())]
    return [*kept, len(frames) - 1] if len(frames) > 1 else kept


def way(one: ase.Atoms, two: ase.Atoms) -> float:
    """Root mean square displacement (Å) between two geometries of the same atoms."""
    change = two.get_scaled_positions(wrap=False) - one.get_scaled_positions(wrap=False)
    change -= change.mean(axis=0)
    strain = np.linalg.norm(two.cell.array - one.cell.array) / 3.0
    return float(np.sqrt((np.square(change @ one.cell.array)).sum(axis=1).mean()) + strain)
