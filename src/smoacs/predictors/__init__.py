"""Predictors and descriptors: named properties of crystals, differentiable."""

from smoacs.predictors.base import (
    CombinedPredictor,
    Predictor,
    for_properties,
    hangs_on_geometry,
    property_scales,
)
from smoacs.predictors.builtin import BUILTIN, NetworkPredictor, builtin_names
from smoacs.predictors.descriptors import Density, ToleranceFactor
from smoacs.predictors.domain import Applicability
from smoacs.predictors.properties import ENERGY, PROPERTIES, SPREAD_SUFFIX, PropertyInfo, physical
from smoacs.predictors.registry import (
    installed_predictors,
    load_predictor,
    load_settling_predictor,
    resolve_device,
)

__all__ = [
    "BUILTIN",
    "ENERGY",
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
    "for_properties",
    "hangs_on_geometry",
    "installed_predictors",
    "load_predictor",
    "load_settling_predictor",
    "physical",
    "property_scales",
    "resolve_device",
]
