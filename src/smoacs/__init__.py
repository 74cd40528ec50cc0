"""Design crystals that have several wanted properties at once (SMOACS, arXiv:2410.08562).

Everything public is here; it is imported on first use, so `import smoacs` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from smoacs.crystals import Crystals, NeighborList, neighbor_list
    from smoacs.errors import InputError, MissingExtraError, ResourceError, SmoacsError
    from smoacs.evaluation import evaluate
    from smoacs.export import export_designs
    from smoacs.judging import judge
    from smoacs.learning import Learned, learn
    from smoacs.predictors import CombinedPredictor, Predictor, load_predictor
    from smoacs.relaxation import Relaxed, Settled, SettleSettings, relax_structures, settle
    from smoacs.request import DesignConfig
    from smoacs.runs import (
        CheckedRun,
        DesignRun,
        check,
        design,
        read_run,
        resume,
        run_design,
        save_run,
    )
    from smoacs.search import DesignResult
    from smoacs.targets import FunctionTarget, Target
    from smoacs.templates import Template, build_template, from_structure, perovskite

_HOMES = {
    "crystals": ("Crystals", "NeighborList", "neighbor_list"),
    "errors": ("InputError", "MissingExtraError", "ResourceError", "SmoacsError"),
    "evaluation": ("evaluate",),
    "export": ("export_designs",),
    "judging": ("judge",),
    "learning": ("Learned", "learn"),
    "predictors": ("CombinedPredictor", "Predictor", "load_predictor"),
    "relaxation": ("Relaxed", "SettleSettings", "Settled", "relax_structures", "settle"),
    "runs": (
        "CheckedRun",
        "DesignRun",
        "check",
        "design",
        "resume",
        "read_run",
        "run_design",
        "save_run",
    ),
    "request": ("DesignConfig",),
    "search": ("DesignResult",),
    "targets": ("FunctionTarget", "Target"),
    "templates": ("Template", "build_template", "from_structure", "perovskite"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CheckedRun",
    "CombinedPredictor",
    "Crystals",
    "DesignConfig",
    "DesignResult",
    "DesignRun",
    "FunctionTarget",
    "InputError",
    "Learned",
    "MissingExtraError",
    "NeighborList",
    "Predictor",
    "Relaxed",
    "ResourceError",
    "SettleSettings",
    "Settled",
    "SmoacsError",
    "Target",
    "Template",
    "build_template",
    "check",
    "design",
    "evaluate",
    "export_designs",
    "from_structure",
    "judge",
    "learn",
    "load_predictor",
    "neighbor_list",
    "perovskite",
    "read_run",
    "relax_structures",
    "resume",
    "run_design",
    "save_run",
    "settle",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home."""
    if name == "__version__":
        return import_module("importlib.metadata").version("smoacs")
    if name not in _HOME:
        raise AttributeError(f"module 'smoacs' has no attribute {name!r}")
    return getattr(import_module(f"smoacs.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted([*__all__, "__version__"])
