"""Frequencies and modes of crystals at rest, at the wave vectors that fit into a supercell.

Force constants by finite displacements through phonopy (A. Togo, J. Phys. Soc. Jpn. 92, 012001
(2023)), made symmetric under the space group, permutation and translation. The displaced supercells
of many crystals are evaluated together. Atoms are displaced to one side only, and the forces that
are left at rest subtracted: against both sides, which costs up to twice as much, the lowest
frequencies of six ends of perovskites, the most doubtful of 32, changed by at most .07 THz.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals
from smoacs.relaxation.fire import Potential

DISPLACEMENT: Final = 0.01
"""Å; large enough for single precision, and harmonic to one side."""

SYMPREC: Final = 1e-3
"""Å; crystals at rest have their symmetry to about the last digits of single precision."""

THZ: Final = 15.633302
"""THz of the root of an eigenvalue in eV/Å²/u: sqrt(e / (Å² u)) / 2π."""

BATCH: Final = 4000
"""Atoms of displaced supercells that are made and evaluated at a time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Vibrations:
    """Vibrations of a supercell of n atoms.

    Attributes:
        supercell: At rest; species as those of the crystal.
        frequencies: THz, rising, [3n]; imaginary ones are negative. The three translations, about
            0, are among them.
        vectors: Displacements, [3n, n, 3], scaled so that the longest of each mode is 1.
    """

    supercell: Structure
    frequencies: Floats
    vectors: Floats

    @property
    def lowest(self) -> float:
        """Lowest frequency, THz."""
        return float(self.frequencies[0])


def repeats(structure: Structure, length: float) -> tuple[int, int, int]:
    """Cells along each axis until none is shorter than a length (Å)."""
    a, b, c = (int(np.ceil(length / x - 1e-6)) for x in structure.lattice.abc)
    return a, b, c


def vibrations(
    structures: Sequence[Structure],
    potential: Potential,
    *,
    length: float,
    most_atoms: int,
    displacement: float = DISPLACEMENT,
) -> list[Vibrations | None]:
    """Vibrations of crystals at rest.

    Args:
        structures: At rest on the potential.
        potential: Gives the forces.
        length: Least length of the supercells' axes, Å.
        most_atoms: Of a supercell.
        displacement: Å.

    Returns:
        Those of each crystal; None where the supercell would be larger, or a force is no number.
    """
    models = [
        _displaced(structure, repeats(structure, length), most_atoms, displacement)
        for structure in structures
    ]
    images = [image for model in models if model is not None for image in _images(model)]
    forces = iter(_forces(images, potential))
    return [
        None if model is None else _solved(model, structure, [next(forces) for _ in _images(model)])
        for model, structure in zip(models, structures, strict=True)
    ]


def _displaced(
    structure: Structure, counts: tuple[int, int, int], most_atoms: int, displacement: float
) -> Any | None:  # noqa: ANN401 - phonopy's
    """Phonopy's model with displacements; None if the supercell is too large."""
    if len(structure) * int(np.prod(counts)) > most_atoms:
        return None
    from phonopy import Phonopy  # noqa: PLC0415 - slow to import
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415 - same

    cell = PhonopyAtoms(
        numbers=[site.specie.Z for site in structure],
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
        masses=[atomic_masses[site.specie.Z] for site in structure],  # phonopy has none of Po
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # phonopy's and spglib's, about their next versions
        model = Phonopy(cell, np.diag(counts), primitive_matrix=np.eye(3), symprec=SYMPREC)
        model.generate_displacements(distance=displacement, is_plusminus=False)
    return model


def _images(model: Any) -> list[Any]:  # noqa: ANN401 - phonopy's
    """The supercell at rest, and those with an atom displaced."""
    return [model.supercell, *model.supercells_with_displacements]


def _forces(images: Sequence[Any], potential: Potential) -> list[Floats]:
    """Forces on displaced supercells, eV/Å, each [n, 3]."""
    found: list[Floats] = []
    batch: list[Structure] = []
    for number, image in enumerate(images, start=1):
        batch.append(Structure(Lattice(image.cell), image.symbols, image.scaled_positions))
        if number == len(images) or sum(map(len, batch)) >= BATCH:
            forces = potential(Crystals.from_structures(batch)).forces.double().cpu().numpy()
            ends = np.cumsum([len(structure) for structure in batch])[:-1]
            found += np.split(forces, ends)
            batch = []
    return found


def _solved(
    model: Any,  # noqa: ANN401 - phonopy's
    structure: Structure,
    forces: Sequence[Floats],
) -> Vibrations | None:
    """Modes of the supercell by forces at rest and displaced; None if one is no number."""
    if not all(np.isfinite(item).all() for item in forces):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.forces = [item - forces[0] for item in forces[1:]]
        model.produce_force_constants(show_drift=False)
        model.symmetrize_force_constants(show_drift=False)
    supercell = model.supercell
    n = len(supercell)
    if len(model.force_constants) != n:
        msg = "phonopy gives force constants of the primitive cell only"
        raise RuntimeError(msg)
    weight = 1 / np.sqrt(atomic_masses[supercell.numbers])
    dynamical = model.force_constants.transpose(0, 2, 1, 3) * weight[:, None, None, None]
    matrix = (dynamical * weight[None, None, :, None]).reshape(3 * n, 3 * n)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    moved = vectors.T.reshape(3 * n, n, 3) * weight[None, :, None]
    moved /= np.linalg.norm(moved, axis=2).max(axis=1)[:, None, None]
    atoms = [supercell.u2u_map[site] for site in supercell.s2u_map]
    species = [structure[int(atom)].specie for atom in atoms]
    return Vibrations(
        supercell=Structure(Lattice(supercell.cell), species, supercell.scaled_positions),
        frequencies=np.sign(values) * np.sqrt(np.abs(values)) * THZ,
        vectors=moved,
    )
