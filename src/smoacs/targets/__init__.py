"""What a design should reach: from text to loss, verdict and front."""

from smoacs.targets.functions import FunctionTarget, with_functions
from smoacs.targets.target import Target, check_spreads, on_worse_side
from smoacs.targets.together import check_together

__all__ = [
    "FunctionTarget",
    "Target",
    "check_spreads",
    "check_together",
    "on_worse_side",
    "with_functions",
]
