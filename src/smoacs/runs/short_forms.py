"""How results show themselves: in a line, and as a small table in a notebook."""

from html import escape

import pandas as pd

_ROWS = 10
_COLUMNS = ("id", "formula", "success", "space_group")


def line(kind: str, table: pd.DataFrame, *, where: str = "") -> str:
    """One line: how many candidates there are, and how many of them succeed.

    Args:
        kind: What it is, such as "DesignRun".
        table: A row for each candidate.
        where: The folder, if there is one.
    """
    n, successes = len(table), int(table["success"].sum())
    distinct = int(table["unique"].sum())
    place = f" in {where}" if where else ""
    return f"<{kind}{place}: {successes} of {n} candidates succeed, {distinct} distinct formulas>"


def html(title: str, table: pd.DataFrame, targets: list[str]) -> str:
    """A heading and the first rows of a table, for a notebook.

    Args:
        title: What `line` gives.
        table: A row for each candidate, those to show first.
        targets: Properties that were asked for.
    """
    wanted = dict.fromkeys((*_COLUMNS[:3], *targets, _COLUMNS[3]))
    shown = table[[name for name in wanted if name in table]].head(_ROWS)
    rows = shown.to_html(index=False, border=0, na_rep="", float_format="{:.3f}".format)
    more = len(table) - len(shown)
    rest = f"<p>and {more} more</p>" if more else ""
    return f"<p>{escape(title.strip('<>'))}</p>{rows}{rest}"
