"""Force constants by finite displacements, and the frequencies and modes that fit a supercell."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ase
import numpy as np
from numpy.typing import NDArray
from relaxer import Potential

Array = NDArray[np.float64]

DISPLACEMENT: Final = 0.02
"""Å; single precision wants it larger than 0.01, and it is still harmonic."""

SYMPREC: Final = 1e-3
THZ: Final = 15.633302
"""THz of the root of an eigenvalue in eV/Å²/u."""


@dataclass(frozen=True)
class Modes:
    """Vibrations of a supercell.

    Attributes:
        supercell: At rest.
        frequencies: THz, rising; imaginary ones are negative, translations among them (about 0).
        vectors: [modes, atoms, 3], displacements scaled so that the longest is 1.
    """

    supercell: ase.Atoms
    frequencies: Array
    vectors: Array

    @property
    def lowest(self) -> float:
        """THz."""
        return float(self.frequencies[0])


def modes(atoms: ase.Atoms, repeat: Sequence[int], potential: Potential) -> Modes:
    """All modes of a supercell of a crystal at rest: those at the points commensurate with it.

    Force constants are made symmetric under the space group, permutation and translation.
    """
    from phonopy import Phonopy  # noqa: PLC0415 - an extra
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415

    cell = PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Phonopy(cell, np.diag(repeat), primitive_matrix=np.eye(3), symprec=SYMPREC)
        model.generate_displacements(distance=DISPLACEMENT)
        images = [_atoms(image) for image in model.supercells_with_displacements]
        model.forces = [item.forces for item in potential(images)]
        model.produce_force_constants(show_drift=False)
        model.symmetrize_force_constants(show_drift=False)
    supercell = _atoms(model.supercell)
    full = model.force_constants
    if len(full) != len(supercell):
        raise RuntimeError("phonopy gives force constants of the primitive cell only")
    weight = 1.0 / np.sqrt(supercell.get_masses())
    dynamical = full.transpose(0, 2, 1, 3) * weight[:, None, None, None]
    dynamical *= weight[None, None, :, None]
    size = 3 * len(supercell)
    matrix = dynamical.reshape(size, size)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    moved = vectors.T.reshape(size, len(supercell), 3) * weight[None, :, None]
    moved /= np.linalg.norm(moved, axis=2).max(axis=1)[:, None, None]
    return Modes(supercell, np.sign(values) * np.sqrt(np.abs(values)) * THZ, moved)


def _atoms(cell: Any) -> ase.Atoms:  # noqa: ANN401 - phonopy's
    return ase.Atoms(cell.numbers, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
