"""Relaxation of pymatgen structures on the formation energy of any predictor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, Invariants, Symmetriser
from smoacs.errors import InputError, short
from smoacs.evaluation import Evaluator
from smoacs.predictors import ENERGY, Predictor, load_predictor
from smoacs.relaxation.fire import FMAX, MAX_STEPS, Response, relax
from smoacs.relaxation.fixed import fixed_directions, fixed_of, flags_of
from smoacs.templates import operations_of, space_group_data
from smoacs.torch_modes import own_modes

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


class EnergyPotential:
    """Energy, forces and stress of a predictor's formation energy."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Take an evaluator of the formation energy."""
        self._evaluator = evaluator

    def __call__(self, crystals: Crystals) -> Response:
        """Evaluate a batch."""
        found = self._evaluator.energy_slopes(crystals)
        total = found.values[ENERGY].to(crystals.cell) * crystals.counts
        return Response.from_gradients(total, found.frac_grad, found.cell_grad, crystals)


@own_modes()
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
    if ENERGY not in predictor.properties:
        raise InputError(f"relaxation needs a predictor of {ENERGY}; this one has none")
    _check(structures, predictor)
    crystals = Crystals.from_structures(structures)
    with Evaluator(predictor, (ENERGY,)) as evaluator:
        potential = EnergyPotential(evaluator)
        before = potential(crystals).energy
        outcome = relax(
            crystals,
            potential,
            symmetry=symmetry_of(structures) if keep_symmetry else None,
            fmax=fmax,
            max_steps=max_steps,
            fixed=fixed_of(structures, fix_cell=fix_cell, fix_atoms=fix_atoms),
            progress=progress,
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


def symmetry_of(structures: Sequence[Structure]) -> Symmetriser:
    """What the space groups of structures leave free, each found by spglib at 0.01 Å.

    Atoms of one element that are fixed in different ways are different ones.
    """
    keeps: list[Invariants | None] = []
    for structure in structures:
        numbers = np.array([site.specie.Z for site in structure])
        numbers = numbers + 1000 * (fixed_directions(structure) @ np.array([1, 2, 4]))
        matrix, coords = structure.lattice.matrix, structure.frac_coords
        found = space_group_data(matrix, coords, numbers)
        operations = operations_of(found, matrix, coords)
        keeps.append(None if len(operations) == 1 else Invariants.of(operations))
    return Symmetriser(keeps, torch.tensor([len(structure) for structure in structures]))


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
