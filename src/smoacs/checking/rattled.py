"""Does a design stay what it is once it is free to leave its symmetry?

A saddle point is at rest, too: forces of a high symmetry vanish there, and a relaxation that starts
from it stays. From a rattled supercell it does not.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from smoacs.checking.findings import record_key
from smoacs.checking.potentials import RelaxedDesign, RelaxSettings
from smoacs.checking.supercells import cells_to_reach
from smoacs.checking.survival import MAX_LENGTH_CHANGE, check_properties, widened
from smoacs.checking.truth import GAP, confirms
from smoacs.errors import InputError
from smoacs.judging import Match, evaluate_structures, match_template
from smoacs.predictors import ENERGY, Predictor, hangs_on_geometry
from smoacs.relaxation import same_connectivity
from smoacs.structures import charges, symbols
from smoacs.targets import Target
from smoacs.templates import Template

MAX_VOLUME_CHANGE: Final = 0.1
"""Share that the volume of a design that keeps its lattice may change at most."""

MAX_ANGLE_CHANGE: Final = 5.0
"""Degrees that an angle of the lattice may change at most, as for the judge."""

_SHORT: Final = 0.05
"""Share of the length that a supercell may miss: two cells of every perovskite are enough."""


@dataclass(frozen=True, kw_only=True)
class RattleSettings:
    """How a crystal is shaken before it is let go, and what it has to keep.

    Attributes:
        length: Å that each vector of the supercell reaches, to 5 %; see `cells_to_reach`.
        max_atoms: Of the supercell, at most, where it is more than one cell.
        displacement: Å, standard deviation of each coordinate of an atom.
        strain: Standard deviation of the components of a matrix whose symmetric part strains the
            cell, atoms carried along.
        relaxation: When it is at rest again.
        gap_tolerance: eV that the band gap may be off its target, as `confirms` means it.
    """

    length: float = 7.5
    max_atoms: int = 80
    displacement: float = 0.05
    strain: float = 0.01
    relaxation: RelaxSettings = field(
        default_factory=lambda: RelaxSettings(fmax=0.02, max_steps=300, keep_symmetry=False)
    )
    gap_tolerance: float = 0.4

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: One is out of range.
        """
        for name, unit in (("length", " Å"), ("displacement", " Å"), ("gap_tolerance", " eV")):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} of rattled crystals is {value}{unit}; it is positive")
        if not 0 <= self.strain < 1:
            raise InputError(f"strain of rattled crystals is {self.strain}; it is below 1")
        if self.max_atoms < 1:
            raise InputError(f"max_atoms is {self.max_atoms}; it is at least 1")


def rattled(structure: Structure, settings: RattleSettings | None = None) -> Structure:
    """A supercell, rattled and strained: the same for the same crystal, whatever comes before it.

    The order is that of `structure * (a, b, c)`: the images of the first atom, those of the next.

    Args:
        structure: The design; its oxidation states are left out.
        settings: None for the default.
    """
    settings = settings or RattleSettings()
    cells = supercell(structure, settings)
    numbers = {"length": settings.length, "max_atoms": settings.max_atoms}
    random = np.random.default_rng(int(record_key(structure, numbers), 16))
    positions = cells.cart_coords
    positions = positions + settings.displacement * random.normal(size=positions.shape)
    noise = settings.strain * random.normal(size=(3, 3))
    strain = np.eye(3) + 0.5 * (noise + noise.T)
    lattice = Lattice(cells.lattice.matrix @ strain)
    return Structure(lattice, symbols(cells), positions @ strain, coords_are_cartesian=True)


def supercell(structure: Structure, settings: RattleSettings) -> Structure:
    """The supercell that is rattled, as it is before, with oxidation states."""
    counts = cells_to_reach(structure, settings.length, short=_SHORT, most_atoms=settings.max_atoms)
    cells: Structure = structure.make_supercell(counts, in_place=False, to_unit_cell=False)
    return cells


