"""Interatomic potentials that took no part in the design: batches of CHGNet, or ASE's calculators.

A potential relaxes crystals with their elements fixed, and gives forces for phonons. CHGNet
(extra `chgnet`) runs in batches, any other one crystal by crystal: a calculator of SevenNet's size
is busy with one. A relaxation that keeps the symmetry goes by our own FIRE, which takes the path of
ASE's; a free one of a calculator by ASE's BFGS, which asks it less often.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.evaluation import Evaluator, single_thread
from smoacs.judging import element_counts, is_crystal
from smoacs.predictors import Predictor
from smoacs.relaxation import Potential, RelaxedCrystals, Response, relax, symmetry_of
from smoacs.structures import symbols

MIN_VOLUME: Final = 4.0
"""Å³ per atom. No crystal at rest is denser (see `smoacs.predictors.adapters.DENSE`), and the
angles of a denser one fill the memory."""

_STIFFNESS: Final = 30.0
"""eV/Å², the curvature that BFGS begins with. With ASE's 70 a rattled perovskite takes half as many
steps again, or twice as many."""

BATCH: Final = 32
"""Crystals relaxed together: as fast as more, and no more are done again after a kill."""


@dataclass(frozen=True)
class RelaxSettings:
    """What a relaxation keeps, and when it ends.

    Attributes:
        fmax: Largest force at rest, eV/Å, of atoms and of the rows of the cell (the virial over the
            number of atoms). Larger ones than .01 move soft modes by some THz.
        max_steps: Most steps.
        keep_symmetry: Whether a crystal keeps the space group that it has at 0.01 Å.
    """

    fmax: float = 0.01
    max_steps: int = 500
    keep_symmetry: bool = True

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: One is out of range.
        """
        if not self.fmax > 0:
            raise InputError(f"fmax is {self.fmax} eV/Å; it is positive")
        if self.max_steps < 1:
            raise InputError(f"max_steps is {self.max_steps}; it is at least 1")


@dataclass(frozen=True)
class RelaxedDesign:
    """What became of one crystal.

    Attributes:
        structure: The relaxed crystal, atoms in their order, without oxidation states; None if the
            potential refused it.
        energy: eV/atom, on the potential's own scale; NaN if refused.
        steps: Steps taken.
        converged: Whether all forces fell below the threshold.
        failure: Why there is no structure; empty otherwise.
    """

    structure: Structure | None
    energy: float
    steps: int
    converged: bool
    failure: str = ""


class CheckPotential(Protocol):
    """A potential that checks designs."""

    @property
    def name(self) -> str:
        """Name and version, as it stands in the results."""
        ...

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax cells and positions; yields the next few crystals, in order, as they are done."""
        ...

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces on the atoms of each structure, eV/Å, each [n, 3]."""
        ...


