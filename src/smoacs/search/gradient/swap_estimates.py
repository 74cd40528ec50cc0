"""What replacing elements of crystals at rest would do to their properties, to first order.

The estimate of a change is the slope of the property by the species, times a factor that is learnt
from how far the properties of all crystals tried so far really moved. Slopes alone tell which swaps
do most, but say far too little: one atom in forty may close a band gap.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import Candidates
from smoacs.evaluation import ChemistrySlopes
from smoacs.predictors.properties import SPREAD_SUFFIX, property_scale
from smoacs.search.gradient.objective import Objective

CONFIDENCE = 4.0
"""Changes of one property's scale whose weight the factor 1 has before any was seen."""

FACTOR_RANGE = (0.1, 10.0)


class SwapEstimates:
    """Values of each candidate's crystal, and their changes by any swap, [B, n, E].

    Candidates are all of one size, n sites each.
    """

    def __init__(self, candidates: Candidates, properties: Sequence[str]) -> None:
        """Begin without knowledge.

        Args:
            candidates: Those that swap.
            properties: What the targets look at; spreads are taken to stay as they are.
        """
        b = len(candidates)
        names = [name for name in properties if not name.endswith(SPREAD_SUFFIX)]
        shape = (b, candidates.sites_each, N_ELEMENTS)
        like = candidates.lengths.detach()
        self.values = {name: like.new_full((b,), torch.nan) for name in properties}
        self._changes = {name: like.new_zeros(shape) for name in names}
        self._expected = {name: like.new_zeros(b) for name in names}
        self._agreement = {name: CONFIDENCE * property_scale(name) ** 2 for name in names}
        self._size = dict(self._agreement)

    def update(
        self,
        candidates: Candidates,
        rows: Tensor,
        *,
        values: Mapping[str, Tensor],
        slopes: ChemistrySlopes,
    ) -> None:
        """Take new crystals of some candidates.

        Args:
            candidates: All, as real crystals.
            rows: Which of them are new, [r] indices.
            values: Of the new crystals' properties, each [r].
            slopes: There.
        """
        held = candidates.rows[rows]
        space, b = candidates.space, len(candidates)
        for name, by_species in slopes.species.items():
            slope = by_species.view(*held.shape, N_ELEMENTS)
            change = slope - slope.gather(2, held[:, :, None])
            if name in slopes.radii and space.radii is not None:
                radii = space.radii.view(b, held.shape[1], -1, N_ELEMENTS)[rows]
                k = candidates.combination[rows][:, None, None, None]
                k = k.expand(-1, held.shape[1], 1, N_ELEMENTS)
                radii = radii.gather(2, k).squeeze(2)
                by_radius = slopes.radii[name].view(held.shape)[:, :, None]
                change = change + by_radius * (radii - radii.gather(2, held[:, :, None]))
            self._changes[name][rows] = change.to(self._changes[name])
        for name, known in self.values.items():
            known[rows] = values[name].to(known)

    def copy(self, rows: Tensor, sources: Tensor) -> None:
        """Overwrite what is known of some candidates by that of others."""
        for part in (self.values, self._changes):
            for value in part.values():
                value[rows] = value[sources]

    def factor(self, name: str) -> float:
        """What slopes of a property are to be multiplied by."""
        low, high = FACTOR_RANGE
        return min(high, max(low, self._agreement[name] / self._size[name]))

    def learn(self, rows: Tensor, values: Mapping[str, Tensor]) -> None:
        """Compare what was expected of the swaps of some candidates with values found, each [r]."""
        for name, expected in self._expected.items():
            found = values[name].to(expected) - self.values[name][rows]
            known = found.isfinite() & (expected[rows] != 0)
            pairs = expected[rows][known].double(), found[known].double()
            # One that breaks down entirely must not outweigh all others.
            limit = CONFIDENCE * property_scale(name)
            pairs = pairs[0].clamp(-limit, limit), pairs[1].clamp(-limit, limit)
            self._agreement[name] += float((pairs[0] * pairs[1]).sum())
            self._size[name] += float((pairs[0] ** 2).sum())

    def expect(self, row: int, changed: Mapping[int, int]) -> None:
        """Note the swaps of a candidate, the new element by site."""
        for name, changes in self._changes.items():
            total = sum(float(changes[row, site, element]) for site, element in changed.items())
            self._expected[name][row] = total

    def losses(
        self, objective: Objective, rows: Tensor, changes: Mapping[str, Tensor], *, inner: float
    ) -> Tensor:
        """Loss of each candidate after changes of its properties.

        Args:
            objective: With the targets.
            rows: Candidates, [r].
            changes: Of each property before the factor, each [r, m].
            inner: How far inside their windows targets pull.

        Returns:
            Losses, [r, m].
        """
        shape = next(iter(changes.values())).shape
        expected = {}
        for name, known in self.values.items():
            value = known[rows][:, None].expand(shape)
            if name in changes:
                value = value + self.factor(name) * changes[name]
            expected[name] = value.flatten()
        losses = objective.targets.losses(expected, lambda t, values: t.loss(values, inner=inner))
        return objective.total(losses, rows.repeat_interleave(shape[1])).view(shape)

    def single(self, rows: Tensor) -> dict[str, Tensor]:
        """Changes by every swap of one site, each [r, n, E]."""
        return {name: changes[rows] for name, changes in self._changes.items()}
