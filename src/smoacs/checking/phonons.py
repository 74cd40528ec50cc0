"""Is a relaxed crystal stable against small displacements? Phonons in a small supercell.

Finite displacements through phonopy (A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)). Only the
wave vectors that fit into the supercell are looked at: nothing is interpolated.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from smoacs.checking.findings import open_findings, record_key
from smoacs.checking.potentials import CheckPotential
from smoacs.structures import symbols

DISPLACEMENT: Final = 0.01
"""Å. Larger than single precision needs, small enough to be harmonic."""

MIN_LENGTH: Final = 7.0
"""Å. A supercell is at least so long along each axis: two cells of a perovskite."""

MAX_ATOMS: Final = 200
"""Atoms of a supercell; a larger one is not tried."""

UNSTABLE: Final = -0.3
"""THz. Lower frequencies (imaginary ones count as negative) are no noise of force or drift."""

SYMPREC: Final = 1e-3
"""Å; relaxed crystals have their symmetry to about the last digits of single precision."""


@dataclass(frozen=True)
class Phonons:
    """Stability of one crystal.

    Attributes:
        lowest_frequency: THz; imaginary ones are negative; NaN if there is none.
        failure: Why there is none; empty otherwise.
    """

    lowest_frequency: float
    failure: str = ""


def phonon_table(
    structures: Sequence[Structure | None],
    potential: CheckPotential,
    *,
    cache: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Look for unstable phonons of relaxed crystals; what the cache holds is not done again.

    Args:
        structures: Crystals at rest on the same potential; None where there is none.
        potential: Gives the forces.
        cache: File of findings; made if it does not exist.
        progress: Told the crystals that are done and those in all.

    Returns:
        A row for each structure: `phonon_frequency` (THz), `dynamically_stable` (missing if that
        is not known) and `phonon_failure`.

    Raises:
        ResourceError: The disk is full.
    """
    named = {"potential": potential.name, "phonons": DISPLACEMENT, "length": MIN_LENGTH}
    found = []
    with open_findings(cache) as file:
        for number, structure in enumerate(structures, start=1):
            if structure is None:
                found.append(Phonons(float("nan"), "not relaxed"))
            else:
                key = record_key(structure, named)
                if key not in file.records:
                    result = phonons(structure, potential)
                    lowest = None if result.failure else result.lowest_frequency
                    file.append(key, {"lowest_frequency": lowest, "failure": result.failure})
                record = file.records[key]
                lowest = record["lowest_frequency"]
                found.append(Phonons(float("nan") if lowest is None else lowest, record["failure"]))
            if progress is not None:
                progress(number, len(structures))
    return pd.DataFrame(
        {
            "phonon_frequency": [item.lowest_frequency for item in found],
            "dynamically_stable": pd.Series(
                [None if item.failure else item.lowest_frequency > UNSTABLE for item in found],
                dtype=object,
            ),
            "phonon_failure": [item.failure for item in found],
        }
    )


def phonons(structure: Structure, potential: CheckPotential) -> Phonons:
    """The lowest frequency of a crystal at rest at the wave vectors of its supercell."""
    from phonopy import Phonopy  # noqa: PLC0415 - slow to import
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415 - same

    repeat = supercell(structure)
    if len(structure) * int(np.prod(repeat)) > MAX_ATOMS:
        return Phonons(float("nan"), f"a supercell would have more than {MAX_ATOMS} atoms")
    elements = symbols(structure)
    cell = PhonopyAtoms(
        symbols=elements, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = Phonopy(cell, np.diag(repeat), primitive_matrix=np.eye(3), symprec=SYMPREC)
        model.generate_displacements(distance=DISPLACEMENT)
        displaced = [
            Structure(image.cell, image.symbols, image.scaled_positions)
            for image in model.supercells_with_displacements
        ]
        model.produce_force_constants(forces=potential.forces(displaced), show_drift=False)
        model.symmetrize_force_constants(show_drift=False)
        model.run_mesh(list(repeat), is_gamma_center=True)
        frequencies = model.get_mesh_dict()["frequencies"]
    lowest = float(np.min(frequencies))
    if not np.isfinite(lowest):
        return Phonons(float("nan"), "the forces are no numbers")
    return Phonons(lowest)


def supercell(structure: Structure) -> tuple[int, int, int]:
    """Cells along each axis."""
    a, b, c = (ceil(MIN_LENGTH / length) for length in structure.lattice.abc)
    return a, b, c
