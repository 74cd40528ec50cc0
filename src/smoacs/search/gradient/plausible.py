"""What a search does not propose, and what it proposes less often: the sense of a chemist."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import ELEMENTS, cost_table
from smoacs.crystals import Candidates
from smoacs.request.decoration_rules import Rule
from smoacs.request.variants import sites_by_tie
from smoacs.templates import Template, distinct_choice


@dataclass(frozen=True, eq=False)
class Plausibility:
    """Which elements make sense on the sites of a template, K combinations, n sites, E elements.

    Attributes:
        rule: Decorations to leave out altogether; None for none.
        costs: Minus the logarithm of the share of an element's reports that give it the oxidation
            number of a site, [K, n, E]; swaps are drawn in proportion to this share. None to draw
            without it.
    """

    rule: Rule | None = None
    costs: Tensor | None = None

    @staticmethod
    def of(template: Template, rule: Rule | None, *, likely: bool) -> "Plausibility":
        """Of a template.

        Args:
            template: Of the search.
            rule: Decorations to leave out.
            likely: Whether unlikely oxidation numbers are drawn less often.
        """
        costs = torch.as_tensor(cost_table(template.combinations)) if likely else None
        return Plausibility(rule, costs)

    def allows(self, combination: int, elements: NDArray[np.int64]) -> bool:
        """Whether elements, [n], may be together under a combination."""
        return self.rule is None or bool(self.rule(combination, elements[None])[0])

    def costs_of(self, combinations: Tensor) -> Tensor | None:
        """Costs of some candidates by their combinations, [r]: [r, n, E]; None without any."""
        return None if self.costs is None else self.costs.to(combinations.device)[combinations]


def make_plausible(candidates: Candidates, template: Template, plausible: Plausibility) -> None:
    """Change as few elements as it takes for every real candidate to obey the rule.

    Their scores say which change costs least. A candidate that no single change helps takes the
    first elements that keep its space group, if it has one to keep.

    Args:
        candidates: Real ones of the template.
        template: Theirs.
        plausible: The rule.
    """
    if plausible.rule is None:
        return
    rows = candidates.rows.cpu().numpy().copy()
    chosen = candidates.combination.tolist()
    wrong = [b for b, k in enumerate(chosen) if not plausible.allows(k, rows[b])]
    if not wrong:
        return
    allowed = candidates.allowed().view(*rows.shape, -1).cpu().numpy()
    scores = candidates.element_scores.detach().view(*rows.shape, -1).cpu().numpy()
    units = sites_by_tie(template.n_sites, template.tied_to)
    for b in wrong:
        cost = np.where(allowed[b], -scores[b], np.inf)
        changed = _one_change(rows[b], cost, units, partial(plausible.allows, chosen[b]))
        if changed is None and template.kept_group is not None:
            changed = distinct_choice(allowed[b], template.kept_group)
        rows[b] = rows[b] if changed is None else changed
    everyone = torch.arange(len(rows), device=candidates.elements.device)
    candidates.decorate(everyone, torch.as_tensor(rows, device=everyone.device))


def _one_change(
    elements: NDArray[np.int64],
    cost: NDArray[np.float32],
    units: list[NDArray[np.int64]],
    allows: Callable[[NDArray[np.int64]], bool],
) -> NDArray[np.int64] | None:
    """The best other element at one set of tied sites that is enough; None if none is.

    Args:
        elements: Now, [n].
        cost: Of each element on each site, infinite where it may not be, [n, 98].
        units: Sites of each set of tied ones.
        allows: Whether elements may be together.
    """
    sites = np.array([unit[0] for unit in units])
    loss = cost[sites] - cost[sites, elements[sites]][:, None]
    for flat in np.argsort(loss, axis=None):
        unit, element = divmod(int(flat), len(ELEMENTS))
        if not np.isfinite(loss[unit, element]):
            return None
        changed = elements.copy()
        changed[units[unit]] = element
        if allows(changed):
            return changed
    return None
