"""Oxidation numbers that the elements may take.

Two tables, both computed from installed packages:

* ``"common"``: the numbers on which four lists agree, pymatgen's ``icsd_oxidation_states``,
  ``oxidation_states`` and ``common_oxidation_states`` and SMACT's default list
  (117 pairs of element and number, 75 elements);
* ``"smact"``: SMACT's default list alone (ICSD 2024, more than five reports), as the authors
  of the method use for superconductors (arXiv:2410.08562).

Within an element the numbers go from the most to the least frequent in the ICSD, by the counts
of reports that SMACT ships (``smact.utils.oxidation.ICSD24OxStatesFilter``). A charge of 0
never counts as an oxidation number.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

from smoacs.chemistry.elements import ELEMENTS
from smoacs.errors import InputError

MIN_CHARGE: Final = -4
MAX_CHARGE: Final = 7
N_CHARGES: Final = MAX_CHARGE - MIN_CHARGE + 1

OxidationTable = Mapping[str, tuple[int, ...]]
"""Oxidation numbers of each element, most frequent first; elements without any are absent."""


@cache
def oxidation_table(name: Literal["common", "smact"] = "common") -> OxidationTable:
    """Oxidation numbers from -4 to +7 that each element may take, most frequent first.

    Raises:
        InputError: There is no table of that name.
    """
    if name not in ("common", "smact"):
        msg = f"there is no oxidation table {name!r}; the tables are 'common' and 'smact'"
        raise InputError(msg)
    counts = icsd_reports()
    table: dict[str, tuple[int, ...]] = {}
    for symbol in ELEMENTS:
        states = _smact_states(symbol)
        if name == "common":
            states &= _pymatgen_states(symbol)
        by_count = sorted((-counts.get((symbol, q), 0), abs(q), q) for q in states if q != 0)
        kept = tuple(q for *_, q in by_count if MIN_CHARGE <= q <= MAX_CHARGE)
        if kept:
            table[symbol] = kept
    return MappingProxyType(table)


def _smact_states(symbol: str) -> set[int]:
    from smact.data_loader import (  # noqa: PLC0415 - slow to import, needed once
        lookup_element_oxidation_states_icsd24,
    )

    return set(lookup_element_oxidation_states_icsd24(symbol) or ())


def _pymatgen_states(symbol: str) -> set[int]:
    from pymatgen.core.periodic_table import Element  # noqa: PLC0415 - as above

    element = Element(symbol)
    return (
        set(element.icsd_oxidation_states)
        & set(element.oxidation_states)
        & set(element.common_oxidation_states)
    )


@cache
def icsd_reports() -> Mapping[tuple[str, int], int]:
    """Number of ICSD reports of each (element, oxidation number), as SMACT ships them."""
    from smact.utils.oxidation import ICSD24OxStatesFilter  # noqa: PLC0415 - as above

    frame = ICSD24OxStatesFilter().ox_states_df
    columns = (frame["element"], frame["oxidation_state"], frame["results_count"])
    return MappingProxyType({(str(e), int(q)): int(n) for e, q, n in zip(*columns, strict=True)})
