"""Predictors asked about many crystals: values, slopes, and who computes them."""

from smoacs.evaluation.derivatives import (
    GPA,
    MAX_FORCE,
    MAX_PRESSURE,
    NEGLIGIBLE_FORCE,
    energy_gradients,
    force_sizes,
    is_at_rest,
    residuals,
)
from smoacs.evaluation.evaluator import (
    ChemistrySlopes,
    EnergySlopes,
    Evaluator,
    Loss,
    LossSlopes,
    Prediction,
)
from smoacs.evaluation.threads import Workers, atoms_per_chunk, cores, single_thread
from smoacs.evaluation.values import evaluate, evaluate_residuals

__all__ = [
    "GPA",
    "MAX_FORCE",
    "MAX_PRESSURE",
    "NEGLIGIBLE_FORCE",
    "ChemistrySlopes",
    "EnergySlopes",
    "Evaluator",
    "Loss",
    "LossSlopes",
    "Prediction",
    "Workers",
    "atoms_per_chunk",
    "cores",
    "energy_gradients",
    "evaluate",
    "evaluate_residuals",
    "force_sizes",
    "is_at_rest",
    "residuals",
    "single_thread",
]
