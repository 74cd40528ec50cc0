"""Changes of discrete crystals that keep rules on the crystal as a whole.

Where such rules hold, replacing the element of a single site is often not enough: sites that are
tied change together, and where only so many elements may occur, one of them gives way to another
on all the sites that hold it.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import DesignSpace
from smoacs.request.chemical_rules import AtMost, CrystalRule, legal_moves
from smoacs.request.variants import keeps_space_group, sites_by_tie, variant_masks
from smoacs.templates import Template

PROPOSALS = 24
"""Changes drawn per candidate; the first that gives a composition nobody has is taken."""


def with_variants(
    space: DesignSpace, template: Template, rules: Sequence[CrystalRule], *, n: int, seed: int
) -> DesignSpace:
    """Restrict each candidate to a variant of its own; the space itself without rules.

    Args:
        space: Of n candidates of the template.
        template: With decorations that meet the rules.
        rules: On the crystal as a whole.
        n: Candidates.
        seed: Of the random numbers.
    """
    masks = variant_masks(template, rules, n, seed)
    if masks is None:
        return space
    flat = torch.as_tensor(masks.reshape(-1, N_ELEMENTS), device=space.allowed.device)
    restricted = space.with_masks(flat)
    used = [
        [keeps_space_group(template, k, m) for k in range(template.n_combinations)] for m in masks
    ]
    kept = torch.tensor(used, device=flat.device) & restricted.combination_used
    return replace(restricted, combination_used=kept)


@dataclass(frozen=True, eq=False)
class Moves:
    """What the discrete stage may do to candidates of one template.

    Attributes:
        space: What all candidates may hold, before each was restricted to a variant of its own.
        rules: On the crystal as a whole.
        units: Sites of each set of sites that hold the same element.
    """

    space: DesignSpace
    rules: Sequence[CrystalRule]
    units: list[NDArray[np.int64]]

    @staticmethod
    def of(template: Template, rules: Sequence[CrystalRule], space: DesignSpace) -> "Moves | None":
        """Moves under rules and ties; None if there are neither."""
        if not rules and template.tied_to is None:
            return None
        return Moves(space, rules, sites_by_tie(template.n_sites, template.tied_to))

    def pick(
        self,
        held: NDArray[np.int64],
        groups: list[NDArray[np.int64]],
        cost: NDArray[np.float32],
        *,
        temperature: float,
        generator: torch.Generator,
        avoided: Sequence[Container[str]],
        allows: Callable[[NDArray[np.int64]], bool] = lambda _: True,
    ) -> tuple[NDArray[np.int64], int] | None:
        """Draw a change of a crystal that meets all rules.

        Args:
            held: Element of each site, [n].
            groups: Sites that may change together, as `groups` gives them.
            cost: Estimated change of loss for each element at each group, [G, E], infinite where
                it may not be.
            temperature: Changes are drawn with weight exp(-cost / this).
            generator: Source of randomness.
            avoided: Sets of compositions, by their keys. The first of the drawn changes that avoids
                the last set is taken; if none does, the set before, and so on.
            allows: Whether elements, [n], may be together at all.

        Returns:
            The sites and their new element; None if no change is left.
        """
        cost = np.where(legal_moves(self.rules, held, groups), cost, np.inf)
        uniform = torch.rand(cost.shape, generator=generator, dtype=torch.float64).numpy()
        score = -np.log(-np.log(uniform.clip(1e-12, 1 - 1e-7))) - cost / temperature
        spare: dict[int, tuple[NDArray[np.int64], int]] = {}
        for flat in np.argsort(-score, axis=None)[:PROPOSALS]:
            row, element = divmod(int(flat), N_ELEMENTS)
            if not np.isfinite(score[row, element]):
                break
            changed = held.copy()
            changed[groups[row]] = element
            key = composition_keys(torch.as_tensor(changed)[None])[0]
            avoids = [key not in keys for keys in avoided]
            if not any(avoids) or not allows(changed):
                continue
            level = max(k for k, good in enumerate(avoids) if good)
            spare.setdefault(level, (groups[row], element))
            if level == len(avoided) - 1:
                break
        return spare[max(spare)] if spare else None

    def groups(self, held: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Sites that may change together: each unit, and all that hold one of a few elements."""
        groups = list(self.units)
        for rule in self.rules:
            if not isinstance(rule, AtMost):
                continue
            inside = set(rule.sites)
            units = [unit for unit in self.units if inside.intersection(unit.tolist())]
            for element in np.unique(held[list(rule.sites)]):
                same = [unit for unit in units if held[unit[0]] == element]
                if len(same) > 1:
                    groups.append(np.concatenate(same))
        return groups


def composition_keys(elements: Tensor) -> list[str]:
    """A short text for each composition of crystals of one size, [B, n]; the same if they are."""
    counts = torch.zeros(len(elements), N_ELEMENTS, dtype=torch.int64, device=elements.device)
    counts.scatter_add_(1, elements, torch.ones_like(elements))
    return [composition_key(row) for row in counts.cpu().tolist()]


def composition_key(counts: Sequence[int]) -> str:
    """The text for atoms of each element, [E]."""
    packed = b"".join(count.to_bytes(4, "little") for count in counts)
    return blake2b(packed, digest_size=12).hexdigest()
