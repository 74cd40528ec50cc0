"""Is a relaxed crystal stable against small displacements? Phonons by finite displacements.

By phonopy (A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)). At the wave vectors
that fit the supercell nothing is interpolated; between them, on a mesh of the whole zone, force
constants beyond half the supercell count as zero.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from ase.data import atomic_masses, atomic_numbers
from pymatgen.core import Structure

from smoacs.checking.findings import Record, open_findings, record_key
from smoacs.checking.potentials import CheckPotential
from smoacs.checking.supercells import cells_to_reach
from smoacs.errors import InputError
from smoacs.structures import symbols

_SYMPREC: Final = 1e-3
"""Å; relaxed crystals have their symmetry to about the last digits of single precision."""

_AT_ONCE: Final = 400
"""Atoms of the displaced supercells that a potential is shown together."""


@dataclass(frozen=True, kw_only=True)
class PhononSettings:
    """How phonons are calculated, and what counts as unstable.

    Attributes:
        length: Å that each vector of the supercell reaches, see `cells_to_reach`.
        displacement: Å; single precision wants it larger than .01, and it is still harmonic.
        mesh: Wave vectors along each reciprocal vector of a mesh of the whole zone, Γ among them;
            0 for none.
        threshold: THz. A lower frequency (imaginary ones count as negative) is no noise of forces.
        max_atoms: Of a supercell; a larger one is not tried.
    """

    length: float = 7.5
    displacement: float = 0.02
    mesh: int = 0
    threshold: float = -0.1
    max_atoms: int = 400

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: One is out of range.
        """
        for name, unit in (("length", "Å"), ("displacement", "Å")):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"the {name} of phonons is {value} {unit}; it is positive")
        if self.mesh < 0 or self.max_atoms < 1:
            raise InputError(
                f"the mesh of phonons ({self.mesh}) is at least 0, and max_atoms "
                f"({self.max_atoms}) at least 1"
            )
        if not self.threshold <= 0:
            raise InputError(
                f"the threshold of phonons is {self.threshold} THz; it is not above 0, where the "
                "translations are"
            )


@dataclass(frozen=True)
class Phonons:
    """Stability of one crystal.

    Attributes:
        frequency: THz, the lowest at the wave vectors of the supercell; imaginary ones are
            negative; NaN if there is none.
        mesh_frequency: THz, the lowest on the mesh; NaN if there is none.
        failure: Why there are none; empty otherwise.
    """

    frequency: float
    mesh_frequency: float = math.nan
    failure: str = ""


def phonon_table(
    structures: Sequence[Structure | None],
    potential: CheckPotential,
    *,
    cache: str | Path,
    settings: PhononSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Look for unstable phonons of relaxed crystals; what the cache holds is not done again.

    Args:
        structures: Crystals at rest on the same potential; None where there is none.
        potential: Gives the forces.
        cache: File of findings; made if it does not exist.
        settings: None for the default.
        progress: Told the crystals that are done and those in all.

    Returns:
        A row for each structure: `phonon_frequency` (THz), with a mesh `phonon_mesh_frequency`
        (THz), `dynamically_stable` (both above the threshold; missing if that is not known) and
        `phonon_failure`.

    Raises:
        ResourceError: The disk is full.
    """
    settings = settings or PhononSettings()
    named = {"potential": potential.name, **dataclasses.asdict(settings)}
    del named["threshold"]  # judged below
    found = []
    with open_findings(cache) as file:
        for number, structure in enumerate(structures, start=1):
            if structure is None:
                found.append(Phonons(math.nan, failure="not relaxed"))
            else:
                key = record_key(structure, named)
                if key not in file.records:
                    file.append(key, _record(phonons(structure, potential, settings)))
                found.append(_phonons(file.records[key]))
            if progress is not None:
                progress(number, len(structures))
    table = pd.DataFrame({"phonon_frequency": [item.frequency for item in found]}, dtype=float)
    if settings.mesh:
        table["phonon_mesh_frequency"] = [item.mesh_frequency for item in found]
    stable = [_stable(item, settings) for item in found]
    table["dynamically_stable"] = pd.Series(stable, dtype=object)
    table["phonon_failure"] = [item.failure for item in found]
    return table


def phonons(
    structure: Structure, potential: CheckPotential, settings: PhononSettings | None = None
) -> Phonons:
    """The lowest frequencies of a crystal at rest.

    Force constants are made symmetric under the space group, permutation and translation.

    Args:
        structure: At rest on the potential.
        potential: Gives the forces; what it raises is the failure.
        settings: None for the default.
    """
    from phonopy import Phonopy  # noqa: PLC0415 - slow to import
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415 - same

    settings = settings or PhononSettings()
    repeat = cells_to_reach(structure, settings.length)
    if len(structure) * math.prod(repeat) > settings.max_atoms:
        return Phonons(
            math.nan, failure=f"a supercell would have more than {settings.max_atoms} atoms"
        )
    cell = PhonopyAtoms(
        symbols=symbols(structure),
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
        masses=[atomic_masses[atomic_numbers[symbol]] for symbol in symbols(structure)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = Phonopy(cell, np.diag(repeat), primitive_matrix=np.eye(3), symprec=_SYMPREC)
        model.generate_displacements(distance=settings.displacement)
        displaced = [
            Structure(image.cell, image.symbols, image.scaled_positions)
            for image in model.supercells_with_displacements
        ]
        try:
            forces = _forces(displaced, potential)
        except Exception as error:  # noqa: BLE001 - a calculator may raise anything; it is recorded
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Phonons(math.nan, failure=reason)
        if not np.isfinite(forces).all():
            return Phonons(math.nan, failure="the forces are no numbers")
        model.produce_force_constants(forces=forces, show_drift=False)
        model.symmetrize_force_constants_by_space_group(show_drift=False)
        model.symmetrize_force_constants(show_drift=False)
        lowest = _lowest(model, list(repeat))
        mesh = _lowest(model, [settings.mesh] * 3) if settings.mesh else math.nan
    return Phonons(lowest, mesh)


def _forces(displaced: Sequence[Structure], potential: CheckPotential) -> np.ndarray[Any, Any]:
    """Forces on the atoms of all supercells, eV/Å, [supercells, n, 3], a few at a time."""
    size = max(1, _AT_ONCE // len(displaced[0]))
    found = []
    for start in range(0, len(displaced), size):
        found += potential.forces(displaced[start : start + size])
    return np.stack(found)


def _lowest(model: Any, mesh: list[int]) -> float:  # noqa: ANN401 - phonopy's
    """Lowest frequency on a mesh with Γ in it, THz."""
    model.run_mesh(mesh, is_gamma_center=True)
    return float(np.min(model.mesh.frequencies))


def _stable(found: Phonons, settings: PhononSettings) -> bool | None:
    """Whether no frequency is below the threshold; None if that is not known."""
    if found.failure:
        return None
    wanted = [found.frequency, found.mesh_frequency] if settings.mesh else [found.frequency]
    return all(frequency > settings.threshold for frequency in wanted)


def _record(found: Phonons) -> Record:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(found).items()
    }


def _phonons(record: Record) -> Phonons:
    frequencies = [record["frequency"], record["mesh_frequency"]]
    numbers = [math.nan if value is None else float(value) for value in frequencies]
    return Phonons(numbers[0], numbers[1], record["failure"])
