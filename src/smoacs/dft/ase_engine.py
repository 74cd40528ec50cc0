"""Any ASE calculator of electronic structure as the engine: VASP, Quantum ESPRESSO, or your own.

Run as a program with the name of a calculator, this module is an engine in the sense of
`smoacs.dft.worker`. The calculator's files go to a folder that is removed at the end.
"""

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculatorSetupError, PropertyNotImplementedError

from smoacs.dft.calculation import Calculation, DftError, DftValues
from smoacs.dft.programs import PROGRAMS
from smoacs.dft.reading import band_gaps, read_values, to_atoms
from smoacs.dft.worker import serve
from smoacs.errors import InputError, MissingExtraError

_N_ARGUMENTS: Final = 2


def load_factory(name: str) -> Callable[..., Any]:
    """The function of a name such as "my_module:make_calculator".

    Raises:
        InputError: It cannot be imported, or is none.
    """
    module, _, attribute = name.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factory = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise InputError(
            f"{name!r} cannot be imported ({error}); it is 'module:function', and the module must "
            "be installed or lie on PYTHONPATH"
        ) from error
    if not callable(factory):
        raise InputError(f"{name!r} is no function that makes a calculator")
    function: Callable[..., Any] = factory
    return function


def run(calculation: Calculation, name: str) -> DftValues:
    """Gap, energy, stress and forces of a crystal at its geometry.

    Args:
        calculation: What to calculate.
        name: "vasp", "espresso", or "module:function", a function of the `Calculation` that
            returns an ASE calculator of energy, forces and eigenvalues.

    Raises:
        DftError: The calculation did not converge or cannot be done.
        MissingExtraError: The program is not set up on this machine.
    """
    make = PROGRAMS.get(name) or load_factory(name)
    atoms = to_atoms(calculation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            atoms.calc = make(calculation)
            return _values(atoms, calculation, name)
        except CalculatorSetupError as error:
            raise MissingExtraError(f"{name} is not set up for ASE: {error}") from error


def _values(atoms: Atoms, calculation: Calculation, name: str) -> DftValues:
    """Ask the calculator of `atoms` for everything; it calculates, or reads what it has.

    Raises:
        DftError: It did not converge, or gives no eigenvalues.
    """
    calculator: Any = atoms.calc
    try:
        atoms.get_potential_energy()
    except PropertyNotImplementedError as error:
        raise DftError("its output holds no energy: it did not finish") from error
    if getattr(calculator, "converged", True) is False:
        raise DftError(f"not self-consistent after {calculation.max_iterations} iterations")
    engine = f"{name} {getattr(calculator, 'version', '') or ''}".strip()
    return read_values(atoms, calculation, _gaps, engine)


def gaps_at_fermi_level(
    eigenvalues: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]], fermi_level: float
) -> tuple[float, float]:
    """Smallest indirect and direct gaps (eV) around the Fermi level; 0 and 0 for a metal.

    A metal has a different number of bands below the level at two k-points of one spin.

    Args:
        eigenvalues: For each spin, sorted energies (eV), [K, bands].
        fermi_level: eV, on the same scale.

    Raises:
        DftError: There are no empty bands.
    """
    numbers = []
    for bands in eigenvalues:
        filled = (bands <= fermi_level).sum(axis=1)
        if (filled != filled[0]).any():
            return 0.0, 0.0
        if filled[0] == bands.shape[1]:
            raise DftError("there are no empty bands, and so no gap: add some to the calculator")
        numbers.append(float(filled[0]))
    return band_gaps(eigenvalues, numbers)


def _gaps(calculator: Any) -> tuple[float, float]:  # noqa: ANN401 - calculators share no base class
    try:
        spins = range(calculator.get_number_of_spins())
        points = range(len(calculator.get_ibz_k_points()))
        bands = [np.array([calculator.get_eigenvalues(k, s) for k in points]) for s in spins]
        level = float(calculator.get_fermi_level())
    except (AttributeError, NotImplementedError, PropertyNotImplementedError, TypeError) as error:
        raise DftError("the calculator gives no eigenvalues with a Fermi level") from error
    return gaps_at_fermi_level(bands, level)


def _in_a_folder(calculation: Calculation) -> DftValues:
    """Run in a folder of its own; a user's module may lie where the command was given."""
    home = os.getcwd()  # noqa: PTH109 - chdir below
    sys.path.insert(0, home)
    with tempfile.TemporaryDirectory(prefix="smoacs-") as folder:
        os.chdir(folder)
        try:
            return run(calculation, sys.argv[1])
        except InputError as error:
            raise MissingExtraError(str(error)) from error
        finally:
            os.chdir(home)


if __name__ == "__main__":
    if len(sys.argv) != _N_ARGUMENTS:
        raise SystemExit("give the name of a calculator")
    serve(_in_a_folder)
