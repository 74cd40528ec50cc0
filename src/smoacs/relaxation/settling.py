"""Crystals of high symmetry let go to a minimum: soft modes found, followed, and relaxed freely.

A crystal at rest in its own symmetry is often at a saddle: some vibration has an imaginary
frequency. Here each is displaced along such modes, relaxed freely, brought to the smallest cell of
the highest symmetry that costs next to nothing, and looked at again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Final

import numpy as np
from pymatgen.core import Structure

from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.evaluation import Evaluator
from smoacs.predictors import ENERGY, Predictor, load_predictor, load_settling_predictor
from smoacs.relaxation.descent import descend
from smoacs.relaxation.fire import Potential, RelaxedCrystals
from smoacs.relaxation.modes import Vibrations, vibrations
from smoacs.relaxation.settled import Settled, SettleSettings
from smoacs.relaxation.standard import idealised, space_group_number
from smoacs.relaxation.starts import blends, closest, rattled, strained, tilted
from smoacs.relaxation.structures import EnergyPotential, relaxation_problem, symmetry_of
from smoacs.torch_modes import own_modes

SYMPREC: Final = 0.01
"""Å; of the space groups that are told."""

EXACT: Final = 1e-3
"""Å, to which an end has its symmetry before that is made exact."""

TOLERANCES: Final = (0.2, 0.1, 0.05, 0.02)
"""Å, by which the symmetry of an end is looked for, loosest first."""

TOO_CLOSE: Final = 0.45
"""Shortest distance over the sum of covalent radii below which a crystal is broken."""

OFFERED: Final = 3
"""Blends of modes that are looked at for each start; those of the lowest energy are let go."""

TILT: Final = 9.0
"""Degrees, of the octahedra of a perovskite that starts in a⁻b⁺a⁻."""

GROUP: Final = 32
"""Crystals that are worked on side by side."""

LATER_COST: Final = 0.1
"""Share of the cost of a smaller cell that is allowed once such a cell was a saddle."""

NOTHING: Final = 5e-5
"""eV/atom; crystals whose energies differ by less are one."""

MAY_FALL: Final = 0.01
"""eV/atom, that the energy of a cell made symmetric may fall by on relaxation."""


@own_modes()
def settle(
    structures: Sequence[Structure],
    predictor: Predictor | None = None,
    *,
    settings: SettleSettings | None = None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Settled]:
    """Let crystals go to a minimum of the predicted formation energy.

    Args:
        structures: Ordered crystals of any sizes.
        predictor: One that gives the formation energy; the built-in one if None. That settles on
            weights of its own (`smoacs.predictors.load_settling_predictor`).
        settings: How.
        seed: In place of that of the settings.
        progress: Told how many crystals are done, and how many there are.

    Returns:
        What became of each crystal, in their order. It does not depend on the others.

    Raises:
        InputError: If the predictor gives no formation energy.
    """
    settings = settings or SettleSettings()
    if seed is not None:
        settings = replace(settings, seed=seed)
    predictor = load_predictor() if predictor is None else predictor
    if ENERGY not in predictor.properties:
        raise InputError(f"settling needs a predictor of {ENERGY}; this one has none")
    predictor = load_settling_predictor(predictor)
    cases = [_Case.of(structure, predictor, settings) for structure in structures]
    with Evaluator(predictor, (ENERGY,)) as evaluator:
        work = _Settling(EnergyPotential(evaluator), settings)
        for first in range(0, len(cases), GROUP):
            group = cases[first : first + GROUP]
            work.settle([case for case in group if not case.failure])
            for case in group:
                case.modes = None  # large, and not needed any more
            if progress is not None:
                progress(first + len(group), len(cases))
    return [case.outcome() for case in cases]


@dataclass
class _End:
    """A crystal at rest, or where it stopped; energy in eV/atom."""

    structure: Structure
    energy: float
    converged: bool


@dataclass
class _Case:
    """One crystal on its way: as given, its parent, what stands now, and its vibrations."""

    given: Structure
    rng: np.random.Generator
    failure: str = ""
    parent: _End | None = None
    parent_frequency: float = nan
    end: _End | None = None
    frequency: float = nan
    modes: Vibrations | None = field(default=None, repr=False)

    @classmethod
    def of(cls, structure: Structure, predictor: Predictor, settings: SettleSettings) -> "_Case":
        """A crystal before its first step; one that cannot be relaxed fails here."""
        case = cls(structure, np.random.default_rng(settings.seed))
        problem = _problem(structure, predictor)
        if problem:
            case.failure = problem
            return case
        primitive = idealised(structure, SYMPREC)
        case.given = structure if primitive is None else primitive
        return case

    def outcome(self) -> Settled:
        """What is told of the crystal."""
        parent, end = self.parent, None if self.failure else self.end
        group = 0 if parent is None else space_group_number(parent.structure, SYMPREC)
        exact = None if end is None else idealised(end.structure, EXACT)
        return Settled(
            structure=end.structure if end is not None and exact is None else exact,
            energy=nan if end is None else end.energy,
            parent_energy=nan if parent is None else parent.energy,
            lowest_frequency=nan if end is None else self.frequency,
            parent_frequency=self.parent_frequency,
            parent_space_group=group,
            space_group=0 if end is None else space_group_number(end.structure, SYMPREC),
            converged=end is not None and end.converged,
            failure=self.failure,
        )


def _problem(structure: Structure, predictor: Predictor) -> str:
    """Why a crystal cannot be settled; empty if it can."""
    if len(structure) == 0:
        return "has no atoms"
    if not structure.is_ordered:
        return "has partially occupied sites: order it first, one element to a site"
    problem = relaxation_problem(structure, predictor)
    if problem is None and closest(structure) < TOO_CLOSE:
        problem = "has atoms too close to each other"
    return problem or ""


class _Settling:
    """The stages, each for many crystals at once."""

    def __init__(self, potential: Potential, settings: SettleSettings) -> None:
        self._potential = potential
        self._settings = settings

    def settle(self, cases: Sequence[_Case]) -> None:
        """Settle crystals."""
        self._parents(cases)
        moving = [case for case in cases if not case.failure]
        self._look(moving)
        for case in moving:
            case.parent_frequency = case.frequency
        for turn in range(1 + self._settings.follow):
            moving = [case for case in moving if self._goes_on(case, turn)]
            if not moving:
                return
            moving = self._let_go(moving, turn)
            self._look(moving)

    def _goes_on(self, case: _Case, turn: int) -> bool:
        """Whether a crystal is unstable; where that is not known, it is let go once."""
        if np.isnan(case.frequency):
            return turn == 0
        return case.frequency < self._settings.threshold

    def _parents(self, cases: Sequence[_Case]) -> None:
        """Bring crystals to rest in their own symmetry."""
        ends = self._relaxed([case.given for case in cases], self._settings.end_fmax, kept=True)
        for case, end in zip(cases, ends, strict=True):
            if isinstance(end, str):
                case.failure = f"finds no rest in its own symmetry: {end}"
            else:
                case.parent = case.end = end

    def _look(self, cases: Sequence[_Case]) -> None:
        """Find the vibrations of what stands."""
        settings = self._settings
        found = vibrations(
            [case.end.structure for case in cases if case.end is not None],
            self._potential,
            length=settings.supercell,
            most_atoms=settings.max_atoms,
            displacement=settings.displacement,
        )
        for case, modes in zip(cases, found, strict=True):
            case.modes = modes
            case.frequency = nan if modes is None else modes.lowest

    def _let_go(self, cases: Sequence[_Case], turn: int) -> list[_Case]:
        """Relax starts of each crystal freely, and take the lowest; those that came lower."""
        settings = self._settings
        starts = self._starts(cases, turn)
        flat = [start for row in starts for start in row]
        relaxed = iter(self._relaxed(flat, settings.fmax))
        rows = [[next(relaxed) for _ in row] for row in starts]
        cost = settings.cost * (LATER_COST if turn else 1.0)
        lowest, ceilings = [], []
        for case, row in zip(cases, rows, strict=True):
            ends = [end for end in row if isinstance(end, _End)]
            if not ends and row and case.end is case.parent:
                case.failure = f"falls to pieces when it is let go: {row[0]}"
            lowest.append(_choice(ends, cost))
            standing = inf if case.end is None else case.end.energy - NOTHING
            ceilings += [min(standing, end.energy + cost) for end in lowest[-1]]
        flat_ends = [end for ends in lowest for end in ends]
        compact = iter(self._compact(flat_ends, ceilings))
        moved = []
        for case, ends in zip(cases, lowest, strict=True):
            end = _best([next(compact) for _ in ends], cost)
            if end is None or case.end is None or end.energy > case.end.energy - NOTHING:
                continue
            case.end = end
            moved.append(case)
        return moved

    def _starts(self, cases: Sequence[_Case], turn: int) -> list[list[Structure]]:
        """Displaced crystals that each is let go from."""
        settings = self._settings
        options = []
        for case in cases:
            rows: list[list[Structure]] = []
            if case.modes is not None:
                rows = blends(case.modes, settings.threshold, OFFERED * settings.starts, case.rng)
            options.append(rows)
        flat = [crystal for rows in options for row in rows for crystal in row]
        energies = iter(self._energies(flat))
        starts = []
        for case, rows in zip(cases, options, strict=True):
            ranked = []
            for row in rows:
                values = [next(energies) for _ in row]
                ranked.append((min(values), row[int(np.argmin(values))]))
            ranked.sort(key=lambda pair: pair[0])
            chosen = [crystal for value, crystal in ranked if value < inf]
            tilt = None if turn or case.end is None else tilted(case.end.structure, TILT)
            if tilt is not None:
                chosen.insert(0, tilt)
            if not chosen and case.end is not None:
                chosen = [case.end.structure]
            starts.append(
                [self._shaken(crystal, case.rng) for crystal in chosen[: settings.starts]]
            )
        return starts

    def _shaken(self, structure: Structure, rng: np.random.Generator) -> Structure:
        return strained(rattled(structure, self._settings.rattle, rng), self._settings.strain, rng)

    def _energies(self, structures: Sequence[Structure]) -> list[float]:
        """eV/atom; infinite where it is no number or atoms are too close."""
        if not structures:
            return []
        crystals = Crystals.from_structures(structures)
        energy = self._potential(crystals).energy / crystals.counts
        return [
            inf if not np.isfinite(value) or closest(structure) < TOO_CLOSE else value
            for value, structure in zip(energy.tolist(), structures, strict=True)
        ]

    def _compact(self, ends: Sequence[_End], ceilings: Sequence[float]) -> list[_End]:
        """Ends in the smallest cell, of the highest symmetry, below an energy (eV/atom) for each.

        As they are, at rest, where there is none.
        """
        found: list[_End | None] = [None] * len(ends)
        known: list[set[tuple[int, int]]] = [set() for _ in ends]
        for symprec in TOLERANCES:
            tried = []
            for k in (k for k, end in enumerate(found) if end is None):
                cell = idealised(ends[k].structure, symprec)
                kind = cell and (len(cell), space_group_number(cell, SYMPREC))
                if cell is not None and kind and kind not in known[k]:
                    known[k].add(kind)
                    tried.append((k, cell))
            energies = self._energies([cell for _, cell in tried])
            near = [
                (k, cell)
                for (k, cell), energy in zip(tried, energies, strict=True)
                if energy < ceilings[k] + MAY_FALL and len(cell) <= len(ends[k].structure)
            ]
            relaxed = self._relaxed([cell for _, cell in near], self._settings.end_fmax, kept=True)
            for (k, _), end in zip(near, relaxed, strict=True):
                if isinstance(end, _End) and end.energy < ceilings[k]:
                    found[k] = end
        left = [k for k, end in enumerate(found) if end is None]
        relaxed = self._relaxed([ends[k].structure for k in left], self._settings.end_fmax)
        for k, end in zip(left, relaxed, strict=True):
            found[k] = end if isinstance(end, _End) else ends[k]
        return [end for end in found if end is not None]

    def _relaxed(
        self, structures: Sequence[Structure], fmax: float, *, kept: bool = False
    ) -> list[_End | str]:
        """Where crystals come to rest, with their symmetry kept or free; or why they do not."""
        if not structures:
            return []
        outcome = descend(
            Crystals.from_structures(structures),
            self._potential,
            symmetry=symmetry_of(structures) if kept else None,
            fmax=fmax,
            max_steps=self._settings.max_steps,
        )
        return _ends(structures, outcome)


def _ends(structures: Sequence[Structure], outcome: RelaxedCrystals) -> list[_End | str]:
    found: list[_End | str] = []
    cells = outcome.crystals.cell.double().cpu().numpy()
    coords = outcome.crystals.frac_coords.double().cpu().numpy()
    places = np.cumsum([len(structure) for structure in structures])
    for b, (structure, end) in enumerate(zip(structures, places, strict=True)):
        if bool(outcome.refused[b]):
            known = np.isfinite(float(outcome.energy[b]))
            found.append("the cell collapses or flies apart" if known else "no number is predicted")
            continue
        frac = coords[end - len(structure) : end]
        moved = Structure(cells[b], structure.species, frac, to_unit_cell=True)
        if closest(moved) < TOO_CLOSE:
            found.append("atoms come too close to each other")
            continue
        energy = float(outcome.energy[b]) / len(structure)
        found.append(_End(moved, energy, bool(outcome.converged[b])))
    return found


def _choice(ends: Sequence[_End], cost: float) -> list[_End]:
    """The lowest end, and smaller ones that cost next to nothing more; none if there are none."""
    if not ends:
        return []
    lowest = min(ends, key=lambda end: end.energy)
    near = [end for end in ends if end.energy < lowest.energy + cost]
    return [lowest, *(end for end in near if len(end.structure) < len(lowest.structure))]


def _best(ends: Sequence[_End], cost: float) -> _End | None:
    """The smallest cell of those that cost next to nothing more than the lowest."""
    if not ends:
        return None
    lowest = min(end.energy for end in ends)
    near = [end for end in ends if end.energy < lowest + cost]
    return min(near, key=lambda end: (len(end.structure), end.energy))
