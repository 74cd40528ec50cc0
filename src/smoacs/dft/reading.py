"""What a calculator of ASE has calculated, as `DftValues`."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.units import GPa
from numpy.typing import NDArray

from smoacs.dft.calculation import Calculation, DftValues

_DIGITS: Final = 6
"""Decimals that are kept, of every unit."""

_WHOLE: Final = 1e-3
"""Distance from a whole number of electrons per spin below which there may be a gap."""


def to_atoms(calculation: Calculation) -> Atoms:
    """The crystal for ASE, with starting moments where it is spin-polarised."""
    return Atoms(
        calculation.symbols,
        scaled_positions=calculation.frac_coords,
        cell=calculation.cell,
        pbc=True,
        magmoms=calculation.moments if calculation.spin_polarized else None,
    )


def read_values(
    atoms: Atoms,
    calculation: Calculation,
    gaps: Callable[[Any], tuple[float, float]],
    engine: str,
) -> DftValues:
    """Energy, forces and the rest of a calculator that has its bands.

    Args:
        atoms: With the calculator.
        calculation: What was asked of it.
        gaps: Reads the indirect and the direct gap, eV, off the calculator. Called last: once
            GPAW 26.7 has given occupation numbers, its stress is another one.
        engine: Name and version of the program.
    """
    forces = np.asarray(atoms.get_forces(), dtype=float)
    stress = _stress(atoms)
    indirect, direct = gaps(atoms.calc)
    polarized = calculation.spin_polarized
    return DftValues(
        band_gap=_rounded(indirect),
        band_gap_direct=_rounded(direct),
        energy_per_atom=_rounded(atoms.get_potential_energy() / len(atoms)),
        pressure=None if stress is None else _rounded(-stress[:3].mean() / GPa),
        stress=None if stress is None else tuple(_rounded(x / GPa) for x in stress),
        forces=tuple(tuple(_rounded(x) for x in row) for row in forces),
        max_force=_rounded(np.linalg.norm(forces, axis=1).max()),
        magnetic_moment=_rounded(_moment(atoms)) if polarized else 0.0,
        spin_polarized=polarized,
        hubbard_u=calculation.hubbard_u,
        cutoff=calculation.cutoff,
        kpoints=calculation.kpoints,
        iterations=_iterations(atoms.calc),
        engine=engine,
    )


def band_gaps(
    eigenvalues: Sequence[NDArray[np.float64]], electrons: Sequence[float]
) -> tuple[float, float]:
    """Smallest indirect and direct gaps (eV) of bands on a grid; 0 and 0 for a metal.

    A gap needs a whole number n of electrons in each spin; it lies between band n of all k-points
    and band n + 1, across both spins (indirect), or within a spin and k-point (direct).

    Args:
        eigenvalues: For each spin, sorted energies (eV), [K, bands].
        electrons: For each spin, number of electrons, in bands that hold one each.
    """
    tops, bottoms, direct = [], [], []
    for bands, number in zip(eigenvalues, electrons, strict=True):
        n = round(number)
        if abs(number - n) > _WHOLE:
            return 0.0, 0.0
        if n > 0:
            tops.append(bands[:, n - 1].max())
            direct.append((bands[:, n] - bands[:, n - 1]).min())
        bottoms.append(bands[:, n].min())
    gap = float(min(bottoms) - max(tops))
    return (gap, float(min(direct))) if gap > 0.0 else (0.0, 0.0)


def _stress(atoms: Atoms) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """Stress (eV/Å³) as xx, yy, zz, yz, xz, xy; None where the calculator has none."""
    try:
        stress = atoms.get_stress()
    except (NotImplementedError, PropertyNotImplementedError):
        return None
    return None if stress is None else np.asarray(stress, dtype=float)


def _moment(atoms: Atoms) -> float:
    """Magnetic moment of the cell (µB): its own, or the sum of the atoms'."""
    try:
        return float(atoms.get_magnetic_moment())
    except (NotImplementedError, PropertyNotImplementedError):
        return float(np.sum(atoms.get_magnetic_moments()))


def _iterations(calculator: Any) -> int:  # noqa: ANN401 - calculators share no base class
    """Iterations until self-consistency; 0 where the calculator does not say."""
    count = getattr(calculator, "get_number_of_iterations", None)
    return int(count() or 0) if callable(count) else 0


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS) + 0.0  # no -0.0
