"""Is a crystal neutral, by which oxidation numbers, and how usual are these?"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pymatgen.core import Structure

from smoacs.chemistry import (
    ELEMENTS,
    OxidationTable,
    assignment_likelihood,
    icsd_reports,
    may_differ,
    neutral_site_charges,
    oxidation_table,
    tables_of_crystals,
)
from smoacs.judging.criteria import has_finite_cell, reduced_formula
from smoacs.structures import charges, symbols

_ROUNDING = 1e-3
"""Charges that add up to less than this are neutral: fractional ones were rounded."""


@dataclass(frozen=True)
class Oxidation:
    """Oxidation states of the sites of a crystal.

    Attributes:
        structure: The crystal.
        states: Of each site: those that it carries, else the likeliest neutral ones; None if there
            are none.
        carried: Whether the crystal carries them.
    """

    structure: Structure
    states: Sequence[float] | None
    carried: bool

    @classmethod
    def of(cls, structure: Structure, table: OxidationTable | None = None) -> Self:
        """Find them.

        Args:
            structure: Any crystal; an element alone is neutral.
            table: Oxidation numbers by element for crystals that carry none; None is the ICSD's
                usual ones and, where these have no neutral choice, every one that is reported now
                and then.
        """
        own = charges(structure)
        return cls(structure, own or site_charges(structure, table), own is not None)

    def neutral(self, table: OxidationTable | None = None, *, as_stated: bool = True) -> bool:
        """Whether the crystal is charge neutral.

        Exact, and independent of how the crystal was made. Oxidation states that it carries count
        as they are: they must add up to zero. Others are neutral if there are any.

        Args:
            table: Numbers that carried states must be among if not `as_stated`; None for the
                default table.
            as_stated: Whether states that the crystal carries need not be in the table, nor be a
                valence mixture that is known, as long as the ICSD has any report of each: those of
                a file that a user wrote.
        """
        if self.states is None or abs(sum(self.states)) > _ROUNDING:
            return False
        if not self.carried:
            return True
        ions: dict[str, set[float]] = {}
        for name, state in zip(symbols(self.structure), self.states, strict=True):
            ions.setdefault(name, set()).add(state)
        if as_stated:
            return all(_is_known(name, q) for name, found in ions.items() for q in found)
        table = oxidation_table() if table is None else table
        return all(
            set(found) <= set(table.get(name, ())) and may_differ(name, map(round, found))
            for name, found in ions.items()
        )

    def likelihood(self) -> float:
        """How usual they are, see `chemistry.assignment_likelihood`; NaN if there are none."""
        if self.states is None:
            return float("nan")
        ions: dict[str, list[int]] = {}
        for name, state in zip(symbols(self.structure), self.states, strict=True):
            ions.setdefault(name, []).append(round(state))
        return assignment_likelihood(ions)

    def text(self) -> str:
        """In words, such as "Sr+2 Ti+4 O-2" or, mixed, "Fe+2(1) Fe+3(2) O-2".

        In the order of the formula; empty if there are none.
        """
        if self.states is None:
            return ""
        found: dict[str, Counter[int]] = {}
        for name, state in zip(symbols(self.structure), self.states, strict=True):
            found.setdefault(name, Counter())[round(state)] += 1
        words = []
        for element in re.findall("[A-Z][a-z]?", reduced_formula(self.structure)):
            amounts = found[element]
            for charge, amount in sorted(amounts.items()):
                number = f"{charge:+d}" if charge else "0"
                words.append(f"{element}{number}" + (f"({amount})" if len(amounts) > 1 else ""))
        return " ".join(words)


def site_charges(structure: Structure, table: OxidationTable | None = None) -> list[int] | None:
    """Likeliest neutral oxidation number of each site; None if there is none.

    States that the crystal carries do not count; atoms that are bonded to their own kind have what
    the bonds leave them (peroxides, pyrite).

    Args:
        structure: Any crystal.
        table: As for `Oxidation.of`.
    """
    elements = symbols(structure)
    if not has_finite_cell(structure) or not set(elements) <= set(ELEMENTS):
        return None
    coords, cell = structure.frac_coords, structure.lattice.matrix
    for states in tables_of_crystals() if table is None else (table,):
        found = neutral_site_charges(elements, coords, cell, states)
        if found:
            return found[0]
    return None


def _is_known(name: str, state: float) -> bool:
    """Whether the ICSD has any report of an oxidation state; fractions are means of such."""
    return state == 0 or state != round(state) or (name, round(state)) in icsd_reports()
