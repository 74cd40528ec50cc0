"""Every column that the package writes to results.csv and to the tables of its commands, once.

They stand in `columns.csv`, in the order of the tables. A new column of the judge or a check gets
its line there; tests hold the tables, docs/results.md and docs/checks.md to it.
"""

import csv
from importlib.resources import files
from typing import Any, Final

from smoacs.results.column import Column

LATTICE: Final = ("a", "b", "c", "alpha", "beta", "gamma")
"""Lattice lengths (Å) and angles (degrees)."""

TRUTH: Final = ("dft_band_gap", "dft_pressure", "confirmed")
"""What first principles say of a design first of all; the rest is shown on demand."""


def _read() -> tuple[Column, ...]:
    text = (files("smoacs.results") / "columns.csv").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    for row in rows:
        row["source"] = row["source"] or None
        row |= {name: row[name] == "yes" for name in ("shown", "criterion")}
    return tuple(Column(**row) for row in rows)


COLUMNS: Final = _read()
"""All of them, in the order of the tables."""


def counted(source: str) -> dict[str, str]:
    """Verdicts of a check that its summary counts: what the designs are called that have them."""
    return {c.name: c.counted for c in COLUMNS if c.source == source and c.counted}
