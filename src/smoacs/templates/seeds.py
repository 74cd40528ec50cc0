"""Many crystals as seeds: a folder, frames, a table or structures in memory.

A seed that cannot be used costs itself only; its reason is kept.
"""

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from pymatgen.core.structure import Structure
from vesin import NeighborList

from smoacs.chemistry import OxidationTable
from smoacs.errors import InputError
from smoacs.structures import (
    FRAME_SUFFIXES,
    LAYOUT,
    read_cif_text,
    read_files,
    structure_files,
    structure_of_row,
    suffix_of,
    tell_notes,
)
from smoacs.templates.from_structure import from_structure
from smoacs.templates.template import Template

TABLE_SUFFIXES: Final = (".parquet", ".csv")

MIN_DISTANCE: Final = 0.5
"""Å; closer atoms are no crystal."""

_SEARCH_RADIUS: Final = 2.0
"""Å; pairs this close are looked at (a much smaller radius takes longer)."""

MIN_VOLUME: Final = 0.1
"""Å³ per atom; flatter cells are no crystal."""

_NAME_COLUMNS: Final = ("material_id", "name", "id")

Loader = Callable[[], Structure]


@dataclass(frozen=True)
class SeedTemplates:
    """Templates of seeds.

    Attributes:
        templates: At least one; named after their seeds.
        originals: The same before any constraint was applied.
        skipped: For each seed that cannot be used, its name and the reason.
    """

    templates: tuple[Template, ...]
    originals: tuple[Template, ...]
    skipped: tuple[str, ...]


def is_seed_source(path: str | Path) -> bool:
    """Whether a path holds many crystals: a folder, a table, frames, or a file with several."""
    path = Path(path)
    if not path.is_file():
        return path.is_dir()
    if suffix_of(path) in FRAME_SUFFIXES + TABLE_SUFFIXES:
        return True
    reading = read_files([path])
    return len(reading.structures) + len(reading.failures) > 1


def seed_templates(
    source: str | Path | Sequence[Structure],
    *,
    repeat: int,
    limit: int,
    seed: int,
    restrict: Callable[[Template], Template],
    table: OxidationTable | None = None,
) -> SeedTemplates:
    """Templates of the seeds of a source.

    Args:
        source: A folder of structure files, a file of frames (extxyz), a table (Parquet in the
            training layout, or CSV with a column `cif`), or structures.
        repeat: Cells along each axis.
        limit: Most seeds to use. From a source of more, so many are drawn at random.
        seed: Of that draw.
        restrict: Applies the constraints of the design.
        table: Oxidation numbers by element; None is the common table.

    Raises:
        InputError: The source is unreadable, or none of its seeds can be used.
    """
    skipped: list[str] = []
    if isinstance(source, (str, Path)):
        loaders = _loaders(Path(source), skipped)
    else:
        loaders = [(f"seed {i}", _given(structure)) for i, structure in enumerate(source)]
    if len(loaders) > limit:
        order = random.Random(seed).sample(range(len(loaders)), len(loaders))  # noqa: S311
        loaders = [loaders[i] for i in order]
    templates: list[Template] = []
    originals: list[Template] = []
    for name, load in loaders:
        if len(templates) == limit:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # parsers' remarks on rounding and the like
                structure = load()
            check_crystal(structure)
            template = from_structure(structure, repeat=repeat, table=table)
            template = replace(template, name=name)
            templates.append(restrict(template))
            originals.append(template)
        except InputError as error:
            skipped.append(f"{name}: {_one_line(error)}")
        except Exception as error:  # noqa: BLE001 - parsers raise whatever they like
            skipped.append(f"{name}: cannot be read ({_one_line(error)})")
    if not templates:
        where = f"{str(source)!r}" if isinstance(source, (str, Path)) else "the list of structures"
        reason = f"; {skipped[0]}" if skipped else ": there are none"
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        msg = f"none of the seeds in {where} can be used{reason}{more}"
        raise InputError(msg)
    return SeedTemplates(tuple(templates), tuple(originals), tuple(skipped))


def check_crystal(structure: Structure) -> None:
    """Refuse what is no crystal: numbers that are not finite, flat cells, atoms on one spot.

    Raises:
        InputError: With the reason.
    """
    if len(structure) == 0:
        msg = "it has no atoms"
        raise InputError(msg)
    matrix, coords = structure.lattice.matrix, structure.frac_coords
    if not (np.isfinite(matrix).all() and np.isfinite(coords).all()):
        msg = "its cell or coordinates are not finite numbers"
        raise InputError(msg)
    if not abs(np.linalg.det(matrix)) >= MIN_VOLUME * len(structure):
        msg = "its cell encloses no volume for its atoms"
        raise InputError(msg)
    finder = NeighborList(cutoff=_SEARCH_RADIUS, full_list=False)
    distances = finder.compute(coords @ matrix, matrix, periodic=True, quantities="d")[0]
    if (distances < MIN_DISTANCE).any():
        msg = f"two of its atoms are on one spot ({distances.min():.2f} Å apart)"
        raise InputError(msg)


def _loaders(path: Path, skipped: list[str]) -> list[tuple[str, Loader]]:
    """Name and loader of each seed of a path; damaged files go to `skipped`."""
    files = structure_files(path) if path.is_dir() else [path]
    found: list[tuple[str, Loader]] = []
    for file in files:
        try:
            if suffix_of(file) in TABLE_SUFFIXES:
                found += _table(file)
            else:
                found += _structures(file, skipped)
        except InputError as error:
            skipped.append(_one_line(error))
    return found


def _structures(file: Path, skipped: list[str]) -> list[tuple[str, Loader]]:
    reading = read_files([file])
    skipped += reading.failures
    tell_notes(reading.notes)
    items = reading.structures
    return [
        (file.name if len(items) == 1 else f"{file.name}[{item.index}]", _given(item.structure))
        for item in items
    ]


def _given(structure: Structure) -> Loader:
    return lambda: structure


def _table(path: Path) -> list[tuple[str, Loader]]:
    """Seeds of a table: crystals in the training layout, or CIF texts."""
    try:
        rows = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except Exception as error:  # pandas and its engines raise many
        msg = f"{path}: cannot be read as a table ({_one_line(error)})"
        raise InputError(msg) from error
    load: Callable[[pd.DataFrame, int], Structure]
    if set(LAYOUT) <= set(rows.columns):
        load = _row_structure
    elif "cif" in rows.columns:
        load = _cif_structure
    else:
        msg = (
            f"{path}: the table has neither the columns {', '.join(LAYOUT)} of the "
            f"training layout nor a column cif; it has {', '.join(map(str, rows.columns))}"
        )
        raise InputError(msg)
    column = next((name for name in _NAME_COLUMNS if name in rows.columns), None)
    names = range(len(rows)) if column is None else rows[column]
    return [(f"{path.name}[{name}]", _row(load, rows, k)) for k, name in enumerate(names)]


def _row(load: Callable[[pd.DataFrame, int], Structure], rows: pd.DataFrame, number: int) -> Loader:
    return lambda: load(rows, number)


def _row_structure(rows: pd.DataFrame, number: int) -> Structure:
    """Crystal of a row of the training layout."""
    return structure_of_row({name: rows[name].iloc[number] for name in LAYOUT})


def _cif_structure(rows: pd.DataFrame, number: int) -> Structure:
    """Crystal of a CIF text."""
    text = rows["cif"].iloc[number]
    if not isinstance(text, str) or not text.strip():
        msg = "the column cif is empty"
        raise InputError(msg)
    return read_cif_text(text)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
