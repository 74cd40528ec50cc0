"""Predictors asked about many crystals: values, slopes of the energy, and who computes them."""

from smoacs.evaluation.derivatives import (
    GPA,
    MAX_FORCE,
    MAX_PRESSURE,
    NEGLIGIBLE_FORCE,
    energy_gradients,
    evaluate_residuals,
    force_sizes,
    is_at_rest,
    residuals,
)
from smoacs.evaluation.evaluator import (
    Evaluator,
    Observer,
    Prediction,
    Slopes,
    held_sites,
    without_held,
)
from smoacs.evaluation.threads import Workers, atoms_per_chunk, cores, single_thread
from smoacs.evaluation.values import evaluate

__all__ = [
    "GPA",
    "MAX_FORCE",
    "MAX_PRESSURE",
    "NEGLIGIBLE_FORCE",
    "Evaluator",
    "Observer",
    "Prediction",
    "Slopes",
    "Workers",
    "atoms_per_chunk",
    "cores",
    "energy_gradients",
    "evaluate",
    "evaluate_residuals",
    "force_sizes",
    "held_sites",
    "is_at_rest",
    "residuals",
    "single_thread",
    "without_held",
]
