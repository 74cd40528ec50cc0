"""Tables as CSV: written with the same digits for the same seed, read by what their columns are."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from smoacs.errors import InputError
from smoacs.results.column import Kind
from smoacs.results.schema import column

FLOAT_FORMAT: Final = "%.6f"
"""Digits of every number: enough to use, and the same for the same seed."""

_FLAGS: Final = {"True": True, "False": False, "": None}


def criteria(table: pd.DataFrame) -> list[str]:
    """Names of the columns that a success must have True."""
    return [name for name in table.columns if column(name).criterion]


def csv_text(table: pd.DataFrame) -> str:
    """Write a table as CSV with a fixed format of its numbers."""
    return str(table.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n"))


def cell_text(value: object) -> str:
    """A value as `csv_text` writes it: fixed digits, empty where missing."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    return FLOAT_FORMAT % value if isinstance(value, float | np.floating) else str(value)


def read_cells(file: Path) -> pd.DataFrame:
    """Read a table as the texts that stand in it, under its names.

    Raises:
        InputError: It cannot be read, is empty, or a line has more or fewer cells than the first.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            lines = list(csv.reader(opened, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read as a table ({error})") from error
    if not lines:
        raise InputError(f"{file}: is damaged: it is empty")
    names, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise InputError(
                f"{file}: is damaged: row {number} has {len(row)} cells, and its head {len(names)}"
            )
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{file}: is damaged: it has two columns {double!r}")
    return pd.DataFrame(rows, columns=names, dtype=object)


def read_table(file: Path, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table; columns that the package does not know are taken for what they look like.

    Args:
        file: The CSV file.
        needed: Columns that it must have; flags among them are known in every row.

    Returns:
        Texts as they stand there (an id keeps its zeros, and NaN is sodium nitride), numbers with
        NaN where there is none, flags as bool, or with None where they are not known.

    Raises:
        InputError: It is damaged, lacks a column, or a cell is not what its column holds.
    """
    cells = read_cells(file)
    for name in needed:
        if name not in cells:
            raise InputError(f"{file}: is damaged, or no such table: it has no column {name!r}")
    found: dict[str, Any] = {}
    for name in map(str, cells):
        texts = cells[name].tolist()
        kind = column(name).kind or _looks_like(texts)
        try:
            found[name] = _parsed(kind, texts)
        except ValueError as error:
            raise InputError(f"{file}: is damaged: {name} {error}") from error
        if name in needed and kind == "flag" and found[name].dtype != bool:
            raise InputError(f"{file}: is damaged: {name} is not True or False in every row")
    return pd.DataFrame(found)


def kind_of(values: "pd.Series[Any]") -> Kind:
    """What a column of a table that was read holds."""
    known = column(str(values.name)).kind
    if known is not None:
        return known
    if values.dtype != object:
        return "flag" if values.dtype == bool else "number"
    return "flag" if len(values) and set(values) <= {True, False, None} else "text"


def _looks_like(texts: Sequence[str]) -> Kind:
    filled = [text for text in texts if text]
    if filled and set(filled) <= _FLAGS.keys():
        return "flag"
    try:
        _ = [float(text) for text in filled]
    except ValueError:
        return "text"
    return "number" if filled else "text"


def _parsed(kind: Kind, texts: Sequence[str]) -> "pd.Series[Any]":
    if kind == "text":
        return pd.Series(texts, dtype=object)
    if kind == "flag":
        wrong = next((text for text in texts if text not in _FLAGS), None)
        if wrong is not None:
            message = f"is not True or False in every row, but {wrong!r}"
            raise ValueError(message)
        flags = [_FLAGS[text] for text in texts]
        return pd.Series(flags, dtype=object if None in flags else bool)
    numbers = [_number(text) for text in texts]
    whole = kind == "integer" and all(number.is_integer() for number in numbers)
    return pd.Series(numbers, dtype=float).astype(int if whole else float)


def _number(text: str) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        message = f"is {text!r}, which is no number"
        raise ValueError(message) from None
