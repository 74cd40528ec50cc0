"""Decorations of a template that meet rules on the crystal as a whole, exact at any size.

Which decorations there are is an integer program: how many of the sites that are alike (the same
elements allowed, the same rules about them) hold each element. Its size depends on the kinds of
sites, not on their number. HiGHS solves it, through SciPy.

A *variant* of a template is drawn for each candidate: elements that each site may hold, such that
whatever each site chooses on its own, all rules are met. Atoms whose number or presence is ruled
sit on drawn sites, and where the number of different elements is limited, that many are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from smoacs.chemistry import N_ELEMENTS
from smoacs.request.chemical_rules import AtMost, CrystalRule, Exactly, Required
from smoacs.templates import Template, common_elements, distinct_choice

_INFEASIBLE: Final = 2
"""Status of SciPy's milp."""

_DRAWS: Final = 30
"""Variants drawn to find one whose elements need not raise the space group."""

_WHOLE: Final = 1e-6
"""How far from a whole number a whole number may be."""

_GAP: Final = 0.05
"""Of the drawn costs; one decoration is as good as another."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Charges that N sites may take, as L choices for each site.

    Attributes:
        charges: Charge of each site in each choice, [L, N].
        allowed: Elements that it may then hold, [L, N, 98].
    """

    charges: NDArray[np.int64]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decoration:
    """A crystal that meets all rules.

    Attributes:
        elements: Of each site, [N].
        choice: Of charges of each site (see `Frame`), [N].
        palettes: For each `AtMost`, in their order, elements of which none is too many, [98] bool.
    """

    elements: NDArray[np.int64]
    choice: NDArray[np.int64]
    palettes: list[NDArray[np.bool_]]


def frames_of(template: Template) -> list[Frame]:
    """One frame for each combination of a template."""
    charges = template.combinations.astype(np.int64)
    return [Frame(charges[k][None], template.allowed[k][None]) for k in range(len(charges))]


def decorate(
    frame: Frame,
    rules: Sequence[CrystalRule],
    tied_to: NDArray[np.int64] | None = None,
    rng: np.random.Generator | None = None,
) -> Decoration | None:
    """Find a neutral decoration that meets all rules.

    Args:
        frame: Charges and elements to choose from.
        rules: All of them hold.
        tied_to: Site whose element each site takes, [N]; None if no sites are tied.
        rng: Draws one of many; None takes any.

    Returns:
        A decoration; None if there is none.
    """
    program = _Program(frame, rules, tied_to)
    if not program.fillable:
        return None
    return program.solve(np.random.default_rng(0) if rng is None else rng)


def variant_masks(
    template: Template, rules: Sequence[CrystalRule], n: int, seed: int
) -> NDArray[np.bool_] | None:
    """Elements that the sites of n candidates may hold, [n, N, 98]; None without rules.

    Each candidate draws from its own random numbers, so it does not depend on how many there are.

    Args:
        template: With decorations that meet all rules, under every combination.
        rules: On its sites.
        n: Candidates.
        seed: Of the random numbers.
    """
    if not rules:
        return None
    programs = [_Program(frame, rules, template.tied_to) for frame in frames_of(template)]
    return np.stack(
        [_variant(programs, template, rules, np.random.default_rng([seed, b])) for b in range(n)]
    )


def keeps_space_group(template: Template, k: int, mask: NDArray[np.bool_]) -> bool:
    """Whether a combination leaves a choice of elements that does not raise the space group.

    Args:
        template: Any; without a space group to keep, all is well.
        k: Combination.
        mask: Elements that each site may hold, [N, 98].
    """
    symmetry = template.kept_group
    if symmetry is None:
        return True
    return distinct_choice(template.allowed[k] & mask, symmetry) is not None


def has_variant(template: Template, rules: Sequence[CrystalRule], k: int) -> bool:
    """Whether a variant under a combination is found that meets rules and keeps the space group."""
    rng = np.random.default_rng(0)
    program = _Program(frames_of(template)[k], rules, template.tied_to)
    for _ in range(_DRAWS):
        drawn = program.solve(rng)
        if drawn is None:
            return False
        if keeps_space_group(template, k, _mask(drawn, rules, template.tied_to, rng)):
            return True
    return False


