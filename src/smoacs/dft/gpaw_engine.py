"""GPAW as the engine: plane waves, one calculation in this process (extra `dft`).

J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024). Run as a program, this module is an
engine in the sense of `smoacs.dft.worker`.
"""

import importlib
import importlib.util
import shlex
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from smoacs.dft.calculation import Calculation, DftError, DftValues
from smoacs.dft.reading import band_gaps, read_values, to_atoms
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

_FULL: Final = 1e-3
"""Occupation below which a band counts as empty."""


def run(calculation: Calculation) -> DftValues:
    """Gap, energy, stress and forces of a crystal at its geometry.

    Raises:
        DftError: The calculation did not converge or cannot be done.
        MissingExtraError: GPAW or its PAW data is missing or broken.
    """
    gpaw = _import_gpaw()
    for symbol in sorted(set(calculation.symbols)):
        _check_paw_data(symbol)
    atoms = to_atoms(calculation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms.calc = _calculator(gpaw, calculation)
        try:
            atoms.get_potential_energy()
        except gpaw.ConvergenceError as error:
            raise DftError(
                f"not self-consistent after {calculation.max_iterations} iterations"
            ) from error
        return read_values(atoms, calculation, _gaps, f"GPAW {gpaw.__version__}")


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
