"""Gradient-based search for crystals: settings, stages, and `run_search` over all of them."""

from smoacs.search.api import DesignResult, run_search
from smoacs.search.config import DesignConfig
from smoacs.search.progress import ProgressCallback, ProgressEvent

__all__ = ["DesignConfig", "DesignResult", "ProgressCallback", "ProgressEvent", "run_search"]
