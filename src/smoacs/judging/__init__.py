"""The judge: criteria on real (discrete) crystals, from any source.

It shares no code with the optimiser, so that a mistake there cannot hide here.
"""

from smoacs.judging.benchmark import BENCHMARKS, Benchmark, benchmark, standing
from smoacs.judging.criteria import (
    element_counts,
    is_crystal,
    min_distance,
    reduced_formula,
)
from smoacs.judging.matching import Match, angles_kept, match_template
from smoacs.judging.prediction import (
    domain_note,
    evaluate_domain,
    evaluate_structures,
    known_formulas,
    predicted,
)
from smoacs.judging.rules import RuleCheck, Rules
from smoacs.judging.space_groups import space_group
from smoacs.judging.table import AT_ONCE, first_successes, judge

__all__ = [
    "AT_ONCE",
    "BENCHMARKS",
    "Benchmark",
    "Match",
    "RuleCheck",
    "Rules",
    "angles_kept",
    "benchmark",
    "domain_note",
    "element_counts",
    "evaluate_domain",
    "evaluate_structures",
    "first_successes",
    "is_crystal",
    "judge",
    "known_formulas",
    "match_template",
    "min_distance",
    "predicted",
    "reduced_formula",
    "space_group",
    "standing",
]
