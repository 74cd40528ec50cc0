"""Oxidation numbers that the elements may take.

Three tables:

* ``"icsd"``: every number that at least ``LEAST_SHARE`` of an element's reports in the ICSD give
  (``LEAST_ANION_SHARE`` for anions), but for noble gases, and for anions bonded to their own kind
  (peroxides, pyrite), whose number is no choice of the element: see ``smoacs.chemistry.bonds``;
* ``"common"``: the numbers on which four lists agree, pymatgen's ``icsd_oxidation_states``,
  ``oxidation_states`` and ``common_oxidation_states`` and SMACT's default list
  (117 pairs of element and number, 75 elements);
* ``"smact"``: SMACT's default list alone (ICSD 2024, more than five reports), as the authors
  of the method use for superconductors (arXiv:2410.08562).

All come from a file of the package, written by ``scripts/make_oxidation_states.py`` from pymatgen
2026.10.24 and SMACT 4.0.2, so that the versions installed change nothing. Within an element the
numbers go from the most to the least frequent in the ICSD. A charge of 0 never counts as an
oxidation number.
"""

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

from smoacs.chemistry.elements import ELEMENTS
from smoacs.errors import InputError

MIN_CHARGE: Final = -4
MAX_CHARGE: Final = 7
N_CHARGES: Final = MAX_CHARGE - MIN_CHARGE + 1

LEAST_SHARE: Final = 0.05
"""Share of an element's reports that a number of the table "icsd" has at least. With 0.02
a search finds Ag²⁺, Ni⁺ and Rh⁺ wherever they suit the targets, and Xe²⁺ among noble gases."""

LEAST_ANION_SHARE: Final = 0.02
"""The same for anions, such as Bi³⁻ and Ge⁴⁻, whose elements are metals in most compounds."""

RARE_SHARE: Final = 0.005
"""The same for crystals that exist, see `tables_of_crystals`."""

TableName = Literal["icsd", "common", "smact"]

DEFAULT_TABLE: Final[TableName] = "common"
"""Of templates and compositions by themselves."""

DESIGN_TABLE: Final[TableName] = "icsd"
"""Of a design, where nobody says, but for the paper's preset."""

OxidationTable = Mapping[str, tuple[int, ...]]
"""Oxidation numbers of each element, most frequent first; elements without any are absent."""

VALENCE_ELECTRONS: Final = MappingProxyType(
    dict.fromkeys(("C", "Si", "Ge", "Sn", "Pb"), 4)
    | dict.fromkeys(("N", "P", "As", "Sb", "Bi"), 5)
    | dict.fromkeys(("O", "S", "Se", "Te", "Po"), 6)
    | dict.fromkeys(("F", "Cl", "Br", "I", "At"), 7)
)
"""Electrons in the outer shell of the elements that become anions; alone they fill it to 8."""

_SINGLE_VALENCE: Final = frozenset(
    ["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I", "At"]
)
"""Elements whose atoms in one crystal do not differ in a positive number: their ions are covalent
groups. Of the others those do that are reported with two positive numbers."""

P_BLOCK: Final = frozenset(["Ga", "Ge", "As", "Se", "In", "Sn", "Sb", "Te", "Tl", "Pb", "Bi", "Po"])
"""Metals and metalloids whose ions may keep a pair of s electrons."""

_NOBLE_GASES: Final = frozenset(("He", "Ne", "Ar", "Kr", "Xe", "Rn"))

_UNREPORTED: Final = 1e-4
"""Share of a number that the ICSD does not report."""


class _State(NamedTuple):
    """A line of the file."""

    element: str
    charge: int
    reports: int
    common: bool
    smact: bool


@cache
def oxidation_table(name: TableName = DEFAULT_TABLE) -> OxidationTable:
    """Oxidation numbers from -4 to +7 that each element may take, most frequent first.

    Raises:
        InputError: There is no table of that name.
    """
    if name not in get_args(TableName):
        names = ", ".join(repr(known) for known in get_args(TableName))
        raise InputError(f"there is no oxidation table {name!r}; the tables are {names}")
    if name == "icsd":
        return _table(_is_designable)
    return _table(lambda state: state.common if name == "common" else state.smact)


