"""The column of any name: those of the list, those of each property, and guesses for the others."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX
from smoacs.results.column import Column
from smoacs.results.listed import COLUMNS

_ANY: Final = "<property>"
_LISTED: Final = {column.name: column for column in COLUMNS}
_EXPONENTS: Final = str.maketrans({"2": "²", "3": "³", "^": None})
_CHECKED: Final = ("relaxed_", "rattled_")
"""Before the name of a property that a check has predicted again."""

_WITH_PROPERTY: Final = (
    *(("", ""), ("", SPREAD_SUFFIX), ("", "_met")),
    *((before, "") for before in _CHECKED),
)
"""What stands before and after the name of a property in the columns of the list."""

SPREAD_SUFFIXES: Final = (SPREAD_SUFFIX, "_std")
"""Ends of the names of columns that hold the spread of another column."""


@cache
def column(name: str) -> Column:
    """What is known of a column by its name alone.

    One that the package does not write has no kind, and the unit of the property that its name ends
    in, if it does: `my_band_gap` is in eV.
    """
    if name in _LISTED:
        return _LISTED[name]
    for before, after in _WITH_PROPERTY:
        prop = name.removeprefix(before).removesuffix(after)
        if name == f"{before}{prop}{after}" and (prop in PROPERTIES or (after and prop)):
            listed = replace(_LISTED[f"{before}{_ANY}{after}"], name=name, label="")
            if not before and prop in PROPERTIES and after != SPREAD_SUFFIX:
                listed = replace(listed, label=PROPERTIES[prop].label)
            return listed if listed.kind == "flag" else replace(listed, unit=_unit_of(prop))
    return Column(name, unit=_unit_of(name), shown=True)


def described(
    names: Iterable[str], units: Mapping[str, str], scales: Mapping[str, str]
) -> list[Column]:
    """Columns of a table whose properties a predictor has given.

    Args:
        names: Of the columns.
        units: Of the predictor's properties, which the package need not know.
        scales: What the values of each are, such as the functional of a band gap, where it tells.
    """
    found = []
    for name in names:
        known = column(name)
        prop = _property_of(name, units)
        if prop is not None and known.kind != "flag":
            unit = readable_unit(units[prop])
            known = replace(known, kind="number", unit=unit, scale=scales.get(prop, ""))
            known = known if known.meaning else replace(known, meaning=column("band_gap").meaning)
        found.append(known)
    return found


def saved_columns(summary: Mapping[str, Any], names: Iterable[str]) -> dict[str, Column]:
    """Columns of a run, by name, with the units and scales that its summary.json tells.

    Args:
        summary: What `summary_columns` gave is its entry `columns`; older runs have none.
        names: Of the columns.
    """
    told = {entry["name"]: entry for entry in summary.get("columns", ())}
    found = {}
    for name in names:
        entry = told.get(name if name in _LISTED else _unchecked(name), {})
        same = {key: entry[key] for key in ("unit", "scale") if key in entry}
        found[name] = replace(column(name), **same)
    return found


def summary_columns(columns: Iterable[Column]) -> list[dict[str, str]]:
    """Columns for summary.json: `name`, `unit`, `type`, `meaning` and `scale` of each."""
    return [
        {
            "name": item.name,
            "unit": item.unit,
            "type": item.kind or "",
            "meaning": item.meaning,
            "scale": item.scale,
        }
        for item in columns
    ]


def readable_unit(unit: str) -> str:
    """A predictor's unit as people write it: `Å^3` is Å³, and `1` is nothing."""
    return "" if unit == "1" else unit.translate(_EXPONENTS)


def _unit_of(name: str) -> str:
    """Unit of the longest property that a name ends in; empty if it ends in none."""
    for suffix in SPREAD_SUFFIXES:
        name = name.removesuffix(suffix)
    endings = [known for known in PROPERTIES if f"_{name}".endswith(f"_{known}")]
    return readable_unit(PROPERTIES[max(endings, key=len)].unit) if endings else ""


def _unchecked(name: str) -> str:
    """A name without what a check puts before that of a property."""
    for before in _CHECKED:
        if name.startswith(before):
            return name.removeprefix(before)
    return name


def _property_of(name: str, units: Mapping[str, str]) -> str | None:
    """The predictor's property that a column holds, or the spread of; None if it is another's."""
    for prop in (name.removesuffix(SPREAD_SUFFIX), _unchecked(name)):
        if prop in units and name not in _LISTED:
            return prop
    return None
