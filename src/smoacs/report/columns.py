"""What the columns of results.csv are called for people: words, units, digits, kind of value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from smoacs.predictors.properties import PROPERTIES

Cell = str | float | bool | None
"""One value of the table; None where it is missing or not finite."""

Kind = Literal["number", "flag", "text"]

STD_SUFFIXES = (".std", "_std")
"""Ends of the names of columns that hold the spread of another column."""

_TEXT = frozenset(
    {
        *("id", "formula", "space_group", "oxidation_states", "structure_file"),
        *("rule_broken", "domain_warning"),
    }
)
"""Always text: an id such as 0001 is no number, and NaN is sodium nitride."""

_GEOMETRY = ("space_group", "n_atoms", "a", "b", "c", "alpha", "beta", "gamma", "min_distance")
_VERDICTS = frozenset(
    {"success", "unique", "novel", "neutral", "template_kept", "at_rest", "rules"}
)
_TRUTH = ("dft_band_gap", "dft_pressure", "confirmed")
"""What first principles say of a design; the rest of it is shown on demand."""
_LEADING = ("id", "formula", "success")
_HIDDEN = frozenset({"structure_file"})

_LABELS = {
    "id": "ID",
    "n_atoms": "atoms",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "max_force": "largest force",
    "min_distance": "shortest distance",
    "template_kept": "template kept",
    "at_rest": "at rest",
    "rules": "rules obeyed",
    "rule_broken": "rule broken",
    "unique": "distinct formula",
    "novel": "new formula",
    "survives_relaxation": "survives relaxation",
    "success_checked": "success that survives relaxation",
    "smact_valid": "valid by SMACT",
    "bvs_agrees": "bond valences agree",
    "confirmed": "confirmed by DFT",
    "dft_band_gap": "DFT band gap",
    "dft_band_gap_direct": "DFT direct band gap",
    "dft_pressure": "DFT pressure",
    "dft_max_force": "DFT largest force",
    "dft_energy": "DFT total energy",
    "dft_status": "DFT status",
    "dft_engine": "DFT program",
}
_UNITS = {
    "pressure": "GPa",
    "max_force": "eV/Å",
    "dft_band_gap_direct": "eV",
    "dft_pressure": "GPa",
    "dft_max_force": "eV/Å",
    "dft_energy": "eV/atom",
    "min_distance": "Å",
    "a": "Å",
    "b": "Å",
    "c": "Å",
    "alpha": "°",
    "beta": "°",
    "gamma": "°",
}
_DIGITS = {"eV": 3, "eV/atom": 3, "eV/Å": 3, "Å": 3, "°": 2, "GPa": 1, "K": 1, "Å³": 2, "g/cm³": 2}
_EXPONENTS = str.maketrans({"2": "²", "3": "³", "^": None})


@dataclass(frozen=True, kw_only=True)
class Column:
    """How to show a column.

    Attributes:
        key: Name in results.csv.
        label: Words for people, without the unit.
        unit: Empty if there is none.
        kind: What its values are.
        digits: Decimals of a number; None means four significant figures.
        std: Key of the column that holds its spread, if there is one.
        group: Where the details of a candidate list it.
        shown: Whether the table shows it before the reader asks for all columns.
    """

    key: str
    label: str
    unit: str
    kind: Kind
    digits: int | None
    std: str | None
    group: Literal["head", "property", "verdict", "geometry", "further"]
    shown: bool


def label(name: str) -> str:
    """Words for a column or property."""
    if name in PROPERTIES:
        return PROPERTIES[name].label
    return _LABELS.get(name) or name.removesuffix("_met").replace("_", " ").replace(".", " ")


def unit(name: str) -> str:
    """Unit of a column; one such as `dft_band_gap` has the unit of the property that it ends in.

    Empty for numbers without unit and for columns that the package does not know.
    """
    for suffix in STD_SUFFIXES:
        name = name.removesuffix(suffix)
    if name in _UNITS:
        return _UNITS[name]
    endings = [known for known in PROPERTIES if f"_{name}".endswith(f"_{known}")]
    if not endings:
        return ""
    text = PROPERTIES[max(endings, key=len)].unit
    return "" if text == "1" else text.translate(_EXPONENTS)


def parse_column(name: str, texts: Sequence[str]) -> tuple[Kind, list[Cell]]:
    """Tell what a column of a CSV file holds, and convert it.

    Args:
        name: Of the column.
        texts: Its cells as they stand in the file.
    """
    filled = [text for text in texts if text]
    if name in _TEXT or not filled:
        return "text", list(texts)
    if set(filled) <= {"True", "False"}:
        return "flag", [text == "True" if text else None for text in texts]
    try:
        numbers = [float(text) if text else math.nan for text in texts]
    except ValueError:
        return "text", list(texts)
    return "number", [value if math.isfinite(value) else None for value in numbers]


def describe(kinds: Mapping[str, Kind], targeted: Sequence[str]) -> list[Column]:
    """Describe the columns in the order of the report: head, properties, verdicts, the rest.

    Args:
        kinds: What each column of the file holds, in the file's order.
        targeted: Properties with a target; they come first among the properties.
    """
    spreads = {
        key: key + suffix for key in kinds for suffix in STD_SUFFIXES if key + suffix in kinds
    }
    columns = [
        _column(key, kind, spreads.get(key), targeted)
        for key, kind in kinds.items()
        if key not in _HIDDEN and key not in spreads.values()
    ]
    groups = ("head", "property", "verdict", "geometry", "further")
    first = [*_LEADING, *targeted]

    def order(column: Column) -> tuple[int, int]:
        place = first.index(column.key) if column.key in first else len(first)
        group = "property" if column.key in _TRUTH else column.group
        return groups.index(group), place

    return sorted(columns, key=order)


def _is_dft(key: str) -> bool:
    return key.startswith("dft_") or key in _TRUTH


def _column(key: str, kind: Kind, std: str | None, targeted: Sequence[str]) -> Column:
    text = unit(key)
    group: Literal["head", "property", "verdict", "geometry", "further"] = "further"
    if key in _LEADING:
        group = "head"
    elif key in targeted or key in PROPERTIES or std:
        group = "property"
    elif key in _VERDICTS or key.endswith("_met"):
        group = "verdict"
    elif _is_dft(key):
        group = "further"
    elif key in _GEOMETRY or key in _UNITS:
        group = "geometry"
    shown = (
        group == "head"
        or key in targeted
        or key in {"formation_energy", "energy_above_hull", "pressure", "space_group", "novel"}
        or (key in _TRUTH if _is_dft(key) else group == "further" and key not in _TEXT)
    )
    digits = 0 if key == "n_atoms" else _DIGITS.get(text, 3 if key == "tolerance_factor" else None)
    return Column(
        key=key,
        label=label(key),
        unit=text,
        kind=kind,
        digits=digits,
        std=std,
        group=group,
        shown=shown,
    )