@cache
def tables_of_crystals() -> tuple[OxidationTable, ...]:
    """Tables for a crystal that exists, to be tried one after the other.

    The usual numbers; then the rarer ones, which a design should not use, but which charge no
    crystal that is known; at last those of anions bonded to their own kind as well, where bonds
    are too long to be seen as such (the S₂ of DyS₂) or are those of borides.
    """
    return (
        oxidation_table("icsd"),
        _table(lambda state: _is_usual(state, RARE_SHARE)),
        _table(lambda state: _has_share(state, RARE_SHARE)),
    )


def _table(holds: Callable[[_State], bool]) -> OxidationTable:
    """The states that a condition holds for, within an element from most to least frequent."""
    kept: dict[str, list[_State]] = {}
    for state in _states():
        if holds(state):
            kept.setdefault(state.element, []).append(state)
    for states in kept.values():
        states.sort(key=lambda s: (-s.reports, abs(s.charge), s.charge))
    return MappingProxyType({e: tuple(s.charge for s in kept[e]) for e in ELEMENTS if e in kept})


def report_share(symbol: str, charge: int) -> float:
    """Share of an element's reports in the ICSD that give it this oxidation number."""
    reports = icsd_reports().get((symbol, charge), 0)
    total = _reports_of().get(symbol, 0)
    return max(reports / total, _UNREPORTED) if total else _UNREPORTED


def state_cost(symbol: str, charge: int) -> float:
    """Minus the logarithm of `report_share`, but for a number of 0, which costs nothing."""
    return -math.log(report_share(symbol, charge)) if charge else 0.0


def may_differ(symbol: str, charges: Iterable[int]) -> bool:
    """Whether atoms of an element in one crystal may have all of these oxidation numbers.

    Mixed valence is known of metals and metalloids with several positive numbers (Fe²⁺ and Fe³⁺,
    Sb³⁺ and Sb⁵⁺). Sulphide beside sulphate sulphur, or silicide beside silicate silicon, is no
    answer to a charge that does not add up.
    """
    different = set(charges)
    if len(different) == 1:
        return True
    if max(different) < 0:
        return symbol in VALENCE_ELECTRONS  # S²⁻ beside S₂²⁻
    return min(different) > 0 and symbol not in _SINGLE_VALENCE


def _is_designable(state: _State) -> bool:
    """Whether a number belongs to the table "icsd"."""
    if state.element in _NOBLE_GASES:
        return False
    return _is_usual(state, LEAST_SHARE if state.charge > 0 else LEAST_ANION_SHARE)


def _is_usual(state: _State, least: float) -> bool:
    """Whether enough reports give a number, and not because of a bond to its own kind."""
    electrons = VALENCE_ELECTRONS.get(state.element)
    if state.charge < 0 and state.element != "H":
        bonded = electrons is None or state.charge != electrons - 8
        if bonded and state.element != "Au":  # the aurides
            return False
    return _has_share(state, least)


def _has_share(state: _State, least: float) -> bool:
    return state.reports >= least * _reports_of()[state.element]


@cache
def _states() -> tuple[_State, ...]:
    with (files("smoacs.chemistry") / "oxidation_states.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return tuple(
            _State(
                row["element"],
                int(row["state"]),
                int(row["reports"]),
                row["common"] == "1",
                row["smact"] == "1",
            )
            for row in rows
        )


@cache
def _reports_of() -> Mapping[str, int]:
    """Reports of each element with any oxidation number but 0."""
    total: Counter[str] = Counter()
    for state in _states():
        total[state.element] += state.reports
    return MappingProxyType(dict(total))


@cache
def icsd_reports() -> Mapping[tuple[str, int], int]:
    """Number of ICSD reports of each (element, oxidation number), as SMACT 4.0.2 ships them."""
    return MappingProxyType({(s.element, s.charge): s.reports for s in _states() if s.reports})