class BatchedPotential:
    """A differentiable energy as a potential, many crystals at once.

    Crystals that hold unknown elements, atoms on one spot or less than `MIN_VOLUME` per atom are
    refused, at the start or on their way.
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        """Take a predictor of the property `energy`, eV/atom."""
        self.name = name
        self._predictor = predictor

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax in batches; see `CheckPotential`."""
        for start in range(0, len(structures), BATCH):
            yield self._relax(structures[start : start + BATCH], settings)

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces of all at once; memory is bounded by the predictor."""
        crystals = Crystals.from_structures(structures)
        forces = self(crystals).forces.double().cpu().numpy()
        return np.split(forces, np.cumsum([len(s) for s in structures])[:-1])

    @single_thread()
    def __call__(self, crystals: Crystals) -> Response:
        """Energies, forces and stresses; energy NaN for those refused (`smoacs.relaxation`)."""
        loose = crystals.volume / crystals.counts >= MIN_VOLUME
        kept = torch.nonzero(loose & crystals.finite).flatten()
        energy = torch.full((crystals.n_systems,), torch.nan, dtype=torch.float64)
        forces = torch.zeros(crystals.n_atoms, 3, dtype=torch.float64)
        stress = torch.zeros(crystals.n_systems, 3, 3, dtype=torch.float64)
        if len(kept):
            part = self._respond(crystals.select(kept))
            atoms = torch.isin(crystals.system_idx, kept)
            energy[kept], stress[kept] = part.energy.double(), part.stress.double()
            forces[atoms] = part.forces.double()
        return Response(energy, forces, stress)

    def _respond(self, crystals: Crystals) -> Response:
        # One thread: the adapters of published potentials swap parts of their models.
        with Evaluator(self._predictor, ("energy",), energy="energy", threads=1) as evaluator:
            found = evaluator.energy_slopes(crystals)
        energy = found.values["energy"] * crystals.counts
        return Response.from_gradients(energy, found.frac_grad, found.cell_grad, crystals)

    def _relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> list[RelaxedDesign]:
        failures = [self._unfit(structure) for structure in structures]
        fit = [s for s, failure in zip(structures, failures, strict=True) if not failure]
        found = iter(self._relax_fit(fit, settings) if fit else [])
        return [_refusal(failure) if failure else next(found) for failure in failures]

    def _relax_fit(
        self, structures: list[Structure], settings: RelaxSettings
    ) -> list[RelaxedDesign]:
        end = _at_rest(self, structures, settings)
        return _designs(end, refusal=f"shrank to less than {MIN_VOLUME:g} Å³/atom")

    def _unfit(self, structure: Structure) -> str:
        """Why the potential cannot be asked about a structure; empty if it can."""
        if not is_crystal(structure):
            return "no crystal: atoms on one spot, or a flat cell"
        unknown = sorted(set(element_counts(structure)) - self._predictor.elements)
        if unknown:
            return f"{self.name} does not know {', '.join(unknown)}"
        if structure.volume / len(structure) < MIN_VOLUME:
            return f"less than {MIN_VOLUME:g} Å³/atom"
        return ""


class AsePotential:
    """Any ASE calculator, one crystal at a time."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        """Take a function that makes a calculator of energy, forces and stress."""
        self.name = name
        self._make = make

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax each crystal; one that the calculator fails on is refused with its words."""
        for structure in structures:
            yield [self._relax(structure, settings)]

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces, crystal by crystal."""
        return [self._atoms(structure).get_forces() for structure in structures]

    def __call__(self, crystals: Crystals) -> Response:
        """Energies, forces and stresses of real crystals, one after the other."""
        energies, forces, stresses = [], [], []
        for structure in crystals.to_structures():
            atoms = self._atoms(structure)
            energies.append(float(atoms.get_potential_energy()))
            forces.append(torch.as_tensor(np.array(atoms.get_forces()), dtype=torch.float64))
            stress = np.array(atoms.get_stress(voigt=False))
            stresses.append(torch.as_tensor(stress, dtype=torch.float64))
        energy = torch.tensor(energies, dtype=torch.float64)
        return Response(energy, torch.cat(forces), torch.stack(stresses))

    def _relax(self, structure: Structure, settings: RelaxSettings) -> RelaxedDesign:
        if not is_crystal(structure):
            return _refusal("no crystal: atoms on one spot, or a flat cell")
        try:
            if settings.keep_symmetry:
                end = _at_rest(self, [structure], settings)
                return _designs(end, refusal=f"{self.name} gives no numbers")[0]
            return self._relax_freely(structure, settings)
        except Exception as error:  # noqa: BLE001 - a calculator may raise anything; it is recorded
            return _refusal(" ".join(f"{type(error).__name__}: {error}".split()))

    def _relax_freely(self, structure: Structure, settings: RelaxSettings) -> RelaxedDesign:
        atoms = self._atoms(structure)
        free: Any = FrechetCellFilter(atoms)
        optimizer = BFGS(free, logfile=None, alpha=_STIFFNESS)
        converged = optimizer.run(fmax=settings.fmax, steps=settings.max_steps)
        energy = float(atoms.get_potential_energy()) / len(atoms)
        if not np.isfinite(energy):
            return _refusal(f"{self.name} gives no numbers")
        end = Structure(
            Lattice(atoms.cell.array),
            atoms.get_chemical_symbols(),
            atoms.get_scaled_positions(wrap=False),
        )
        return RelaxedDesign(end, energy, optimizer.get_number_of_steps(), bool(converged))

    def _atoms(self, structure: Structure) -> Atoms:
        return Atoms(
            symbols(structure),
            scaled_positions=structure.frac_coords,
            cell=structure.lattice.matrix,
            pbc=True,
            calculator=self._make(),
        )


def _at_rest(
    potential: Potential, structures: Sequence[Structure], settings: RelaxSettings
) -> RelaxedCrystals:
    return relax(
        Crystals.from_structures(structures),
        potential,
        symmetry=symmetry_of(structures) if settings.keep_symmetry else None,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
    )


def _designs(end: RelaxedCrystals, *, refusal: str) -> list[RelaxedDesign]:
    return [
        _refusal(refusal)
        if refused
        else RelaxedDesign(structure, energy / len(structure), steps, converged)
        for structure, energy, steps, converged, refused in zip(
            end.crystals.to_structures(),
            end.energy.tolist(),
            end.steps.tolist(),
            end.converged.tolist(),
            end.refused.tolist(),
            strict=True,
        )
    ]


def _refusal(failure: str) -> RelaxedDesign:
    return RelaxedDesign(None, float("nan"), 0, converged=False, failure=failure)
