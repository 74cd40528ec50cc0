"""Relaxation of pymatgen structures on the formation energy of any predictor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.errors import InputError, short
from smoacs.evaluation import energy_gradients
from smoacs.evaluation.threads import Workers, atoms_per_chunk
from smoacs.predictors import ENERGY, Predictor, for_properties, load_predictor
from smoacs.relaxation.held import flags_of, held_of
from smoacs.relaxation.optimiser import FMAX, MAX_STEPS, Response, relax
from smoacs.relaxation.symmetry import SymmetricPotential

CLOSEST = 0.1
"""Å. Atoms closer than this have no direction to leave each other in."""


LARGEST_FMAX = 10.0
"""eV/Å. Below a larger force everything is at rest."""

MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Relaxed:
    """A structure at rest, or where its relaxation stopped.

    Attributes:
        structure: Species (with oxidation states, if any) as given.
        energy: Formation energy, eV/atom.
        energy_before: The same of the structure given.
        max_force: Largest force on an atom or on a row of the cell (the virial over the number of
            atoms), eV/Å.
        steps: Taken.
        converged: Whether the force fell below the threshold.
    """

    structure: Structure
    energy: float
    energy_before: float
    max_force: float
    steps: int
    converged: bool


class PredictorPotential(Workers):
    """Energy, forces and stress of a predictor's formation energy; a context manager."""

    def __init__(self, predictor: Predictor) -> None:
        """Take a predictor.

        Raises:
            InputError: If it does not give the formation energy.
        """
        if ENERGY not in predictor.properties:
            raise InputError(f"relaxation needs a predictor of {ENERGY}; this one has none")
        self.predictor = for_properties(predictor, {ENERGY})
        super().__init__()

    def __call__(self, crystals: Crystals) -> Response:
        """Evaluate a batch."""
        chunks = chunk_systems(crystals.counts, atoms_per_chunk(crystals.counts))
        parts = self.map(lambda systems: self._part(crystals, systems), chunks)
        return Response(
            torch.cat([p.energy for p in parts]),
            torch.cat([p.forces for p in parts]),
            torch.cat([p.stress for p in parts]),
        )

    def _part(self, crystals: Crystals, systems: Tensor) -> Response:
        part = crystals.select(systems)
        part.frac_coords.requires_grad_()
        part.cell.requires_grad_()
        neighbors = neighbor_list(part, self.predictor.cutoff)
        energy = self.predictor(part, neighbors)[ENERGY].to(part.cell)
        frac_grad, cell_grad = energy_gradients(energy, part)
        bare = part.replace(frac_coords=part.frac_coords.detach(), cell=part.cell.detach())
        total = energy.detach() * part.counts
        return Response.from_gradients(total, frac_grad, cell_grad, bare)


def relax_structures(  # noqa: PLR0913  (a setting each)
    structures: Sequence[Structure],
    predictor: Predictor | None = None,
    *,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    keep_symmetry: bool = False,
    fix_cell: bool = False,
    fix_atoms: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Relaxed]:
    """Relax cells and positions of many structures at once; the elements stay.

    Atoms with the site property `selective_dynamics` keep their fractional coordinates where it is
    False, as in VASP.

    Args:
        structures: Ordered structures of any sizes.
        predictor: One that gives the formation energy; the built-in one if None.
        fmax: Largest force at rest, eV/Å.
        max_steps: After so many steps a structure stops where it is.
        keep_symmetry: Whether each keeps the space group that it has at 0.01 Å.
        fix_cell: Only atoms move.
        fix_atoms: Only cells move, fractional coordinates stay.
        progress: Told how many are done, and how many there are, after every step.

    Returns:
        A record for each structure, in their order.

    Raises:
        InputError: If a setting is out of range, the predictor gives no formation energy, or a
            structure is no crystal or holds an element that the predictor does not know.
    """
    if not 0 < fmax <= LARGEST_FMAX or not 0 <= max_steps <= MOST_STEPS:
        raise InputError(
            f"fmax ({fmax:g} eV/Å) must be above 0 and at most {LARGEST_FMAX:g}, and max_steps "
            f"({short(str(max_steps))}) from 0 to {MOST_STEPS}"
        )
    predictor = load_predictor() if predictor is None else predictor
    with PredictorPotential(predictor) as potential:
        _check(structures, predictor)
        crystals = Crystals.from_structures(structures)
        held = held_of(structures, fix_cell=fix_cell, fix_atoms=fix_atoms)
        before = potential(crystals).energy
        if keep_symmetry:
            symmetric = SymmetricPotential(potential, structures)
            outcome = relax(
                symmetric.marked(crystals),
                symmetric,
                fmax=fmax,
                max_steps=max_steps,
                held=held,
                progress=progress,
            )
        else:
            outcome = relax(
                crystals, potential, fmax=fmax, max_steps=max_steps, held=held, progress=progress
            )
    ends = torch.cumsum(crystals.counts, 0).tolist()
    relaxed = []
    for b, (structure, end) in enumerate(zip(structures, ends, strict=True)):
        n = len(structure)
        relaxed.append(
            Relaxed(
                structure=Structure(
                    Lattice(outcome.crystals.cell[b].numpy()),
                    structure.species,
                    outcome.crystals.frac_coords[end - n : end].numpy(),
                    site_properties=flags_of(structure),
                ),
                energy=float(outcome.energy[b]) / n,
                energy_before=float(before[b]) / n,
                max_force=float(outcome.max_force[b]),
                steps=int(outcome.steps[b]),
                converged=bool(outcome.converged[b]),
            )
        )
    return relaxed


def relaxation_problem(structure: Structure, predictor: Predictor) -> str | None:
    """Why a structure cannot be relaxed, as what is said of it; None if it can."""
    matrix = structure.lattice.matrix
    sound = np.isfinite(matrix).all() and np.isfinite(structure.frac_coords).all()
    if not sound or abs(np.linalg.det(matrix)) < CLOSEST**3 * len(structure):
        return "has a cell or coordinates that are not finite, or no volume"
    unknown = sorted({e.symbol for e in structure.composition.elements} - predictor.elements)
    if unknown:
        return f"holds {unknown[0]}, which the predictor does not know"
    if len(structure) > 1:
        distances = structure.distance_matrix[np.triu_indices(len(structure), 1)]
        if distances.min() < CLOSEST:
            return "has two atoms on one spot: move or remove one"
    return None


def _check(structures: Sequence[Structure], predictor: Predictor) -> None:
    """Refuse what cannot be relaxed, naming the structure."""
    for number, structure in enumerate(structures):
        problem = relaxation_problem(structure, predictor)
        if problem is not None:
            raise InputError(f"structure {number} ({structure.formula}) {problem}")
