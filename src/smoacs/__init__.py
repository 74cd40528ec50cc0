"""Design crystals that have several wanted properties at once (SMOACS, arXiv:2410.08562).

Everything public is here; it is imported on first use, so `import smoacs` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoacs.crystals import Crystals, NeighborList, neighbor_list
    from smoacs.errors import InputError, MissingExtraError, ResourceError, SmoacsError
    from smoacs.judging import judge
    from smoacs.predictors import CombinedPredictor, Predictor, evaluate, load_predictor
    from smoacs.runs import DesignRun, design, run_design, save_run
    from smoacs.search import DesignConfig, DesignResult
    from smoacs.targets import Target
    from smoacs.templates import Template, build_template, from_structure, perovskite

_HOMES = {
    "crystals": ("Crystals", "NeighborList", "neighbor_list"),
    "errors": ("InputError", "MissingExtraError", "ResourceError", "SmoacsError"),
    "judging": ("judge",),
    "predictors": ("CombinedPredictor", "Predictor", "evaluate", "load_predictor"),
    "runs": ("DesignRun", "design", "run_design", "save_run"),
    "search": ("DesignConfig", "DesignResult"),
    "targets": ("Target",),
    "templates": ("Template", "build_template", "from_structure", "perovskite"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CombinedPredictor",
    "Crystals",
    "DesignConfig",
    "DesignResult",
    "DesignRun",
    "InputError",
    "MissingExtraError",
    "NeighborList",
    "Predictor",
    "ResourceError",
    "SmoacsError",
    "Target",
    "Template",
    "build_template",
    "design",
    "evaluate",
    "from_structure",
    "judge",
    "load_predictor",
    "neighbor_list",
    "perovskite",
    "run_design",
    "save_run",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home."""
    if name not in _HOME:
        raise AttributeError(f"module 'smoacs' has no attribute {name!r}")
    return getattr(import_module(f"smoacs.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
