"""Charge neutrality of a composition, decided exactly by dynamic programming over the charge.

All atoms of an element have one oxidation number, or two where the element is known for mixed
valence (`smoacs.chemistry.oxidation.may_differ`). Which total charges n atoms can reach is a set of
integers inside [-4n, 7n], so the time grows with n², not with the number of assignments.
"""

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry.elements import ELEMENTS
from smoacs.chemistry.oxidation import (
    P_BLOCK,
    OxidationTable,
    may_differ,
    oxidation_table,
    state_cost,
)
from smoacs.errors import InputError

_UNREACHABLE = np.iinfo(np.int64).max // 2
_RESOLUTION = 1_000_000
"""Costs are compared to this part of one."""

MIXED_COST = math.log(20.0)
"""Logarithm of how much rarer mixed valence is than one number for all atoms of an element."""

_LONE_PAIR = 2

Assignment = dict[str, dict[int, int]]
"""Number of atoms of each element at each oxidation number."""


def neutral_assignment(
    counts: Mapping[str, int],
    table: OxidationTable | None = None,
) -> Assignment | None:
    """Likeliest oxidation numbers that make a composition neutral, exact at any size.

    If one oxidation number per element does it, the likeliest assignment of that kind (see
    `assignment_likelihood`). Otherwise atoms of an element that is known for mixed valence differ.
    The atoms of an element alone have number 0.

    Args:
        counts: Number of atoms of each element, e.g. ``{"Fe": 3, "O": 4}``.
        table: Oxidation numbers by element; None is the common table.

    Returns:
        Number of atoms of each element at each oxidation number, e.g.
        ``{"Fe": {2: 1, 3: 2}, "O": {-2: 4}}``; None if the composition cannot be neutral.
        An element without an oxidation number in the table cannot be part of a neutral compound.

    Raises:
        InputError: A count is not a whole number from 0.
    """
    table = oxidation_table() if table is None else table
    for symbol, count in counts.items():
        if count != int(count) or count < 0:
            msg = f"the count of {symbol} is {count}; counts are whole numbers from 0"
            raise InputError(msg)
    atoms = {symbol: int(count) for symbol, count in counts.items() if count}
    if len(atoms) == 1:
        return {s: {0: n} for s, n in atoms.items()} if set(atoms) <= set(ELEMENTS) else None
    if not all(table.get(symbol) for symbol in atoms):
        return None
    groups = [(count, costs_of(symbol, table[symbol])) for symbol, count in atoms.items()]
    uniform = neutral_states(groups, limit=1)
    if uniform:
        return {
            symbol: {state: count}
            for (symbol, count), state in zip(atoms.items(), uniform[0], strict=True)
        }
    return _mixed_assignment(atoms, table)


def is_neutral(counts: Mapping[str, int], table: OxidationTable | None = None) -> bool:
    """Whether some choice of oxidation numbers makes a composition neutral; exact.

    Raises:
        InputError: A count is not a whole number from 0.
    """
    return neutral_assignment(counts, table) is not None


def assignment_likelihood(states: Mapping[str, Sequence[int]]) -> float:
    """How usual oxidation numbers are: the product of the shares of the ICSD's reports.

    For each element and each of its numbers, the share of the element's reports that give it; 1
    for an element alone.

    Args:
        states: The numbers that occur, by element.
    """
    cost = sum(state_cost(symbol, q) for symbol, charges in states.items() for q in set(charges))
    return math.exp(-cost)


def costs_of(symbol: str, states: Sequence[int]) -> dict[int, float]:
    """Cost of each oxidation number of an element: minus the logarithm of its share of reports."""
    return {state: state_cost(symbol, state) for state in states}