def _variant(
    programs: Sequence["_Program"],
    template: Template,
    rules: Sequence[CrystalRule],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Elements that the sites of one candidate may hold, [N, 98]."""
    for _ in range(_DRAWS):
        for k in rng.permutation(len(programs)):
            drawn = programs[k].solve(rng)
            if drawn is None:
                continue
            mask = _mask(drawn, rules, template.tied_to, rng)
            if keeps_space_group(template, k, mask):
                return mask
    msg = f"template {template.name!r} has no decoration that meets the rules"
    raise ValueError(msg)


def _mask(
    drawn: Decoration,
    rules: Sequence[CrystalRule],
    tied_to: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Elements that sites may hold so that free choices around a decoration meet all rules."""
    elements = drawn.elements
    mask = np.ones((len(elements), N_ELEMENTS), dtype=np.bool_)
    palettes = iter(drawn.palettes)
    for rule in rules:
        sites = np.array(rule.sites)
        if isinstance(rule, AtMost):
            mask[sites] &= next(palettes)
            continue
        held = sites[elements[sites] == rule.element]
        fixed = rng.choice(held, 1) if isinstance(rule, Required) else held
        if isinstance(rule, Exactly):
            mask[sites, rule.element] = False
        mask[fixed] = False
        mask[fixed, rule.element] = True
    return common_elements(mask, tied_to)


class _Program:
    """The integer program of one frame, ready to be solved with drawn costs.

    Units are sites tied to each other; classes are units that nothing tells apart. A column is a
    number of units of a class that hold an element under a choice of charges, or whether an
    element is in a palette.
    """

    def __init__(
        self, frame: Frame, rules: Sequence[CrystalRule], tied_to: NDArray[np.int64] | None
    ) -> None:
        self._rules = rules
        self._units = sites_by_tie(frame.charges.shape[1], tied_to)
        order = np.concatenate(self._units)
        starts = np.cumsum([0, *(len(unit) for unit in self._units[:-1])])
        allowed = np.logical_and.reduceat(frame.allowed[:, order], starts, axis=1)
        charges = np.add.reduceat(frame.charges[:, order], starts, axis=1)
        for choice in range(1, len(charges)):  # a choice like an earlier one is none
            for earlier in range(choice):
                alike = (allowed[choice] == allowed[earlier]).all(1)
                allowed[choice, alike & (charges[choice] == charges[earlier])] = False
        inside = np.zeros((len(rules), frame.charges.shape[1]), dtype=np.int64)
        for index, rule in enumerate(rules):
            inside[index, list(rule.sites)] = 1
        weights = np.add.reduceat(inside[:, order], starts, axis=1)
        alike_units: dict[bytes, list[int]] = {}
        for unit in range(len(self._units)):
            key = b"".join(part[:, unit].tobytes() for part in (allowed, charges, weights))
            alike_units.setdefault(key, []).append(unit)
        self._classes = list(alike_units.values())
        first = [members[0] for members in self._classes]
        self._allowed, self._charges = allowed[:, first], charges[:, first]
        self._weights = weights[:, first]
        self.fillable = bool(self._allowed.any(axis=(0, 2)).all())
        if self.fillable:
            self._build()

    def _build(self) -> None:
        """Columns and constraints."""
        counted = {r.element for r in self._rules if isinstance(r, Exactly)}
        ruled = counted | {r.element for r in self._rules if isinstance(r, Required)}
        columns = [
            (c, choice, element, upper)
            for c, members in enumerate(self._classes)
            for choice, element in np.argwhere(self._told_apart(c, ruled))
            for upper in _copies(len(members), element in counted, element in ruled)
        ]
        self._columns = np.array(columns, dtype=np.int64)
        rows: list[_Row] = []
        c, choice, element, upper = self._columns.T
        everything = np.arange(len(columns))
        for index, members in enumerate(self._classes):
            rows.append(_Row(everything[c == index], 1, len(members), len(members)))
        rows.append(_Row(everything, self._charges[choice, c], 0, 0))
        bounds = [upper]
        width = len(columns)
        self._palettes: list[tuple[int, NDArray[np.int64]]] = []
        for rule, weight in zip(self._rules, self._weights, strict=True):
            share = weight[c]
            if isinstance(rule, AtMost):
                inside = everything[share > 0]
                palette = np.unique(element[inside])
                self._palettes.append((width, palette))
                for column in inside:
                    entry = width + np.searchsorted(palette, element[column])
                    pair = np.array([column, entry])
                    rows.append(_Row(pair, np.array([1, -upper[column]]), -np.inf, 0))
                rows.append(_Row(width + np.arange(len(palette)), 1, 0, rule.limit))
                bounds.append(np.ones(len(palette), dtype=np.int64))
                width += len(palette)
                continue
            held = everything[(element == rule.element) & (share > 0)]
            if isinstance(rule, Exactly):
                rows.append(_Row(held, share[held], rule.count, rule.count))
            else:
                rows.append(_Row(held[upper[held] == 1], 1, 1, np.inf))
        self._bounds = Bounds(0, np.concatenate(bounds))
        self._constraint = _constraint(rows, width)
        self._costly = np.isin(element, list(ruled))

    def _told_apart(self, index: int, ruled: set[int]) -> NDArray[np.bool_]:
        """Elements of a class, [L, 98], with one that stands for all that no rule is about."""
        allowed = self._allowed[:, index].copy()
        limits = [isinstance(rule, AtMost) for rule in self._rules]
        if not self._weights[limits, index].any():
            others = allowed.copy()
            others[:, list(ruled)] = False
            first = np.argmax(others, axis=1)
            allowed &= ~others
            allowed[np.arange(len(first)), first] |= others.any(axis=1)
        return allowed

    def solve(self, rng: np.random.Generator) -> Decoration | None:
        """A decoration with drawn preferences; None if there is none."""
        if not self.fillable:
            return None
        if not self._rules and len(self._charges) == 1:  # any element will do
            units = [len(members) for members in self._classes]
            if int(self._charges[0] @ units) != 0:
                return None
            first = np.zeros(len(self._columns), dtype=np.int64)
            first[np.unique(self._columns[:, 0], return_index=True)[1]] = units
            return self._placed(first, [], rng)
        width = len(self._bounds.ub)
        # Where ruled atoms sit is drawn, palettes are as large as they may be.
        costs = rng.random(width)
        n = len(self._columns)
        costs[:n][~self._costly] = 0.0
        costs[n:] = -1.0 - costs[n:]
        for whole in (0, 1):  # whole numbers often come by themselves, and much faster
            found = milp(
                costs,
                integrality=np.full(width, whole),
                bounds=self._bounds,
                constraints=self._constraint,
                options={"mip_rel_gap": _GAP},
            )
            if found.status == _INFEASIBLE:
                return None
            if found.x is None:
                raise RuntimeError(f"the rules on elements could not be decided: {found.message}")
            if np.abs(found.x - np.round(found.x)).max() < _WHOLE:
                break
        values = np.round(found.x).astype(np.int64)
        palettes = []
        for start, palette in self._palettes:
            chosen = np.zeros(N_ELEMENTS, dtype=np.bool_)
            chosen[palette] = values[start : start + len(palette)] > 0
            palettes.append(chosen)
        return self._placed(values[:n], palettes, rng)

    def _placed(
        self, values: NDArray[np.int64], palettes: list[NDArray[np.bool_]], rng: np.random.Generator
    ) -> Decoration:
        """Put as many elements on the sites as the program says, at random."""
        n_sites = sum(len(unit) for unit in self._units)
        elements, choice = np.zeros(n_sites, dtype=np.int64), np.zeros(n_sites, dtype=np.int64)
        for index, members in enumerate(self._classes):
            rows = self._columns[:, 0] == index
            drawn = np.repeat(self._columns[rows], values[rows], axis=0)
            for unit, (_, taken, element, _) in zip(rng.permutation(members), drawn, strict=True):
                elements[self._units[unit]] = element
                choice[self._units[unit]] = taken
        return Decoration(elements, choice, palettes)


@dataclass(frozen=True, eq=False)
class _Row:
    """low <= sum of factors times columns <= high."""

    columns: NDArray[np.int64]
    factors: NDArray[np.int64] | NDArray[np.float64] | int
    low: float
    high: float


def _copies(n_units: int, counted: bool, ruled: bool) -> list[int]:  # noqa: FBT001
    """Most units for each column of an element in a class; single ones where one must be there."""
    if counted or n_units == 1:
        return [1] * n_units
    return [1, n_units - 1] if ruled else [n_units]


def _constraint(rows: Sequence[_Row], width: int) -> LinearConstraint:
    columns = np.concatenate([row.columns for row in rows])
    factors = np.concatenate([np.broadcast_to(r.factors, r.columns.shape) for r in rows])
    index = np.repeat(np.arange(len(rows)), [len(row.columns) for row in rows])
    matrix = coo_array((factors.astype(float), (index, columns)), shape=(len(rows), width))
    return LinearConstraint(matrix.tocsr(), [r.low for r in rows], [r.high for r in rows])


def sites_by_tie(n_sites: int, tied_to: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """Sites of each set of sites that hold the same element, in the order of their first ones."""
    if tied_to is None:
        return list(np.arange(n_sites)[:, None])
    order = np.argsort(tied_to, kind="stable")
    starts = np.flatnonzero(np.diff(tied_to[order], prepend=-1))
    return np.split(order, starts[1:])
