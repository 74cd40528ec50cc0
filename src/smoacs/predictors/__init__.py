"""Predictors and descriptors: named properties of crystals, differentiable."""

from smoacs.predictors.base import (
    CombinedPredictor,
    Predictor,
    chunk_systems,
    evaluate,
    for_properties,
)
from smoacs.predictors.builtin import BUILTIN, NetworkPredictor, builtin_names
from smoacs.predictors.derivatives import (
    ENERGY,
    GPA,
    MAX_FORCE,
    MAX_PRESSURE,
    energy_gradients,
    evaluate_residuals,
    force_sizes,
    is_at_rest,
    residuals,
)
from smoacs.predictors.descriptors import Density, ToleranceFactor
from smoacs.predictors.domain import Applicability
from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX, PropertyInfo, physical
from smoacs.predictors.registry import installed_predictors, load_predictor, resolve_device

__all__ = [
    "BUILTIN",
    "ENERGY",
    "GPA",
    "MAX_FORCE",
    "MAX_PRESSURE",
    "PROPERTIES",
    "SPREAD_SUFFIX",
    "Applicability",
    "CombinedPredictor",
    "Density",
    "NetworkPredictor",
    "Predictor",
    "PropertyInfo",
    "ToleranceFactor",
    "builtin_names",
    "chunk_systems",
    "energy_gradients",
    "evaluate",
    "evaluate_residuals",
    "for_properties",
    "force_sizes",
    "installed_predictors",
    "is_at_rest",
    "load_predictor",
    "physical",
    "residuals",
    "resolve_device",
]
