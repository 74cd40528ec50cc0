"""What an exhaustive search has to go through, found out before a network is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.chemistry import N_ELEMENTS, cost_table
from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import CombinedPredictor, Predictor
from smoacs.request.decoration_rules import Rule
from smoacs.search.exhaustive.decorations import Decorations, decorations, n_fillings
from smoacs.targets import Target
from smoacs.templates import Operations, Template, site_operations

LIMIT = 1_000_000
"""Most decorations that are relaxed: an hour with the built-in predictor on two cores for five
atoms, and tables of a few hundred MB."""

MOST_COPIES = 10_000
RULED_OUT = 30
"""Where there are more fillings than symmetry, rules and targets on the composition may well take
together, a space is not even enumerated."""


@dataclass(frozen=True)
class Space:
    """All that a template may hold.

    Attributes:
        template: Restricted to the elements asked for.
        symmetry: Of the template.
        n_decorations: Ways to decorate it, symmetric copies counted once.
        combination: Index of the combination of those that no target on the composition rules
            out, [M].
        elements: Index (Z - 1) of the element on each of their sites, [M, n].
    """

    template: Template
    symmetry: Operations
    n_decorations: int
    combination: NDArray[np.int16]
    elements: NDArray[np.uint8]

    def __len__(self) -> int:
        """Decorations that have to be relaxed."""
        return len(self.elements)

    def parts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Combination, then the element of each site (Z - 1), of some decorations, [b, 1 + n]."""
        columns = self.combination[rows], self.elements[rows]
        return np.column_stack(columns).astype(np.int64)

    def compositions(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Elements of decorations in ascending order, [b, n]: equal for equal formulas."""
        ordered: NDArray[np.uint8] = np.sort(self.elements[rows], axis=1)
        return ordered

    def unusual(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """How unusual the oxidation numbers of decorations are, [b].

        Minus the logarithm of the likelihood of the assignment, the product over elements and their
        numbers of the share of the element's reports that give it.
        """
        elements, combination = self.elements[rows], self.combination[rows]
        charges = self.template.combinations
        costs = cost_table(charges)
        total = np.zeros(len(rows), dtype=np.float32)
        tied = self.template.tied_to
        sites = np.arange(self.template.n_sites) if tied is None else np.unique(tied)
        for place, site in enumerate(sites):
            own = elements[:, site]
            new = np.ones(len(rows), dtype=np.bool_)
            for other in sites[:place]:
                same = charges[combination, other] == charges[combination, site]
                new &= ~((elements[:, other] == own) & same)
            total += np.where(new, costs[combination, site, own], 0.0)
        return total


def survey(
    template: Template,
    targets: Sequence[Target],
    predictor: Predictor,
    *,
    rule: Rule | None = None,
    limit: int = LIMIT,
) -> Space | None:
    """Enumerate a template's decorations, without those that a composition alone rules out.

    Targets whose property comes from a part of the predictor with `needs_geometry = False`, such
    as the tolerance factor, are decided here, before any network is asked.

    Args:
        template: Restricted to the elements asked for.
        targets: What is wanted.
        predictor: Gives the targets' properties.
        rule: A further constraint on decorations.
        limit: Most decorations that may be left.

    Returns:
        The space; None if it is larger than `limit`.
    """
    fillings = n_fillings(template)
    if fillings > limit * MOST_COPIES:
        return None
    symmetry = site_operations(template)
    if fillings > limit * RULED_OUT * len(symmetry.distinct_permutations):
        return None
    total = left = 0
    combination, elements = [np.zeros(0, np.int16)], [np.zeros((0, template.n_sites), np.uint8)]
    parts = cheap_parts(targets, predictor)
    for chunk in decorations(template, symmetry, rule):
        total += len(chunk.elements)
        kept = chunk.elements[_possible(template, chunk, parts)]
        left += len(kept)
        if left > limit:
            return None
        combination.append(np.full(len(kept), chunk.combination, np.int16))
        elements.append(kept.astype(np.uint8))
    return Space(template, symmetry, total, np.concatenate(combination), np.concatenate(elements))


def cheap_parts(
    targets: Sequence[Target], predictor: Predictor
) -> list[tuple[Predictor, list[Target]]]:
    """Parts of a predictor that need no geometry, with the targets that each of them decides."""
    parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
    left = list(targets)
    found = []
    for part in parts:
        decided = [target for target in left if target.property in part.properties]
        left = [target for target in left if target.property not in part.properties]
        decided = [target for target in decided if not target.direction]
        if decided and not getattr(part, "needs_geometry", True):
            found.append((part, decided))
    return found


def _possible(
    template: Template, chunk: Decorations, parts: Sequence[tuple[Predictor, list[Target]]]
) -> NDArray[np.bool_]:
    """Decorations that meet all targets on the composition alone, [M]."""
    possible = np.ones(len(chunk.elements), dtype=np.bool_)
    if not parts:
        return possible
    m, n = chunk.elements.shape
    radii = None
    if template.radii is not None:
        radii = torch.as_tensor(
            template.radii[chunk.combination, np.arange(n), chunk.elements].ravel()
        )
    crystals = Crystals(
        species_probs=torch.nn.functional.one_hot(
            torch.as_tensor(chunk.elements.ravel()), N_ELEMENTS
        ).float(),
        frac_coords=torch.as_tensor(np.tile(template.frac_coords, (m, 1)), dtype=torch.float32),
        cell=torch.diag(torch.tensor(template.lengths, dtype=torch.float32)).repeat(m, 1, 1),
        system_idx=torch.arange(m).repeat_interleave(n),
        ionic_radii=radii,
        site_roles=None if radii is None else torch.as_tensor(np.tile(template.roles, m)).long(),
    )
    for part, targets in parts:
        values = evaluate(part, crystals)
        for target in targets:
            possible &= target.met(torch.as_tensor(values[target.property])).numpy()
    return possible
