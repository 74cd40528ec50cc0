"""Oxidation numbers of the atoms of a crystal: those that make it neutral, the likeliest first."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from numpy.typing import ArrayLike

from smoacs.chemistry.bonds import bonded_states
from smoacs.chemistry.neutrality import costs_of, mixed_assignments, neutral_states
from smoacs.chemistry.oxidation import OxidationTable, tables_of_crystals

NONMETALS = frozenset(["H", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I"])

MAIN_GROUP_METALS = frozenset(
    ("Li", "Be", "Na", "Mg", "Al", "K", "Ca", "Ga", "Rb", "Sr", "In", "Sn", "Cs", "Ba", "Tl", "Pb")
) | {"Bi", "B", "Si", "Ge", "As", "Sb", "Te", "Ra", "Po"}

_Kind = tuple[str, tuple[int, ...]]
"""Element and numbers to choose from."""


def neutral_site_charges(
    symbols: Sequence[str],
    frac_coords: ArrayLike,
    cell: ArrayLike,
    table: OxidationTable,
    *,
    orbits: Callable[[], Sequence[int]] | None = None,
    by_bonds: bool = True,
    limit: int = 1,
) -> list[list[int]]:
    """Neutral oxidation numbers of the sites of a crystal, the likeliest first.

    Atoms that are bonded to their own kind have the numbers that their bonds leave them
    (`smoacs.chemistry.bonds`); if no choice is neutral with these, they count as all others. Equal
    atoms have equal numbers if that can be; else elements known for mixed valence differ between
    sets of equivalent sites, and at last between sites. An element alone has number 0.

    Args:
        symbols: Element of each site, N of them.
        frac_coords: [N, 3].
        cell: Rows are lattice vectors, Å, [3, 3].
        table: Oxidation numbers by element.
        orbits: Gives the label of each site's set of symmetrically equivalent sites; None if these
            are unknown.
        by_bonds: Whether bonds to the same element count at all.
        limit: Most choices to return.

    Returns:
        Up to `limit` lists of N numbers; empty if there is no neutral choice.
    """
    if len(set(symbols)) == 1:
        return [[0] * len(symbols)]
    bonded = bonded_states(symbols, frac_coords, cell) if by_bonds else {}
    for fixed in [bonded, {}] if bonded else [{}]:
        options = _options(symbols, table, fixed)
        if all(options) and (found := _choose(symbols, options, orbits, limit)):
            return found
    return []


def _options(
    symbols: Sequence[str], table: OxidationTable, fixed: Mapping[int, tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Numbers that each site may have; anions beside anions where some are bonded to their kind."""
    anions = {symbols[site] for site, own in fixed.items() if max(own) <= 0}
    return [
        fixed.get(site) or tuple(q for q in table.get(symbol, ()) if q < 0 or symbol not in anions)
        for site, symbol in enumerate(symbols)
    ]


def _choose(
    symbols: Sequence[str],
    options: Sequence[tuple[int, ...]],
    orbits: Callable[[], Sequence[int]] | None,
    limit: int,
) -> list[list[int]]:
    """Neutral choices with as few groups of sites as will do."""
    kinds = list(zip(symbols, options, strict=True))
    counts = Counter(kinds)
    found = neutral_states([(n, costs_of(*kind)) for kind, n in counts.items()], limit=limit)
    if found:
        uniform = [dict(zip(counts, choice, strict=True)) for choice in found]
        return [[choice[kind] for kind in kinds] for choice in uniform]
    mixed = [
        dict(zip(counts, assignment, strict=True))
        for assignment in mixed_assignments(
            [(symbol, n, own) for (symbol, own), n in counts.items()], limit=limit
        )
    ]
    sites = range(len(symbols))
    for parts in (sites,) if orbits is None or not mixed else (orbits(), sites):
        if by_part := [
            charges for one in mixed for charges in _on_orbits(kinds, parts, one, limit)
        ]:
            return by_part[:limit]
    return []


def _on_orbits(
    kinds: Sequence[_Kind],
    orbits: Sequence[int],
    assignment: Mapping[_Kind, Mapping[int, int]],
    limit: int,
) -> list[list[int]]:
    """Numbers of an assignment, equal on equivalent sites; empty if that is not neutral."""
    labels = list(zip(kinds, orbits, strict=True))
    counts = Counter(labels)
    groups = [
        (count, costs_of(kind[0], tuple(assignment[kind]))) for (kind, _), count in counts.items()
    ]
    chosen = [
        dict(zip(counts, choice, strict=True)) for choice in neutral_states(groups, limit=limit)
    ]
    return [[choice[label] for label in labels] for choice in chosen]


def is_unbalanced(symbols: Sequence[str], frac_coords: ArrayLike, cell: ArrayLike) -> bool:
    """Whether a compound of main-group elements with a nonmetal has no reported charges.

    Without d and f electrons a compound that its ions do not balance is rare and strange: AlC,
    Na₈PO₃.

    Args:
        symbols: Element of each site, N of them.
        frac_coords: [N, 3].
        cell: Rows are lattice vectors, Å, [3, 3].
    """
    held = set(symbols)
    if len(held) == 1 or not held & NONMETALS or not held <= NONMETALS | MAIN_GROUP_METALS:
        return False
    usual, rare, _ = tables_of_crystals()
    return not any(neutral_site_charges(symbols, frac_coords, cell, t) for t in (usual, rare))
