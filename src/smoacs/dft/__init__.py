"""Truth by density-functional theory: plain data in, plain data out, for small crystals.

`label(structures, settings, cache=...)` calculates the band gap, energy, pressure and forces of
structures with GPAW (extra `dft`) or another engine, in processes of their own.
"""

from smoacs.dft.ase_engine import load_factory
from smoacs.dft.calculation import Calculation, DftError, DftValues, plan_calculation
from smoacs.dft.labels import DftLabel, read_labels
from smoacs.dft.oracle import GPAW, GPAW_ENGINE, LabelProgress, engine_command, label
from smoacs.dft.settings import DftSettings
from smoacs.dft.shells import HUBBARD_U, hubbard_values, unpaired_electrons
from smoacs.dft.worker import serve

__all__ = [
    "GPAW",
    "GPAW_ENGINE",
    "HUBBARD_U",
    "Calculation",
    "DftError",
    "DftLabel",
    "DftSettings",
    "DftValues",
    "LabelProgress",
    "engine_command",
    "hubbard_values",
    "label",
    "load_factory",
    "plan_calculation",
    "read_labels",
    "serve",
    "unpaired_electrons",
]
