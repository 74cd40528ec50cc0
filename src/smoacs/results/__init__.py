"""The tables that the package writes: what their columns are, and how they are written and read."""

from smoacs.results.column import Column, Kind
from smoacs.results.listed import COLUMNS, LATTICE, TRUTH, counted
from smoacs.results.schema import (
    SPREAD_SUFFIXES,
    column,
    described,
    readable_unit,
    saved_columns,
    summary_columns,
)
from smoacs.results.table import (
    FLOAT_FORMAT,
    cell_text,
    criteria,
    csv_text,
    kind_of,
    read_cells,
    read_table,
)

__all__ = [
    "COLUMNS",
    "FLOAT_FORMAT",
    "LATTICE",
    "SPREAD_SUFFIXES",
    "TRUTH",
    "Column",
    "Kind",
    "cell_text",
    "column",
    "counted",
    "criteria",
    "csv_text",
    "described",
    "kind_of",
    "read_cells",
    "read_table",
    "readable_unit",
    "saved_columns",
    "summary_columns",
]
