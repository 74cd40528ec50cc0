"""Constraints on a crystal as a whole, as rules on the decorations of a template."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from smoacs.request.chemical_rules import AtMost, CrystalRule, Required
from smoacs.templates import Template

Rule = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]
"""Which decorations a constraint allows, [M], given the index of their combination and the elements
(Z - 1) of their first j sites, [M, j]. With j below the number of sites, those that some choice for
the other sites may still complete must be allowed."""


def decoration_rule(rules: Sequence[CrystalRule], template: Template) -> Rule | None:
    """The rule that decorations must obey; None if any decoration will do.

    Args:
        rules: On the elements of the crystal.
        template: If it ties sites by symmetry, decorations must not raise its space group.
    """
    symmetry = template.symmetry
    if symmetry is not None and not symmetry.ties_sites:
        symmetry = None
    if not rules and symmetry is None:
        return None

    def allows(combination: int, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        del combination  # rules on charges have chosen the combinations
        allowed = np.ones(len(elements), dtype=np.bool_)
        for rule in rules:
            allowed &= _still_met(rule, elements)
        if symmetry is not None and elements.shape[1] == template.n_sites:
            rows = np.flatnonzero(allowed)
            allowed[rows] = [not symmetry.is_raised(row) for row in elements[rows]]
        return allowed

    return allows


def _still_met(rule: CrystalRule, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the other sites may complete decorations, [M, j], so that a rule is met, [M]."""
    sites = np.array(rule.sites, dtype=np.int64)
    chosen = elements[:, sites[sites < elements.shape[1]]]
    n_open = len(sites) - chosen.shape[1]
    if isinstance(rule, AtMost):
        if chosen.shape[1] == 0:
            return np.ones(len(elements), dtype=np.bool_)
        ordered = np.sort(chosen, axis=1)
        distinct = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
        return np.asarray(distinct <= rule.limit)
    count = (chosen == rule.element).sum(axis=1)
    if isinstance(rule, Required):
        return np.asarray(count + n_open > 0)
    return np.asarray((count <= rule.count) & (count + n_open >= rule.count))
