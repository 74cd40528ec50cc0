"""A folder in the `id_prop.csv` convention of CGCNN and MEGNet.

`id_prop.csv` has a line for each crystal: its id, then one or more values; the crystal itself is in
the file `id.cif` beside it, or the id is the name of its file (`POSCAR-17.vasp`, as JARVIS has it).
The first line may name the columns. An empty value is a missing label.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.structures import read_structure
from smoacs.training.layout import label_columns, layout_row

TABLE = "id_prop.csv"
_SUFFIXES = (".vasp", ".poscar", ".POSCAR", ".xyz", ".extxyz", ".json")
_MISSING = {"", "nan", "na", "none", "null"}


def read_id_prop(
    folder: Path, columns: Mapping[str, str | int], properties: tuple[str, ...]
) -> pd.DataFrame:
    """Read a folder as a table in the training layout.

    Args:
        folder: Where `id_prop.csv` and the CIF files are.
        columns: Property -> column, by name or by number (the first value has number 1).
        properties: The properties wanted; those that the file has come under their own names.

    Raises:
        InputError: If `id_prop.csv` or a CIF file is missing, empty or cannot be read, a value is
            no number, or a column is missing.
    """
    path = folder / TABLE
    lines = _read_lines(path)
    names = _names(lines)
    if names is None:
        names = [str(k) for k in range(len(lines[0][1]))]
    else:
        lines = lines[1:]
    labels = label_columns(names[1:], properties, _chosen(columns, names, path), str(path))
    rows = []
    for number, cells in lines:
        if len(cells) != len(names):
            raise InputError(
                f"{path}, line {number}: {len(cells)} entries, but {len(names)} in the first line"
            )
        row: dict[str, Any] = {"material_id": cells[0]}
        row |= read_crystal(_file_of(folder, cells[0]))
        row |= {n: c for n, c in zip(names[1:], cells[1:], strict=True) if n not in row}
        found = dict(zip(names, cells, strict=True))
        row |= {p: _number(found[c], path, number) for p, c in labels.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _file_of(folder: Path, name: str) -> Path:
    """The file of a crystal: `name.cif`, or what else of that name there is."""
    named = [folder / f"{name}{suffix}" for suffix in (".cif", *_SUFFIXES)]
    named += [folder / f"POSCAR{mark}{name}" for mark in "_-."]
    own = folder / name
    if name and own.is_file():
        return own
    return next((path for path in named if path.is_file()), named[0])


def read_crystal(path: Path) -> dict[str, Any]:
    """Read a structure file as a row of the layout.

    Raises:
        InputError: If the file cannot be read, or the crystal has partially occupied sites or
            something on them that is no known element.
    """
    structure = read_structure(path)
    symbols = {getattr(site.specie, "symbol", str(site.specie)) for site in structure}
    unknown = sorted(symbols - set(ELEMENTS))
    if unknown:
        raise InputError(f"{path} holds {unknown[0]!r}, which is none of the known elements")
    return layout_row(structure)


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [[cell.strip() for cell in line] for line in csv.reader(file)]
    except FileNotFoundError as error:
        raise InputError(f"the folder {path.parent} has no {TABLE}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    lines = [(number, line) for number, line in enumerate(cells, 1) if any(line)]
    check_commas([",".join(line) for _, line in lines], path)
    if not lines:
        raise InputError(f"{path} is empty: it needs a line 'id,value' for each crystal")
    return lines


def check_commas(lines: Sequence[str], origin: object) -> None:
    """Refuse what spreadsheets of many countries write: `;` between cells, decimal commas.

    Raises:
        InputError: The first line has semicolons and no comma, or a line has both.
    """
    if lines and ";" in lines[0]:
        raise InputError(
            f"{origin} has ';' between its cells: write them with ',' and numbers with a point, "
            "such as mp-1,1.5 (pandas.read_csv(file, sep=';', decimal=',') reads yours)"
        )


def _names(lines: list[tuple[int, list[str]]]) -> list[str] | None:
    """Names of the columns if the first line gives them, else None."""
    first = lines[0][1]
    if all(_is_value(cell) for cell in first[1:]):
        return None
    return first


def _chosen(columns: Mapping[str, str | int], names: list[str], path: Path) -> dict[str, str]:
    """The columns by name."""
    chosen = {}
    for name, column in columns.items():
        if isinstance(column, int) and not 1 <= column < len(names):
            raise InputError(
                f"{path} has no value number {column} (for {name}); it has {len(names) - 1}"
            )
        chosen[name] = names[column] if isinstance(column, int) else column
    return chosen


def _is_value(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return cell.lower() in _MISSING
    return True


def _number(cell: str, path: Path, line: int) -> float:
    if not _is_value(cell):
        raise InputError(f"{path}, line {line}: {cell!r} is no number")
    return math.nan if cell.lower() in _MISSING else float(cell)
