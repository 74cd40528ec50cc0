"""The search for crystals: by gradients, through all compositions, and over many seeds."""

from smoacs.search.api import run_search
from smoacs.search.progress import ProgressCallback, ProgressEvent
from smoacs.search.result import DesignResult
from smoacs.search.settings import OptimiserSettings

__all__ = ["DesignResult", "OptimiserSettings", "ProgressCallback", "ProgressEvent", "run_search"]
