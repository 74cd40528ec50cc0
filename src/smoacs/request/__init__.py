"""What was asked for: a run's settings, the constraint language, and what is feasible."""

from smoacs.request.config import DesignConfig

__all__ = ["DesignConfig"]
