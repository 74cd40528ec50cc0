"""Oxidation numbers of atoms that are bonded to their own kind: peroxides, pyrite, azides.

A bond between two atoms of one element moves no charge. An anion that shares k electron pairs with
its own kind needs k electrons less to fill its shell: its number is -(8 - N - k), N the electrons
of its outer shell (the 8 - N rule of E. Zintl). Pyrite's S₂ is (S⁻)₂, calcium disilicide's layers
are Si⁻. One that is bonded to a more electronegative nonmetal as well (the P of P₂S₆⁴⁻) gives
the rest away instead: N - k, or N - k - 2 where a lone pair stays. P and As with S and Se
likewise: cobaltite is Co³⁺ (As⁻ S²⁻).
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from ase.data import covalent_radii
from numpy.typing import ArrayLike, NDArray
from vesin import NeighborList

from smoacs.chemistry.elements import ELEMENTS, element_index
from smoacs.chemistry.oxidation import VALENCE_ELECTRONS

BOND: Final = 1.18
"""Atoms nearer than this times the sum of their covalent radii are bonded."""

_SHELL = 8
_TRIPLE_AND_DOUBLE: Final = {"C": (1.28, 1.42), "N": (1.17, 1.31)}
"""Å. Shorter bonds are triple and double ones: CaC₂ 1.20, CaC₂'s own C=C 1.34; SrN₂ 1.22."""

_SUPEROXIDE: Final = 1.40
"""Å. O-O is 1.28 to 1.35 in superoxides and ozonides, 1.45 to 1.55 in peroxides."""

_PAIR, _CHAIN = 2, 3
_PEROXIDE_LIKE = {"O"}
_PNICTOGENS = [element_index(symbol) for symbol in ("P", "As")]
_CHALCOGENS = [element_index(symbol) for symbol in ("S", "Se")]
_POLYHALIDE = {"Cl", "Br", "I"}


def bonded_states(
    symbols: Sequence[str], frac_coords: ArrayLike, cell: ArrayLike
) -> dict[int, tuple[int, ...]]:
    """Oxidation numbers that the atoms bonded to their own kind may have, by atom.

    Args:
        symbols: Element of each atom, N of them.
        frac_coords: [N, 3].
        cell: Rows are lattice vectors, Å, [3, 3].

    Returns:
        For each such atom its numbers, the likeliest first; other atoms are absent.
    """
    may_bond = np.array([k for k, name in enumerate(symbols) if name in VALENCE_ELECTRONS], int)
    if not len(may_bond):
        return {}
    numbers = np.array([element_index(symbols[k]) for k in may_bond])
    radii = covalent_radii[numbers + 1]
    cell = np.asarray(cell, dtype=float)
    positions = np.asarray(frac_coords, dtype=float)[may_bond] @ cell
    i, j, d = NeighborList(cutoff=BOND * 2 * float(radii.max()), full_list=True).compute(
        positions, cell, periodic=True, quantities="ijd"
    )
    near = d <= BOND * (radii[i] + radii[j])
    i, j, d = i[near], j[near], d[near]
    same = numbers[i] == numbers[j]
    bonds: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for first, second, length in zip(
        may_bond[i[same]].tolist(), may_bond[j[same]].tolist(), d[same].tolist(), strict=True
    ):
        bonds[first].append((second, length))
    taken = _electronegativities()[numbers[j]] > _electronegativities()[numbers[i]]
    gives = set(may_bond[i[taken]].tolist())
    single = taken & np.isin(numbers[i], _PNICTOGENS) & np.isin(numbers[j], _CHALCOGENS)
    given = Counter(may_bond[i[single]].tolist())
    found: dict[int, tuple[int, ...]] = {}
    for atom in may_bond.tolist():
        if given[atom]:
            found[atom] = (_pnictide(symbols[atom], len(bonds[atom]), given[atom]),)
        elif bonds[atom] and atom not in found:
            group = _connected(atom, bonds)
            found |= _group_states(symbols[atom], group, bonds, gives)
    return found


def _pnictide(symbol: str, own: int, chalcogens: int) -> int:
    """Number of P or As with single bonds to its own kind and to chalcogens, which keep both."""
    electrons = VALENCE_ELECTRONS[symbol]
    return min(electrons - _SHELL + own + 2 * chalcogens, electrons)


def _connected(start: int, bonds: Mapping[int, list[tuple[int, float]]]) -> list[int]:
    """Atoms that bonds to the same element join."""
    seen, todo = {start}, [start]
    while todo:
        for other, _ in bonds[todo.pop()]:
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return sorted(seen)


def _group_states(
    symbol: str, group: list[int], bonds: Mapping[int, list[tuple[int, float]]], gives: set[int]
) -> dict[int, tuple[int, ...]]:
    """Numbers of the atoms of one group."""
    lengths = [length for atom in group for _, length in bonds[atom]]
    n_bonds = len(lengths)
    if symbol in _PEROXIDE_LIKE and max(lengths) < _SUPEROXIDE and len(group) in {_PAIR, _CHAIN}:
        return _one_charge(group, bonds)
    if symbol in _POLYHALIDE:
        is_trihalide = len(group) == _CHAIN and n_bonds == 2 * (_CHAIN - 1)
        return _trihalide(group, bonds) if is_trihalide else {}
    electrons = VALENCE_ELECTRONS[symbol]
    states = {}
    for atom in group:
        pairs = sum(_order(symbol, length) for _, length in bonds[atom])
        if atom in gives:
            states[atom] = tuple(q for q in (electrons - pairs, electrons - pairs - 2) if q > 0)
        elif pairs > _SHELL - electrons and symbol != "N":
            states[atom] = (0,)
        else:
            states[atom] = (electrons + pairs - _SHELL,)
    return {atom: charges for atom, charges in states.items() if charges}


def _one_charge(
    group: list[int], bonds: Mapping[int, list[tuple[int, float]]]
) -> dict[int, tuple[int, ...]]:
    """Superoxide and ozonide: one charge for all, which is put on an atom at an end."""
    end = min(group, key=lambda atom: (len(bonds[atom]), atom))
    return {atom: (-1,) if atom == end else (0,) for atom in group}


def _trihalide(
    group: list[int], bonds: Mapping[int, list[tuple[int, float]]]
) -> dict[int, tuple[int, ...]]:
    """I₃⁻: I⁺ between two I⁻."""
    middle = max(group, key=lambda atom: len(bonds[atom]))
    return {atom: (1,) if atom == middle else (-1,) for atom in group}


def _order(symbol: str, length: float) -> int:
    """Electron pairs of a bond."""
    limits = (0.0, *_TRIPLE_AND_DOUBLE.get(symbol, ()), np.inf)
    for order, (low, high) in zip(range(len(limits) - 1, 0, -1), pairwise(limits), strict=True):
        if low <= length < high:
            return order
    return 1


@cache
def _electronegativities() -> NDArray[np.float64]:
    """Pauling's, [98]; NaN where there is none."""
    from pymatgen.core.periodic_table import Element  # noqa: PLC0415 - slow, needed once

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([float(Element(symbol).X) for symbol in ELEMENTS])
