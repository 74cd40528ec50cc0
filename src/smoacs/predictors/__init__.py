"""Predictors and descriptors: named properties of crystals, differentiable."""

from smoacs.predictors.base import CombinedPredictor, Predictor, chunk_systems, evaluate
from smoacs.predictors.builtin import BUILTIN, NetworkPredictor, builtin_names
from smoacs.predictors.descriptors import Density, ToleranceFactor
from smoacs.predictors.properties import PROPERTIES, PropertyInfo, physical
from smoacs.predictors.registry import installed_predictors, load_predictor, resolve_device

__all__ = [
    "BUILTIN",
    "PROPERTIES",
    "CombinedPredictor",
    "Density",
    "NetworkPredictor",
    "Predictor",
    "PropertyInfo",
    "ToleranceFactor",
    "builtin_names",
    "chunk_systems",
    "evaluate",
    "installed_predictors",
    "load_predictor",
    "physical",
    "resolve_device",
]
