"""How the page shows the columns of results.csv: in which order, with how many digits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import pandas as pd

from smoacs.results import SPREAD_SUFFIXES, TRUTH, Column, Kind, kind_of

Cell = str | float | bool | None
"""One value of the table; None where it is missing or not finite."""

_HEAD: Final = ("id", "formula", "success")
_HIDDEN: Final = frozenset({"structure_file"})
_GROUPS: Final = ("head", "property", "verdict", "geometry", "further")
_DIGITS: Final = {"eV": 3, "eV/atom": 3, "eV/Å": 3, "Å": 3, "°": 2, "GPa": 1, "K": 1, "Å³": 2}


@dataclass(frozen=True, kw_only=True)
class PageColumn:
    """A column as the page's scripts expect it.

    Attributes:
        key: Name in results.csv.
        label: Words for people, without the unit.
        unit: Empty if there is none.
        meaning: What a value says, and on which scale.
        kind: What its values are.
        digits: Decimals of a number; None means four significant figures.
        std: Key of the column that holds its spread, if there is one.
        group: Where the details of a candidate list it.
        shown: Whether the table shows it before the reader asks for all columns.
    """

    key: str
    label: str
    unit: str
    meaning: str
    kind: Literal["text", "number", "flag"]
    digits: int | None
    std: str | None
    group: str
    shown: bool


def cells(values: "pd.Series[Any]") -> list[Cell]:
    """Values of a column that JSON can hold."""
    if kind_of(values) in {"number", "integer"}:
        return [float(value) if math.isfinite(value) else None for value in values]
    return [value if value is None or isinstance(value, str) else bool(value) for value in values]


def describe(
    kinds: Mapping[str, Kind], known: Mapping[str, Column], targeted: Sequence[str]
) -> list[PageColumn]:
    """Describe the columns in the order of the page: head, properties, verdicts, the rest.

    Args:
        kinds: What each column of the file holds, in the file's order.
        known: What each is; see `smoacs.results.saved_columns`.
        targeted: Properties with a target; they come first among the properties.
    """
    spreads = {
        key: key + suffix for key in kinds for suffix in SPREAD_SUFFIXES if key + suffix in kinds
    }
    first = [*_HEAD, *targeted]

    def place(column: PageColumn) -> tuple[int, int]:
        group = "property" if column.key in TRUTH else column.group
        return _GROUPS.index(group), first.index(column.key) if column.key in first else len(first)

    columns = []
    for key, kind in kinds.items():
        if key not in _HIDDEN and key not in spreads.values():
            column = known[key]
            if (key in targeted or key in spreads) and key not in _HEAD:
                column = replace(column, group="property", shown=key in targeted or column.shown)
            columns.append(_page_column(column, kind, spreads.get(key)))
    return sorted(columns, key=place)


def _page_column(column: Column, kind: Kind, std: str | None) -> PageColumn:
    meaning = f"{column.meaning}: {column.scale}" if column.scale else column.meaning
    return PageColumn(
        key=column.name,
        label=column.label,
        unit=column.unit,
        meaning=meaning,
        kind="number" if kind == "integer" else kind,
        digits=0 if kind == "integer" else _DIGITS.get(column.unit),
        std=std,
        group=column.group,
        shown=column.shown,
    )
