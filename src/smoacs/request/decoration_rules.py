"""Constraints on a crystal as a whole, as rules on the decorations of a template."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import can_clash, side_by_side
from smoacs.request.chemical_rules import AtMost, CrystalRule, Required
from smoacs.templates import Template, interchangeable

Rule = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]
"""Which decorations a constraint allows, [M], given the index of their combination and the elements
(Z - 1) of their first j sites, [M, j]. With j below the number of sites, those that some choice for
the other sites may still complete must be allowed."""


def decoration_rule(
    rules: Sequence[CrystalRule], template: Template, *, charges: bool = True
) -> Rule | None:
    """The rule that decorations must obey; None if any decoration will do.

    Args:
        rules: On the elements of the crystal.
        template: If it keeps a space group, decorations must not raise it. In an ordered compound
            two kinds of sites with one charge hold different elements.
        charges: Whether elements that never have two oxidation numbers side by side, such as S⁶⁺
            and S²⁻, are kept from it.
    """
    symmetry = template.kept_group
    clash = [
        charges and can_clash(template.allowed[k], template.combinations[k])
        for k in range(template.n_combinations)
    ]
    if not rules and symmetry is None and not any(clash):
        return None
    chosen = np.arange(template.n_sites)
    if template.tied_to is not None:
        chosen = np.unique(template.tied_to)

    alike = [_alike(template, chosen, k) for k in range(template.n_combinations)]

    def allows(combination: int, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        allowed = np.ones(len(elements), dtype=np.bool_)
        for rule in rules:
            allowed &= _still_met(rule, elements)
        if clash[combination]:
            sites = chosen[chosen < elements.shape[1]]
            allowed &= side_by_side(elements[:, sites], template.combinations[combination, sites])
        for i, j, same in alike[combination]:
            if j < elements.shape[1]:
                first, second = elements[:, i], elements[:, j]
                allowed &= first < second if same else first != second
        if symmetry is not None and elements.shape[1] == template.n_sites:
            rows = np.flatnonzero(allowed)
            allowed[rows] = ~symmetry.raised(elements[rows])
        return allowed

    return allows


def _alike(
    template: Template, sites: NDArray[np.int64], combination: int
) -> list[tuple[int, int, bool]]:
    """Pairs of sites of two kinds and one charge, i < j, which differ in an ordered compound.

    With one element on both it would be a compound of another type: A = B makes a chalcopyrite a
    zincblende, and a full Heusler compound one of the type of BiF3.

    Returns:
        The two sites, and whether the structure does not tell them apart, as B and B' of a double
        perovskite: of two decorations that only differ in their order one is enough.
    """
    if template.order is None:
        return []
    charges, labels = template.combinations[combination], template.site_labels
    return [
        (int(i), int(j), interchangeable(template, labels[i], labels[j]))
        for i, j in itertools.combinations(sites, 2)
        if labels[i] != labels[j] and charges[i] == charges[j]
    ]


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
