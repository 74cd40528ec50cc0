"""Distorted crystals: tilted, polar and breathing perovskites; any crystal rattled and strained."""

import warnings
from typing import Final

import ase
import numpy as np
import spglib
from ase.data import covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

Array = NDArray[np.float64]

SITES: Final = np.array(
    [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
)
"""A, B and the X on the bonds along a, b and c of a cubic perovskite."""

PNMA: Final = "-+-"
"""Glazer's a⁻b⁺a⁻, in which most tilted perovskites are."""

TILTS: Final = (3.0, 15.0)
"""Degrees."""

SHIFTS: Final = (0.03, 0.35)
BREATHING: Final = (0.03, 0.15)
"""Å."""

RATTLES: Final = (0.02, 0.3)
"""Å, lengths of displacements on average; drawn evenly in the logarithm."""

REDUCED: Final = 1e-3
"""Å, to which an undisturbed pattern has the symmetry by which its cell is reduced."""


def tilted(parent: ase.Atoms, signs: str, degrees: Array, rng: np.random.Generator) -> ase.Atoms:
    """A perovskite of five atoms in Glazer's tilts, in the smallest cell that holds them.

    Args:
        parent: In the order of `SITES`.
        signs: One of +, - and 0 for each axis: neighbours along it tilt alike, against each other,
            or not.
        degrees: Of each axis.
        rng: Says whether a polar shift or a breathing of the octahedra joins the tilts.
    """
    cells = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)])
    lengths = parent.cell.lengths()
    angles = np.radians(degrees) * [sign != "0" for sign in signs]
    shift, breath = np.zeros((2, 3)), 0.0
    if rng.random() < 0.3:
        along = np.array([(0, 0, 1), (0, 1, 1), (1, 1, 1)][rng.integers(3)], dtype=float)
        size = rng.uniform(*SHIFTS) * along / np.linalg.norm(along)
        shift = np.outer(rng.uniform(-1, 1, size=2), size)
    if rng.random() < 0.1:
        breath = rng.uniform(*BREATHING)
    positions, numbers = [], []
    for cell in cells:
        alternate = (-1) ** cell.sum()
        turn = np.array(
            [
                angle * (alternate if sign == "-" else alternate * (-1) ** cell[axis])
                for axis, (sign, angle) in enumerate(zip(signs, angles, strict=True))
            ]
        )
        moved = np.zeros((5, 3))
        moved[:2] = shift
        for axis in range(3):
            arm = np.eye(3)[axis] * lengths[axis] / 2
            moved[2 + axis] = np.cross(turn, arm) + alternate * breath * np.eye(3)[axis]
        # the X of a cell lie on the bonds that leave its B downwards
        moved[2:] *= -1.0
        positions.append((SITES + cell) @ parent.cell.array + moved)
        numbers.append(parent.numbers)
    atoms = ase.Atoms(
        np.concatenate(numbers), np.concatenate(positions), cell=2 * parent.cell.array, pbc=True
    )
    return reduced(atoms, REDUCED)


def random_tilt(parent: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """A perovskite in a tilt system drawn by chance, the angles all alike or each its own."""
    signs = "".join(rng.choice(["+", "-", "0"], size=3, p=[0.3, 0.45, 0.25]))
    degrees = rng.uniform(*TILTS) * np.ones(3)
    if rng.random() < 0.4:
        degrees = rng.uniform(*TILTS, size=3)
    return tilted(parent, signs, degrees, rng)


def reduced(atoms: ase.Atoms, symprec: float) -> ase.Atoms:
    """The smallest cell that repeats, Niggli-reduced, its atoms where they were (not idealised)."""
    found = _standardised(atoms, symprec, idealise=False)
    return atoms.copy() if found is None else found


def idealised(atoms: ase.Atoms, symprec: float) -> ase.Atoms | None:
    """The primitive cell with the symmetry that a tolerance (Å) finds, made exact; None without."""
    return _standardised(atoms, symprec, idealise=True)


def _standardised(atoms: ase.Atoms, symprec: float, *, idealise: bool) -> ase.Atoms | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # how errors will be raised
        found = spglib.standardize_cell(
            _spglib_cell(atoms), to_primitive=True, no_idealize=not idealise, symprec=symprec
        )
        return None if found is None else compact(found)


def _spglib_cell(atoms: ase.Atoms) -> tuple[Array, Array, NDArray[np.int_]]:
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers


def compact(cell: tuple[Array, Array, NDArray[np.int32]]) -> ase.Atoms:
    """A cell of spglib's with the shortest vectors."""
    atoms = ase.Atoms(cell[2], cell=cell[0], scaled_positions=cell[1], pbc=True)
    lattice = spglib.niggli_reduce(cell[0])
    if lattice is None:
        return atoms
    if np.linalg.det(lattice) < 0:
        lattice = -lattice
    return ase.Atoms(atoms.numbers, positions=atoms.positions, cell=lattice, pbc=True)


def space_group(atoms: ase.Atoms, symprec: float) -> int:
    """Number of the space group; 0 if spglib finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # how errors will be raised
        data = spglib.get_symmetry_dataset(_spglib_cell(atoms), symprec=symprec)
    return 0 if data is None else int(data.number)


def strained(atoms: ase.Atoms, size: float, rng: np.random.Generator) -> ase.Atoms:
    """A copy with a random symmetric strain of this standard deviation, atoms carried along."""
    noise = size * rng.normal(size=(3, 3))
    new = atoms.copy()
    new.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (noise + noise.T)), scale_atoms=True)
    return new


def scaled(atoms: ase.Atoms, factor: float) -> ase.Atoms:
    """A copy with lengths times a factor."""
    new = atoms.copy()
    new.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return new


def rattled(atoms: ase.Atoms, size: float, rng: np.random.Generator) -> ase.Atoms:
    """A copy with Gaussian displacements of this length (Å) on average."""
    new = atoms.copy()
    new.positions += size / np.sqrt(8 / np.pi) * rng.normal(size=new.positions.shape)
    return new


def shaken(atoms: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """A copy that is rattled, strained and now and then pressed."""
    size = float(np.exp(rng.uniform(*np.log(RATTLES))))
    new = strained(rattled(atoms, size, rng), rng.uniform(0.0, 0.03), rng)
    return scaled(new, rng.uniform(0.96, 1.04)) if rng.random() < 0.4 else new


def repeats(atoms: ase.Atoms, length: float) -> tuple[int, int, int]:
    """Cells along each axis until none is shorter than a length (Å)."""
    a, b, c = (int(np.ceil(length / x - 1e-6)) for x in atoms.cell.lengths())
    return a, b, c


def grown(atoms: ase.Atoms, least: int, most: int) -> ase.Atoms:
    """Doubled along the shortest axis until there are as many atoms, but not more than `most`."""
    new = atoms.copy()
    while len(new) < least and 2 * len(new) <= most:
        counts = np.ones(3, dtype=int)
        counts[np.argmin(new.cell.lengths())] = 2
        new = new.repeat(counts)
    return new


def closest(atoms: ase.Atoms) -> float:
    """Shortest distance over the sum of covalent radii (infinite if none is within 3 Å)."""
    finder = NeighborList(cutoff=3.0, full_list=False)
    i, j, d = finder.compute(atoms.positions, atoms.cell.array, periodic=True, quantities="ijd")
    if len(d) == 0:
        return float("inf")
    return float((d / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])).min())
