"""The judge: criteria on real (discrete) crystals, from any source.

It shares no code with the optimiser, so that a mistake there cannot hide here.
"""

from smoacs.judging.criteria import charges, reduced_formula, symbol
from smoacs.judging.properties import evaluate_structures, known_formulas
from smoacs.judging.table import first_successes, judge

__all__ = [
    "charges",
    "evaluate_structures",
    "first_successes",
    "judge",
    "known_formulas",
    "reduced_formula",
    "symbol",
]