def neutral_states(
    groups: Sequence[tuple[int, Mapping[int, float]]],
    *,
    limit: int,
) -> list[tuple[int, ...]]:
    """Neutral choices of one oxidation number per group of atoms, cheapest first.

    A choice costs the sum over the groups of the costs of the numbers that they take. Best-first
    search whose bound, the exact least cost of the groups still open, comes from dynamic
    programming over charge: it visits no choice that cannot be completed.

    Args:
        groups: Number of atoms of each group, and the costs of its oxidation numbers.
        limit: Most choices to return.

    Returns:
        Up to ``limit`` choices of least cost, in order of cost.
    """
    # Whole numbers: sums that are equal must compare so, or the search widens at every tie.
    whole = [(n, {q: round(c * _RESOLUTION) for q, c in own.items()}) for n, own in groups]
    costs, offsets = _costs_to_go(whole)

    def bound(depth: int, charge: int) -> int:
        index = -charge - offsets[depth]
        return int(costs[depth][index]) if 0 <= index < len(costs[depth]) else _UNREACHABLE

    found: list[tuple[int, ...]] = []
    heap: list[tuple[int, int, tuple[int, ...], int, int]] = []
    if bound(0, 0) < _UNREACHABLE:
        heap.append((bound(0, 0), 0, (), 0, 0))
    while heap and len(found) < limit:
        _, minus_depth, ranks, charge, spent = heapq.heappop(heap)
        depth = -minus_depth
        if depth == len(whole):
            found.append(
                tuple(list(own)[rank] for (_, own), rank in zip(whole, ranks, strict=True))
            )
            continue
        count, options = whole[depth]
        for rank, (state, cost) in enumerate(options.items()):
            now = charge + count * state
            total = spent + cost + bound(depth + 1, now)
            if total < _UNREACHABLE:
                heapq.heappush(heap, (total, -depth - 1, (*ranks, rank), now, spent + cost))
    return found


def _costs_to_go(
    groups: Sequence[tuple[int, Mapping[int, int]]],
) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Least cost for the groups from each depth on to add up to each charge.

    Returns:
        For each depth 0 ... number of groups the costs by charge, and the charge of entry 0.
    """
    costs = [np.zeros(1, dtype=np.int64)]
    offsets = [0]
    for count, options in reversed(groups):
        low, high = count * min(options), count * max(options)
        later = costs[-1]
        now = np.full(len(later) + high - low, _UNREACHABLE)
        for state, cost in options.items():
            part = now[count * state - low :][: len(later)]
            np.minimum(part, later + cost, out=part)
        costs.append(now)
        offsets.append(offsets[-1] + low)
    return costs[::-1], offsets[::-1]


def _mixed_assignment(atoms: Mapping[str, int], table: OxidationTable) -> Assignment | None:
    """The likeliest neutral assignment in which elements may have two oxidation numbers."""
    kinds = [(symbol, count, table[symbol]) for symbol, count in atoms.items()]
    found = mixed_assignments(kinds, limit=1)
    return dict(zip(atoms, found[0], strict=True)) if found else None


def mixed_assignments(
    kinds: Sequence[tuple[str, int, Sequence[int]]], *, limit: int
) -> list[list[dict[int, int]]]:
    """Neutral assignments in which elements of known mixed valence may have two numbers.

    Args:
        kinds: Element, number of atoms and oxidation numbers of each kind of atom.
        limit: Most assignments to return.

    Returns:
        The cheapest assignments, for each kind its number of atoms at each oxidation number. Of
        those that give the kinds the same total charges only the cheapest counts.
    """
    choices = [_choices(*kind) for kind in kinds]
    groups = [(1, {charge: cost for charge, (cost, _) in own.items()}) for own in choices]
    return [
        [dict(sorted(own[charge][1].items())) for own, charge in zip(choices, found, strict=True)]
        for found in neutral_states(groups, limit=limit)
    ]


def _choices(
    symbol: str, count: int, states: Sequence[int]
) -> dict[int, tuple[float, dict[int, int]]]:
    """For each total charge of atoms of an element, the likeliest numbers and their cost."""
    best: dict[int, tuple[float, dict[int, int]]] = {}

    def offer(cost: float, numbers: dict[int, int]) -> None:
        charge = sum(q * n for q, n in numbers.items())
        if cost < best.get(charge, (math.inf, {}))[0]:
            best[charge] = (cost, numbers)

    for state, cost in costs_of(symbol, states).items():
        offer(cost, {state: count})
    for low, high in itertools.combinations(sorted(states), 2):
        if may_differ(symbol, (low, high)):
            cost = mixing_cost(symbol, low, high)
            cost += state_cost(symbol, low) + state_cost(symbol, high)
            for n in range(1, count):
                offer(cost, {low: count - n, high: n})
    return best


def mixing_cost(symbol: str, low: int, high: int) -> float:
    """Cost of two oxidation numbers of an element in one crystal.

    Ions of d and f metals differ by one electron (Mn³⁺ and Mn⁴⁺), those of the p block by the pair
    of s electrons (Sn²⁺ and Sn⁴⁺).
    """
    usual = _LONE_PAIR if symbol in P_BLOCK else 1
    return MIXED_COST * (1 + abs(high - low - usual))
