"""GPAW as the engine: plane waves, one calculation in this process (extra `dft`).

J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024). Run as a program, this module is an
engine in the sense of `smoacs.dft.worker`.
"""

import importlib
import importlib.util
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smoacs.dft.calculation import Calculation, DftError, DftValues
from smoacs.dft.worker import serve
from smoacs.errors import MissingExtraError

SITECONFIG: Final = Path(__file__).with_name("gpaw_siteconfig.py")
"""How to compile GPAW; it travels with the package, so that every installation has it."""

INSTALL: Final = (
    "apt-get install g++ libxc-dev libopenblas-dev libfftw3-dev, then "
    f"GPAW_CONFIG={shlex.quote(str(SITECONFIG))} pip install 'gpaw>=26.7' "
    "'gpaw-data>=1.2' (see docs/dft.md)"
)

_ALWAYS_THERE: Final = "O"
"""An element that every collection of PAW data has."""

_EXTRA_BANDS: Final = 4
"""Empty bands; enough for the metals among small cells, and checked."""

_EIGENSTATES: Final = 1e-6
"""Convergence of the bands (eV² per electron); ten times less strict than GPAW's default halves no
digit of gap, energy and pressure and saves a sixth of the time."""

_DIGITS: Final = 6
"""Decimals that are kept, of every unit."""

_FULL: Final = 1e-3
"""Occupation below which a band counts as empty, and distance from a whole number of electrons
per spin below which a crystal may be an insulator."""


def run(calculation: Calculation) -> DftValues:
    """Gap, energy, stress and forces of a crystal at its geometry.

    Raises:
        DftError: The calculation did not converge or cannot be done.
        MissingExtraError: GPAW or its PAW data is missing or broken.
    """
    gpaw = _import_gpaw()
    for symbol in sorted(set(calculation.symbols)):
        _check_paw_data(symbol)
    from ase import Atoms  # noqa: PLC0415 - with the extra
    from ase.units import GPa  # noqa: PLC0415

    atoms = Atoms(
        calculation.symbols,
        scaled_positions=calculation.frac_coords,
        cell=calculation.cell,
        pbc=True,
        magmoms=calculation.moments if calculation.spin_polarized else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = _calculator(gpaw, calculation)
        atoms.calc = calculator
        try:
            energy = float(atoms.get_potential_energy())
        except gpaw.ConvergenceError as error:
            raise DftError(
                f"not self-consistent after {calculation.max_iterations} iterations"
            ) from error
        forces = np.asarray(atoms.get_forces())
        stress = _stress(atoms)
    gap, direct = _gaps(calculator)
    return DftValues(
        band_gap=_rounded(gap),
        band_gap_direct=_rounded(direct),
        energy_per_atom=_rounded(energy / len(atoms)),
        pressure=None if stress is None else _rounded(-stress[:3].mean() / GPa),
        stress=None if stress is None else tuple(_rounded(x / GPa) for x in stress),
        forces=tuple(tuple(_rounded(x) for x in row) for row in forces),
        max_force=_rounded(np.linalg.norm(forces, axis=1).max()),
        magnetic_moment=_rounded(calculator.get_magnetic_moment())
        if calculation.spin_polarized
        else 0.0,
        spin_polarized=calculation.spin_polarized,
        hubbard_u=calculation.hubbard_u,
        cutoff=calculation.cutoff,
        kpoints=calculation.kpoints,
        iterations=int(calculator.get_number_of_iterations()),
        engine=f"GPAW {gpaw.__version__}",
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
        if abs(number - n) > _FULL:
            return 0.0, 0.0
        if n > 0:
            tops.append(bands[:, n - 1].max())
            direct.append((bands[:, n] - bands[:, n - 1]).min())
        bottoms.append(bands[:, n].min())
    gap = float(min(bottoms) - max(tops))
    return (gap, float(min(direct))) if gap > 0.0 else (0.0, 0.0)


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS) + 0.0  # no -0.0


def _calculator(gpaw: Any, calculation: Calculation) -> Any:  # noqa: ANN401 - GPAW has no types
    return gpaw.GPAW(
        mode=gpaw.PW(calculation.cutoff),
        xc=calculation.functional,
        kpts={"size": calculation.kpoints, "gamma": True},
        occupations={"name": "fermi-dirac", "width": calculation.smearing},
        spinpol=calculation.spin_polarized,
        # ",0": no scaling by the part of the shell inside the augmentation sphere, as in VASP
        setups={symbol: f":d,{u},0" for symbol, u in calculation.hubbard_u.items()},
        nbands=-_EXTRA_BANDS,
        convergence={"eigenstates": _EIGENSTATES},
        maxiter=calculation.max_iterations,
        txt=None,
    )


def _gaps(calculator: Any) -> tuple[float, float]:  # noqa: ANN401
    spins = range(calculator.get_number_of_spins())
    weights = np.asarray(calculator.get_k_point_weights())
    points = range(len(weights))
    bands = [np.array([calculator.get_eigenvalues(k, s) for k in points]) for s in spins]
    # Occupation numbers carry the weight of the k-point and, without spin, two electrons.
    held = [np.array([calculator.get_occupation_numbers(k, s) for k in points]) for s in spins]
    per_band = 1 if len(spins) > 1 else 2
    if max((f / weights[:, None])[:, -1].max() for f in held) > _FULL * per_band:
        raise DftError("the highest band is occupied: too few bands for this metal")
    return band_gaps(bands, [float(f.sum()) / per_band for f in held])


def _stress(atoms: Any) -> NDArray[np.float64] | None:  # noqa: ANN401 - ASE is typed in part
    """Stress (eV/Å³) as xx, yy, zz, yz, xz, xy; None where GPAW has none (some with U)."""
    try:
        return np.asarray(atoms.get_stress(), dtype=float)
    except NotImplementedError:
        return None


def _import_gpaw() -> Any:  # noqa: ANN401
    if importlib.util.find_spec("gpaw") is None:
        raise MissingExtraError(f"DFT needs GPAW, which is not installed; get it with {INSTALL}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("gpaw")
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise MissingExtraError(
            f"GPAW is installed but does not load ({reason}); build it again: {INSTALL}"
        ) from error


def _check_paw_data(symbol: str) -> None:
    """Check that an element's PAW data is there and can be read."""
    setup_data = importlib.import_module("gpaw.setup_data")
    try:
        setup_data.SetupData(symbol, "PBE")  # PBEsol uses the same
    except FileNotFoundError as error:
        if symbol != _ALWAYS_THERE:
            _check_paw_data(_ALWAYS_THERE)
            raise DftError(f"there is no PAW data for {symbol}") from error
        raise MissingExtraError(
            "GPAW finds no PAW data; get it with pip install gpaw-data, or correct GPAW_SETUP_PATH"
        ) from error
    except Exception as error:  # whatever a damaged file leads to
        raise MissingExtraError(
            f"GPAW's PAW data for {symbol} is broken ({type(error).__name__}); "
            "get it again with pip install --force-reinstall --no-deps gpaw-data"
        ) from error


if __name__ == "__main__":
    serve(run)
