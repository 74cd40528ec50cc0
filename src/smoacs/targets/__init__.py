"""What a design should reach: from text to loss, verdict and front."""

from smoacs.targets.functions import FunctionTarget, with_functions
from smoacs.targets.target import Target, check_spreads, on_worse_side

__all__ = ["FunctionTarget", "Target", "check_spreads", "on_worse_side", "with_functions"]
