"""Active learning: predictors learn by first principles from their own designs, in rounds."""

from smoacs.learning.api import Learned, learn, run_learning
from smoacs.learning.choose import choose, composition_distances
from smoacs.learning.labelling import Oracle
from smoacs.learning.numbers import RoundNumbers, stop_reason
from smoacs.learning.rounds import LearnProgress
from smoacs.learning.settings import LearnSettings

__all__ = [
    "LearnProgress",
    "LearnSettings",
    "Learned",
    "Oracle",
    "RoundNumbers",
    "choose",
    "composition_distances",
    "learn",
    "run_learning",
    "stop_reason",
]
