"""Swaps of elements on crystals at rest: which one is tried next."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import Candidates
from smoacs.search.gradient.moves import PROPOSALS, Moves, composition_key
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.plausible import Plausibility
from smoacs.search.gradient.swap_estimates import SwapEstimates
from smoacs.search.settings import DiscreteSettings


class Swaps:
    """Draws swaps for the candidates of one template.

    Attributes:
        estimates: Of what swaps do.
        tried: Compositions that were on trial, and how often.
    """

    NOT_STATE: ClassVar = frozenset(
        {
            "estimates",
            "_kinds",
            "_candidates",
            "_objective",
            "_settings",
            "_generator",
            "_moves",
            "_plausible",
        }
    )

    def __init__(
        self,
        candidates: Candidates,
        objective: Objective,
        settings: DiscreteSettings,
        *,
        kinds: Sequence[str],
        generator: torch.Generator,
        moves: Moves | None,
        plausible: Plausibility = Plausibility(),  # noqa: B008 - frozen
    ) -> None:
        """Take the candidates, the targets, the kinds of their sites, and rules on crystals."""
        names = sorted(set(kinds))
        self._kinds = torch.tensor([names.index(kind) for kind in kinds])
        self._candidates = candidates
        self._objective = objective
        self._settings = settings
        self._generator = generator
        self._moves = moves
        self._plausible = plausible
        self.estimates = SwapEstimates(candidates, objective.evaluator.properties)
        self.tried: dict[str, int] = {}

    def swap(
        self,
        rows: Tensor,
        elements: Tensor,
        *,
        met: Tensor,
        taken: set[str],
    ) -> Tensor:
        """Swap elements of some crystals.

        Args:
            rows: Candidates, [r] indices.
            elements: Of all candidates' best crystals, [B, n]; changed in place.
            met: Which of the candidates are successes, [B].
            taken: Compositions that nobody is to get.

        Returns:
            Which of the candidates had a swap left, [r].
        """
        allowed = self._candidates.allowed().view(*elements.shape, -1)
        if self._moves is not None:
            return self._by_rules(rows, elements, allowed, taken)
        n_sites = elements.shape[1]
        n_swaps = max(1, n_sites // self._settings.sites_per_swap)
        sharpness = max(1.0, n_sites / self._settings.sites_per_swap)
        sharpness /= self._settings.swap_temperature
        combinations = self._candidates.combination[rows].tolist()
        start = elements[rows].clone()
        forbidden = ~allowed[rows]
        forbidden.scatter_(2, start[:, :, None], True)  # noqa: FBT003  (torch has no keyword)
        changes = self.estimates.single(rows)
        so_far = {name: torch.zeros_like(change[:, 0, 0]) for name, change in changes.items()}
        counts = torch.zeros(len(rows), N_ELEMENTS, dtype=torch.int64)
        counts.scatter_add_(1, start.cpu(), torch.ones_like(start.cpu()))
        now = self._losses(rows, {name: value[:, None] for name, value in so_far.items()})[:, 0]
        unusual = self._unusual(rows).flatten(1)
        looking = torch.ones(len(rows), dtype=torch.bool)
        done = torch.zeros_like(looking)
        swapped: list[dict[int, int]] = [{} for _ in rows]
        for number in range(n_swaps):
            after = self._losses(
                rows,
                {name: (c + so_far[name][:, None, None]).flatten(1) for name, c in changes.items()},
            )
            # Where nothing finite is known all swaps are alike.
            cost = (
                (after - now[:, None])
                .nan_to_num(nan=0.0)
                .masked_fill(forbidden.flatten(1), torch.inf)
            )
            chosen = _drawn(cost * sharpness + unusual, self._generator)
            for r in torch.nonzero(looking).flatten().tolist():
                now_held = elements[rows[r]].cpu().numpy()
                pick = self._pick(
                    chosen[r], counts[r], now_held, combination=combinations[r], taken=taken
                )
                useless = number > 0 and (pick is None or float(cost[r, _flat(pick)]) > 0)
                if pick is None or useless:
                    looking[r] = False
                    continue
                site, element = pick
                swapped[r][site] = element
                counts[r, int(start[r, site])] -= 1
                counts[r, element] += 1
                elements[rows[r], site] = element
                if number == 0:  # the others take the same element: few elements, little strain
                    forbidden[r, self._kinds != self._kinds[site]] = True
                    forbidden[r, :, :element] = forbidden[r, :, element + 1 :] = True
                forbidden[r, site] = True
                for name, change in changes.items():
                    so_far[name][r] += change[r, site, element]
                now[r] = after[r, _flat(pick)]
                done[r] = True
                # One that aims at a window is in it; one that is in it moves on as far as it may.
                looking[r] = bool(met[rows[r]]) or float(now[r]) > 0
        self._note(rows, swapped, counts)
        return done.to(rows.device)

    def _note(self, rows: Tensor, swapped: list[dict[int, int]], counts: Tensor) -> None:
        """Remember what is on trial, and what is expected of it."""
        for r, row in enumerate(rows.tolist()):
            self.estimates.expect(row, swapped[r])
            key = composition_key(counts[r].tolist())
            self.tried[key] = self.tried.get(key, 0) + 1

    def _unusual(self, rows: Tensor) -> Tensor:
        """What oxidation numbers of candidates, [r], cost each element, [r, n, E]; 0 for nothing.

        In units of the temperature, as an element of which it is a hundredth of the reports is to
        be drawn a hundredth as often, however much its swap promises.
        """
        costs = self._plausible.costs_of(self._candidates.combination[rows])
        if costs is None:
            return self._candidates.lengths.new_zeros(
                len(rows), self._candidates.sites_each, N_ELEMENTS
            )
        return costs.to(self._candidates.lengths)

    def _pick(
        self,
        chosen: list[int],
        counts: Tensor,
        held: NDArray[np.int64],
        *,
        combination: int,
        taken: set[str],
    ) -> tuple[int, int] | None:
        """The first of some swaps whose composition nobody has, and nobody has tried if possible.

        Args:
            chosen: Swaps, best first, as positions in [n, E]; -1 for none.
            counts: Atoms of each element, [E].
            held: Elements before, [n].
            combination: Of charges.
            taken: Compositions that nobody is to get.
        """
        spare = None
        for flat in chosen:
            if flat < 0:
                break
            site, element = divmod(flat, N_ELEMENTS)
            count = counts.tolist()
            count[int(held[site])] -= 1
            count[element] += 1
            key = composition_key(count)
            changed = held.copy()
            changed[site] = element
            if key in taken or not self._plausible.allows(combination, changed):
                continue
            if key not in self.tried:
                return site, element
            spare = (site, element) if spare is None else spare
        return spare

    def _by_rules(self, rows: Tensor, elements: Tensor, allowed: Tensor, taken: set[str]) -> Tensor:
        """The same where rules on the crystal hold: one change that keeps them."""
        if self._moves is None:
            raise ValueError("there are no rules")
        done = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        swapped: list[dict[int, int]] = [{} for _ in rows]
        unusual = self._unusual(rows) * self._settings.swap_temperature
        for r, row in enumerate(rows.tolist()):
            combination = int(self._candidates.combination[row])
            held = elements[row].cpu().numpy()
            groups = self._moves.groups(held)
            own = self.estimates.single(rows[r : r + 1])
            changes = {
                name: torch.stack([change[0, group].sum(0) for group in groups])
                for name, change in own.items()
            }
            here = rows[r : r + 1]
            losses = self._losses(here, {n: c.flatten()[None] for n, c in changes.items()})[0]
            losses = losses.nan_to_num(nan=0.0)
            possible = torch.stack([allowed[row, group].all(0) for group in groups])
            possible &= torch.stack([~_holds(held, group).to(possible) for group in groups])
            cost = losses.view(possible.shape)
            cost = cost + torch.stack([unusual[r, group[0]] for group in groups]).to(cost)
            cost = cost.masked_fill(~possible, torch.inf)
            pick = self._moves.pick(
                held,
                groups,
                cost.cpu().numpy(),
                temperature=self._settings.swap_temperature,
                generator=self._generator,
                avoided=[taken, taken | set(self.tried)],
                allows=partial(self._plausible.allows, combination),
            )
            if pick is not None:
                group, element = pick
                elements[row, torch.as_tensor(group, device=elements.device)] = element
                swapped[r] = dict.fromkeys(group.tolist(), element)
                done[r] = True
        counts = torch.zeros(len(rows), N_ELEMENTS, dtype=torch.int64)
        now = elements[rows].cpu()
        counts.scatter_add_(1, now, torch.ones_like(now))
        self._note(rows, swapped, counts)
        return done

    def _losses(self, rows: Tensor, changes: dict[str, Tensor]) -> Tensor:
        return self.estimates.losses(self._objective, rows, changes, inner=self._settings.inner)


def _flat(swap: tuple[int, int]) -> int:
    return swap[0] * N_ELEMENTS + swap[1]


def _holds(held: NDArray[np.int64], group: NDArray[np.int64]) -> Tensor:
    """Whether a group of sites holds each element, [E]."""
    found = torch.zeros(N_ELEMENTS, dtype=torch.bool)
    found[torch.as_tensor(held[group])] = True
    return found


def _drawn(cost: Tensor, generator: torch.Generator) -> list[list[int]]:
    """Swaps drawn without replacement, weight exp(-cost), best first; -1 for none."""
    uniform = torch.rand(cost.shape, generator=generator).to(cost)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
    value, choice = (gumbel - cost).topk(min(PROPOSALS, cost.shape[1]), dim=1)
    chosen: list[list[int]] = torch.where(value.isfinite(), choice, -1).cpu().tolist()
    return chosen
