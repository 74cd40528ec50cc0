"""Where a crystal of high symmetry begins to look for a minimum: displaced, tilted, rattled."""

from typing import Final

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Structure
from vesin import NeighborList

from smoacs.relaxation.modes import Vibrations
from smoacs.relaxation.standard import reduced

PERIOD: Final = 1e-3
"""Å, to which an undisturbed pattern repeats in the cell that it is reduced to."""

BOX: Final = 1.0
"""Degrees by which the angles of a cubic perovskite may be off 90."""

OFF_SITE: Final = 0.05
"""Fractional distance of atoms from the sites of the cubic perovskite."""

SOFT_MODES: Final = 12
MOST_BLENDED: Final = 4
"""Softest unstable modes that are blended, and how many at once."""

DRAWS: Final = 4
"""Blends that are drawn for each that is wanted, until enough fit into half the supercell."""

AMPLITUDES: Final = (0.1, 0.2, 0.4)
"""Å, of a blend of modes, at the atom that it moves most."""

ATOMS: Final = 5
STRETCH: Final = 1.1
"""Longest over shortest axis of what counts as a cubic perovskite."""

ARMS: Final = np.eye(3) / 2
"""Sites of X by that of B, in cells."""

Floats = NDArray[np.float64]


def rattled(structure: Structure, size: float, rng: np.random.Generator) -> Structure:
    """A copy with Gaussian displacements of this length (Å) on average."""
    shifts = size / np.sqrt(8 / np.pi) * rng.normal(size=(len(structure), 3))
    return _moved(structure, shifts)


def strained(structure: Structure, size: float, rng: np.random.Generator) -> Structure:
    """A copy with a random symmetric strain of this standard deviation, atoms carried along."""
    noise = size * rng.normal(size=(3, 3))
    matrix = structure.lattice.matrix @ (np.eye(3) + 0.5 * (noise + noise.T))
    return Structure(matrix, structure.species, structure.frac_coords)


def blends(
    found: Vibrations, threshold: float, number: int, rng: np.random.Generator
) -> list[list[Structure]]:
    """The supercell displaced along blends of unstable modes, each with several amplitudes.

    Args:
        found: Vibrations of the crystal.
        threshold: THz; modes below it are unstable.
        number: Of blends.
        rng: Draws modes and their shares.

    Returns:
        For each blend its crystals, in the smallest cells that hold them: half the supercell, as
        long as enough blends fit into that. None without unstable modes.
    """
    unstable = np.flatnonzero(found.frequencies < threshold)[:SOFT_MODES]
    if len(unstable) == 0:
        return []
    small: list[list[Structure]] = []
    large: list[list[Structure]] = []
    for _ in range(DRAWS * number):
        chosen = rng.permutation(unstable)[: int(rng.integers(1, MOST_BLENDED + 1))]
        shift = np.tensordot(rng.normal(size=len(chosen)), found.vectors[chosen], axes=1)
        shift /= np.linalg.norm(shift, axis=1).max()
        row = [reduced(_moved(found.supercell, a * shift), PERIOD) for a in AMPLITUDES]
        halved = 2 * len(row[0]) <= len(found.supercell)
        (small if halved else large).append(row)
        if len(small) == number:
            break
    return [*small, *large][:number]


def tilted(parent: Structure, degrees: float) -> Structure | None:
    """A cubic perovskite of five atoms in Glazer's a⁻b⁺a⁻, 20 atoms (Pnma).

    Most tilted perovskites end there (P. M. Woodward, Acta Cryst. B53, 32 (1997)).

    Returns:
        None if the parent is no such perovskite.
    """
    sites = perovskite_sites(parent)
    if sites is None:
        return None
    order, corner = sites
    matrix = parent.lattice.matrix
    turns = np.radians(degrees) * np.ones(3)
    species, coords = [], []
    for cell in np.ndindex(2, 2, 2):
        alternate = (-1) ** sum(cell)
        signs = alternate * np.array([1, (-1) ** cell[1], 1])
        base = [corner, corner + 0.5, *(corner + 0.5 - arm for arm in ARMS)]
        shifts = np.zeros((ATOMS, 3))
        for axis, arm in enumerate(ARMS):
            shifts[2 + axis] = -np.cross(turns * signs, arm @ matrix)
        place = (np.array(base) + np.array(cell)) @ matrix + shifts
        species += [parent[k].specie for k in order]
        coords += list(place @ np.linalg.inv(2 * matrix))
    return reduced(Structure(2 * matrix, species, coords), PERIOD)


def perovskite_sites(structure: Structure) -> tuple[list[int], Floats] | None:
    """Atoms on the sites A, B and X below B along a, b and c of a cubic perovskite, and where A is.

    Returns:
        None if the crystal is none of five atoms.
    """
    if len(structure) != ATOMS or np.abs(np.array(structure.lattice.angles) - 90).max() > BOX:
        return None
    lengths = np.array(structure.lattice.abc)
    if lengths.max() / lengths.min() > STRETCH:
        return None
    coords = structure.frac_coords
    for b in range(ATOMS):
        off = coords - coords[b]
        off -= np.round(off)
        near = [np.abs(np.abs(off) - arm).max(axis=1) for arm in (ARMS[0], ARMS[1], ARMS[2])]
        x = [int(row.argmin()) for row in near]
        a = int(np.abs(np.abs(off) - 0.5).max(axis=1).argmin())
        worst = max(*(row.min() for row in near), np.abs(np.abs(off[a]) - 0.5).max())
        if worst < OFF_SITE and len({a, b, *x}) == ATOMS:
            return [a, b, *x], coords[b] - 0.5
    return None


def closest(structure: Structure) -> float:
    """Shortest distance over the sum of covalent radii; infinite if none is within 3 Å."""
    finder = NeighborList(cutoff=3.0, full_list=False)
    i, j, d = finder.compute(
        structure.cart_coords, structure.lattice.matrix, periodic=True, quantities="ijd"
    )
    if len(d) == 0:
        return float("inf")
    radii = covalent_radii[[site.specie.Z for site in structure]]
    return float((d / (radii[i] + radii[j])).min())


def _moved(structure: Structure, shifts: Floats) -> Structure:
    coords = structure.frac_coords + shifts @ np.linalg.inv(structure.lattice.matrix)
    return Structure(structure.lattice, structure.species, coords)