def rattled_table(
    structures: Sequence[Structure],
    rest_energies: Sequence[float],
    ends: Sequence[RelaxedDesign],
    *,
    targets: Sequence[Target],
    predictor: Predictor,
    settings: RattleSettings | None = None,
    templates: Sequence[Template | None] | None = None,
) -> pd.DataFrame:
    """Judge where B designs have gone from their rattled supercells.

    Args:
        structures: The designs.
        rest_energies: What the potential says of each at rest in its own symmetry, eV/atom; NaN
            where that is not known.
        ends: What `rattled` of each has relaxed to.
        targets: What was wanted of them.
        predictor: The one that designed them; it gives the properties of the ends.
        settings: None for the default.
        templates: The kind of each design, which roles of sites and radii come from.

    Raises:
        InputError: The predictor does not give the property of a target.

    Returns:
        A row for each design: `rattled_energy_gain` (eV/atom, energy at symmetric rest less that at
        the end), `rattled_volume_change`, `rattled_length_change` (largest, absolute value),
        `keeps_lattice`, `keeps_structure` (see `same_connectivity`), `keeps_targets`,
        `rattled_<property>` for each target and the formation energy, `rattled_steps`,
        `rattled_converged` and `rattled_failure`. NaN and missing where there is no end.
    """
    check_properties(targets, predictor)
    settings = settings or RattleSettings()
    starts = [supercell(structure, settings) for structure in structures]
    table = _kept(starts, ends)
    energies = np.array([end.energy for end in ends], dtype=float)
    gain = np.asarray(rest_energies, dtype=float) - energies
    table.insert(0, "rattled_energy_gain", gain)
    values = _predicted(structures, starts, ends, predictor, templates=templates)
    holds = np.ones(len(ends), dtype=bool)
    for target in targets:
        if hangs_on_geometry(predictor, target.property):  # the composition is what it was
            holds &= _holds(values[target.property], target, settings)
    table["keeps_targets"] = _where(holds, ends)
    for name in dict.fromkeys((*(t.property for t in targets), ENERGY)):
        if name in values:
            table[f"rattled_{name}"] = values[name]
    table["rattled_steps"] = [end.steps for end in ends]
    table["rattled_converged"] = [end.converged for end in ends]
    table["rattled_failure"] = [end.failure for end in ends]
    return table


def _kept(starts: Sequence[Structure], ends: Sequence[RelaxedDesign]) -> pd.DataFrame:
    """What each has kept of its lattice and its structure type."""
    changes = np.full((len(ends), 3), np.nan)
    types: list[bool | None] = [None] * len(ends)
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if end.structure is not None:
            changes[index] = lattice_change(start, end.structure)
            types[index] = same_connectivity(start, _charged(end.structure, start))
    volume, length, angle = changes.T
    lattice = (np.abs(volume) <= MAX_VOLUME_CHANGE) & (length <= MAX_LENGTH_CHANGE)
    lattice &= angle <= MAX_ANGLE_CHANGE
    table = pd.DataFrame({"rattled_volume_change": volume, "rattled_length_change": length})
    table["keeps_lattice"] = _where(lattice, ends)
    table["keeps_structure"] = pd.Series(types, dtype=object)
    return table


def _charged(end: Structure, start: Structure) -> Structure:
    """A crystal with the oxidation states of another with the same atoms in their order."""
    states = charges(start)
    crystal: Structure = end.copy().remove_oxidation_states()
    if states is not None:
        crystal.add_oxidation_state_by_site(states)
    return crystal


def lattice_change(start: Structure, end: Structure) -> tuple[float, float, float]:
    """How a lattice has changed: volume, relative; largest length, relative; angle, degrees."""
    volume = end.volume / start.volume - 1
    length = np.abs(np.array(end.lattice.abc) / start.lattice.abc - 1).max()
    angle = np.abs(np.subtract(end.lattice.angles, start.lattice.angles)).max()
    return volume, float(length), float(angle)


def _predicted(
    structures: Sequence[Structure],
    starts: Sequence[Structure],
    ends: Sequence[RelaxedDesign],
    predictor: Predictor,
    *,
    templates: Sequence[Template | None] | None,
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Properties at the ends, [B] each, NaN where there is none."""
    kinds = [None] * len(ends) if templates is None else list(templates)
    crystals, matches, there = [], [], []
    for index, end in enumerate(ends):
        if end.structure is None:
            continue
        crystal = _charged(end.structure, starts[index])
        kind = kinds[index]
        match = None if kind is None else match_template(structures[index], kind)
        crystals.append(crystal)
        matches.append(_repeated(match, len(crystal) // len(structures[index])))
        there.append(index)
    found = evaluate_structures(crystals, predictor, matches=matches)
    values = {name: np.full(len(ends), np.nan) for name in found}
    for name, some in found.items():
        values[name][there] = some
    return values


def _repeated(match: Match | None, times: int) -> Match | None:
    """How a supercell sits on its template: as each of its cells does."""
    if match is None:
        return None
    roles, radii = np.repeat(match.roles, times), np.repeat(match.radii, times)
    return dataclasses.replace(match, roles=roles, radii=radii)


def _holds(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], target: Target, settings: RattleSettings
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each value still meets a target; one of the best asks for nothing.

    Gaps are to be within their tolerance, all others within twice the window.
    """
    if target.direction:
        return np.ones(len(values), dtype=bool)
    if target.property == GAP:
        half = (target.high - target.low) / 2
        wide = half if math.isfinite(half) else 0.0
        return confirms(values, target, max(settings.gap_tolerance, wide))
    wider = widened(target)
    return (values >= wider.low) & (values <= wider.high)


def _where(
    verdicts: np.ndarray[tuple[int], np.dtype[np.bool_]], ends: Sequence[RelaxedDesign]
) -> "pd.Series[Any]":
    """Verdicts of the designs that have an end; missing for the others."""
    pairs = zip(verdicts.tolist(), ends, strict=True)
    return pd.Series(
        [None if end.structure is None else verdict for verdict, end in pairs], dtype=object
    )
