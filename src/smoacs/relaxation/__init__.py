"""Relaxation of many crystals at once, elements fixed, on any potential."""

from smoacs.relaxation.held import Held
from smoacs.relaxation.optimiser import (
    FMAX,
    MAX_STEPS,
    Potential,
    Relaxation,
    Response,
    relax,
)
from smoacs.relaxation.structures import (
    PredictorPotential,
    Relaxed,
    relax_structures,
    relaxation_problem,
)
from smoacs.relaxation.symmetry import SymmetricPotential

__all__ = [
    "FMAX",
    "MAX_STEPS",
    "Held",
    "Potential",
    "PredictorPotential",
    "Relaxation",
    "Relaxed",
    "Response",
    "SymmetricPotential",
    "relax",
    "relax_structures",
    "relaxation_problem",
]
