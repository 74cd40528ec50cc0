"""What a table says, on its way into a script, a path or a spreadsheet: as text, and as no more.

A run directory may come from anybody, so nothing in it is trusted to be what smoacs would write.
"""

import re
from typing import Final

import pandas as pd

_UNSAFE_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._()+-]+")
_UNSAFE_IN_TITLES: Final = re.compile(r"[^A-Za-z0-9 ._()+:,/-]+")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is calculated by spreadsheets, which may run programs for it."""

_LONGEST_NAME: Final = 120


def file_name(text: str) -> str:
    """A text as the name of a file or folder: letters, digits and a few signs, no way out."""
    name = _UNSAFE_IN_NAMES.sub("_", text)[:_LONGEST_NAME].lstrip(".-")
    return name or "_"


def title(text: str) -> str:
    """A text as one line of a comment or title, without quotes and backslashes."""
    return _UNSAFE_IN_TITLES.sub("_", text)


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for formulas: an apostrophe comes before those.

    Texts that are numbers stay.
    """
    return table.map(_no_formula)


def _no_formula(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
