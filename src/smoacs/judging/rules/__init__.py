"""The judge's own check of every hard constraint of a design.

It knows the request as plain values and the template as it was before any rule, and it looks at the
finished crystals with pymatgen, spglib and counting. Nothing here is used by the optimiser, and
nothing of the optimiser is used here, so that a mistake in one does not hide in the other.
"""

from smoacs.judging.rules.request import Rules
from smoacs.judging.rules.rule_check import RuleCheck

__all__ = ["RuleCheck", "Rules"]
