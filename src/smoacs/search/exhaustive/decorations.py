"""Every decoration of a template with elements, each once up to the template's symmetry."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoacs.request.decoration_rules import Rule
from smoacs.templates import Operations, Template

CHUNK = 16_384
"""Decorations worked on at the same time."""


@dataclass(frozen=True)
class Decorations:
    """M ways to put elements on the sites of a template, under one combination of charges.

    Attributes:
        combination: Index of the combination.
        elements: Index (Z - 1) of the element on each site, [M, n].
    """

    combination: int
    elements: NDArray[np.int64]


def n_fillings(template: Template) -> int:
    """How many fillings of all sites there are, symmetric copies counted, before other rules."""
    chosen = _tied_to(template) == np.arange(template.n_sites)
    per_site = template.allowed.sum(axis=2)[:, chosen]
    return sum(math.prod(int(count) for count in row) for row in per_site)


def decorations(
    template: Template, symmetry: Operations, rule: Rule | None = None
) -> Iterator[Decorations]:
    """Give every allowed decoration once, in chunks: the first of each set of symmetric copies.

    A copy is left out only if the one that stands for it is allowed itself, so nothing is lost
    where rules treat equivalent sites differently.

    Args:
        template: With the allowed elements of each site under each combination.
        symmetry: Of the template.
        rule: A further constraint; None for none.
    """
    tied_to = _tied_to(template)
    # Symmetries that leave each site within its tied ones leave every decoration as it is.
    permutations = [p for p in symmetry.distinct_permutations if (tied_to[p] != tied_to).any()]
    for k in range(template.n_combinations):
        # Which combination a symmetry turns this one into, -1 for none of the template's.
        turned = [_index(template.combinations, template.combinations[k][p]) for p in permutations]
        for filled in _fill(template, k, np.zeros((1, 0), dtype=np.int64), rule):
            first = np.ones(len(filled), dtype=np.bool_)
            for other, permutation in zip(turned, permutations, strict=True):
                if not 0 <= other <= k:
                    continue
                rows = np.flatnonzero(first)
                image = filled[rows][:, permutation]
                earlier = _before(image, filled[rows]) if other == k else np.ones(len(rows), bool)
                rows, image = rows[earlier], image[earlier]
                first[rows[_allowed(template, other, image, rule)]] = False
            if first.any():
                yield Decorations(k, filled[first])


def _fill(
    template: Template, k: int, begun: NDArray[np.int64], rule: Rule | None
) -> Iterator[NDArray[np.int64]]:
    """Complete decorations of which the first j sites are chosen, [M, j], in chunks of [M, n]."""
    site = begun.shape[1]
    if site == template.n_sites:
        yield begun
        return
    tied_to = int(_tied_to(template)[site])
    if tied_to < site:
        yield from _fill(template, k, np.column_stack([begun, begun[:, tied_to]]), rule)
        return
    options = np.flatnonzero(template.allowed[k, site])
    rows = max(1, CHUNK // len(options))
    for start in range(0, len(begun), rows):
        part = begun[start : start + rows]
        longer = np.column_stack(
            [np.repeat(part, len(options), axis=0), np.tile(options, len(part))]
        )
        if rule is not None:
            longer = longer[rule(k, longer)]
        if len(longer):
            yield from _fill(template, k, longer, rule)


def _allowed(
    template: Template, k: int, elements: NDArray[np.int64], rule: Rule | None
) -> NDArray[np.bool_]:
    allowed = template.allowed[k, np.arange(template.n_sites), elements].all(axis=1)
    allowed &= (elements == elements[:, _tied_to(template)]).all(axis=1)
    return np.asarray(allowed if rule is None else allowed & rule(k, elements))


def _tied_to(template: Template) -> NDArray[np.int64]:
    """Site whose element each site takes, [n]; itself where it chooses."""
    return np.arange(template.n_sites) if template.tied_to is None else template.tied_to


def _index(combinations: NDArray[np.int8], charges: NDArray[np.int8]) -> int:
    """First combination with these charges; -1 if there is none."""
    same = np.flatnonzero((combinations == charges).all(axis=1))
    return int(same[0]) if len(same) else -1


def _before(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of [M, n] that come before those of the other, compared from the first site on."""
    change = some - others
    place = (change != 0).argmax(axis=1)
    before: NDArray[np.bool_] = change[np.arange(len(change)), place] < 0
    return before
