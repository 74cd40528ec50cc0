"""Charge neutrality, decided exactly by counting rather than by enumerating assignments.

An atom may take any oxidation number of its element. Which total charges n atoms can reach is a
set of integers inside [-4n, 7n], so dynamic programming over the total charge decides neutrality
in time that grows with n², not with the number of assignments: about a millisecond for
1,080 atoms.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry.oxidation import OxidationTable, oxidation_table
from smoacs.errors import InputError

_UNREACHABLE = np.iinfo(np.int32).max // 2


def neutral_assignment(
    counts: Mapping[str, int],
    table: OxidationTable | None = None,
) -> dict[str, dict[int, int]] | None:
    """Oxidation numbers that make a composition neutral, exact at any size.

    If one oxidation number per element does it, the assignment of that kind with the most common
    numbers. Otherwise atoms of an element differ (mixed valence); then anions keep their most
    common number first, and elements with many numbers absorb the rest.

    Args:
        counts: Number of atoms of each element, e.g. ``{"Fe": 3, "O": 4}``.
        table: Oxidation numbers by element; None is the common table.

    Returns:
        Number of atoms of each element at each oxidation number, e.g.
        ``{"Fe": {2: 1, 3: 2}, "O": {-2: 4}}``; None if the composition cannot be neutral.
        An element without an oxidation number in the table cannot be part of a neutral crystal.

    Raises:
        InputError: A count is not a whole number from 0.
    """
    table = oxidation_table() if table is None else table
    for symbol, count in counts.items():
        if count != int(count) or count < 0:
            msg = f"the count of {symbol} is {count}; counts are whole numbers from 0"
            raise InputError(msg)
    atoms = {symbol: int(count) for symbol, count in counts.items() if count}
    if not all(table.get(symbol) for symbol in atoms):
        return None
    groups = [(count, table[symbol]) for symbol, count in atoms.items()]
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


def neutral_states(
    groups: Sequence[tuple[int, Sequence[int]]],
    *,
    limit: int,
) -> list[tuple[int, ...]]:
    """Neutral choices of one oxidation number per group of atoms, most common numbers first.

    A choice costs the sum over the groups of the rank (0 for the first) of the number that it
    takes. Best-first search whose bound, the exact least cost of the groups still open, comes
    from dynamic programming over charge: it visits no choice that cannot be completed.

    Args:
        groups: Number of atoms, and oxidation numbers, most common first, of each group.
        limit: Most choices to return.

    Returns:
        Up to ``limit`` choices of least cost, in order of cost.
    """
    costs, offsets = _costs_to_go(groups)

    def bound(depth: int, charge: int) -> int:
        index = -charge - offsets[depth]
        inside = 0 <= index < len(costs[depth])
        return int(costs[depth][index]) if inside else _UNREACHABLE

    found: list[tuple[int, ...]] = []
    heap: list[tuple[int, int, tuple[int, ...], int]] = []
    if bound(0, 0) < _UNREACHABLE:
        heap.append((bound(0, 0), 0, (), 0))
    while heap and len(found) < limit:
        total, minus_depth, ranks, charge = heapq.heappop(heap)
        depth = -minus_depth
        if depth == len(groups):
            found.append(tuple(s[rank] for (_, s), rank in zip(groups, ranks, strict=True)))
            continue
        count, states = groups[depth]
        spent = total - bound(depth, charge)
        for rank, state in enumerate(states):
            rest = bound(depth + 1, charge + count * state)
            if rest < _UNREACHABLE:
                entry = (spent + rank + rest, -depth - 1, (*ranks, rank), charge + count * state)
                heapq.heappush(heap, entry)
    return found


def _costs_to_go(
    groups: Sequence[tuple[int, Sequence[int]]],
) -> tuple[list[NDArray[np.int32]], list[int]]:
    """Least cost for the groups from each depth on to add up to each charge.

    Returns:
        For each depth 0 ... number of groups the costs by charge, and the charge of entry 0.
    """
    costs = [np.zeros(1, dtype=np.int32)]
    offsets = [0]
    for count, states in reversed(groups):
        low, high = count * min(states), count * max(states)
        later = costs[-1]
        now = np.full(len(later) + high - low, _UNREACHABLE, dtype=np.int32)
        for rank, state in enumerate(states):
            part = now[count * state - low :][: len(later)]
            np.minimum(part, later + rank, out=part)
        costs.append(now)
        offsets.append(offsets[-1] + low)
    return costs[::-1], offsets[::-1]


def _mixed_assignment(
    atoms: Mapping[str, int],
    table: OxidationTable,
) -> dict[str, dict[int, int]] | None:
    """Neutral assignment in which atoms of one element may differ.

    The charges that the first i atoms can reach, each taken above its element's lowest number,
    are the bits of an integer; adding an atom is a shift and an "or" per oxidation number.
    """
    order = sorted(atoms, key=lambda symbol: (table[symbol][0] > 0, len(table[symbol])))
    sequence = [symbol for symbol in reversed(order) for _ in range(atoms[symbol])]
    remainder = -sum(min(table[symbol]) for symbol in sequence)
    reachable = [1]
    for symbol in sequence:
        lowest = min(table[symbol])
        bits = 0
        for state in table[symbol]:
            bits |= reachable[-1] << (state - lowest)
        reachable.append(bits)
    if remainder < 0 or not reachable[-1] >> remainder & 1:
        return None
    assignment: dict[str, Counter[int]] = {symbol: Counter() for symbol in atoms}
    for symbol, before in zip(reversed(sequence), reversed(reachable[:-1]), strict=True):
        lowest = min(table[symbol])
        state = next(
            state
            for state in table[symbol]
            if remainder >= state - lowest and before >> (remainder - state + lowest) & 1
        )
        assignment[symbol][state] += 1
        remainder -= state - lowest
    return {symbol: dict(sorted(states.items())) for symbol, states in assignment.items()}
