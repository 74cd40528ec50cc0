"""What a design should reach: from text to loss, verdict and front."""

from smoacs.targets.collection import Targets
from smoacs.targets.functions import FunctionTarget, with_functions
from smoacs.targets.target import Target
from smoacs.targets.together import check_together

__all__ = ["FunctionTarget", "Target", "Targets", "check_together", "with_functions"]
