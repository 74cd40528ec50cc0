"""The candidates as an ASE database: designs.db in the run directory, and any other by its URL.

A row for each candidate. ASE's queries test whether a key is there (`success`) or not (`-success`),
so a verdict is a key of the rows that it is true for, and of no others.

ASE keeps each key of each row three times (as JSON, in a table of keys and in one of values) and
once more in an index. The file of a run leaves out the indexes, in which every key stands for every
row, and does not repeat in a row's data what its keys say: that halves it.
"""

import errno
import hashlib
import importlib.util
import math
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pandas as pd
from ase.db.core import convert_str_to_int_float_bool_or_str, reserved_keys
from ase.db.row import AtomsRow
from ase.formula import Formula
from pymatgen.core import Structure

from smoacs.errors import InputError, MissingExtraError, without_passwords
from smoacs.files import check_file, new_file
from smoacs.request import DesignConfig
from smoacs.request.database_address import is_url, passwords_of
from smoacs.results import column
from smoacs.structures import charges, symbols, to_atoms

DATABASE_FILE = "designs.db"

_SQLITE_ERRORS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
"""What SQLite calls a disk that is full, and one that takes no more for another reason."""

_NAMES = {"id": "candidate", "formula": "reduced_formula"}
_PREFIX = "design_"
"""Put before names that mean something else to ASE."""

_IN_THE_GEOMETRY = {"n_atoms", "structure_file"}

_INDEXES = ("key_index", "number_index", "text_index")

_PAGE = 16_384
"""Bytes of a page of a large file: a row fills almost half of one of SQLite's own."""

_MANY = 500
"""Rows from which a file is large; a small one has more tables than it fills pages."""

_DIGITS = 8
"""Of a number: more than single precision has."""

KeyValues = dict[str, float | int | str | bool]


def run_key(config: DesignConfig, results: str) -> str:
    """Name of a run: the same for the same settings and the same results.

    Args:
        config: The settings; where the rows go to does not count.
        results: The text of results.csv as the design wrote it.
    """
    settings = config.model_copy(update={"database": None}).to_toml()
    # The letter keeps a digest of digits from being a number to ASE.
    return "r" + hashlib.sha256(f"{settings}\n{results}".encode()).hexdigest()[:12]


def write_designs_db(
    folder: Path,
    ranked: pd.DataFrame,
    structures: Sequence[Structure],
    *,
    targets: Sequence[str],
    run_id: str,
) -> None:
    """Write designs.db, best first.

    Args:
        folder: The run directory.
        ranked: The sorted table; its index numbers the structures.
        structures: The candidates in their own order.
        targets: What was asked for, kept in each row.
        run_id: See `run_key`.

    Raises:
        OSError: The disk is full.
    """

    def rows() -> Iterator[_Row]:
        for number, row in zip(ranked.index, ranked.to_dict("records"), strict=True):
            named: dict[str, object] = {str(name): value for name, value in row.items()}
            structure = structures[number]
            data: dict[str, object] = {
                "targets": list(targets),
                "oxidation_states": charges(structure),
            }
            yield _atoms(structure, named), named, {"run_id": run_id}, data

    _write(folder / DATABASE_FILE, rows(), list(ranked.columns))


_Row = tuple[ase.Atoms | AtomsRow, dict[str, object], KeyValues, dict[str, object]]
"""Atoms, a row of the table by column, keys that are no columns, and data that are no columns."""


def _write(path: Path, rows: Iterable[_Row], columns: list[str]) -> None:
    """Write a new database, as small as it can be."""
    n_rows = 0
    with _disk_may_be_full(path):
        with ase.db.connect(path, type="db", use_lock_file=False) as database:
            for atoms, named, keys, data in rows:
                found = key_values(named)
                rest = {k: _plain(v) for k, v in named.items() if key_name(k) not in found}
                database.write(atoms, found | keys, data | {"row": rest})
                n_rows += 1
            database.metadata = _metadata(columns)
        with closing(sqlite3.connect(path)) as file:
            for index in _INDEXES:
                file.execute(f"DROP INDEX IF EXISTS {index}")
            file.commit()
            if n_rows >= _MANY:
                file.execute(f"PRAGMA page_size = {_PAGE}")
            file.execute("VACUUM")


_DISPENSABLE = "remove it, and the other files of the run stay complete without it"


def refresh_designs_db(folder: Path, table: pd.DataFrame, out: Path) -> None:
    """Write designs.db anew for a table that has gained columns.

    ASE looks through all keys of all rows to change those of one.

    Args:
        folder: The run directory.
        table: All rows of results.csv, in any order.
        out: The new file.

    Raises:
        InputError: There is no such database, or it has no row for one of the candidates.
    """
    path = folder / DATABASE_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with ase.db.connect(path, use_lock_file=False) as database:
        there = {row.candidate: row for row in database.select()}
    records = {int(record["id"]): record for record in table.to_dict("records")}
    lacking = next((record["id"] for k, record in records.items() if k not in there), None)
    if lacking is not None:
        raise InputError(f"{path} has no candidate {lacking}")

    def rows() -> Iterator[_Row]:
        for candidate, row in there.items():
            named = {str(name): value for name, value in records[candidate].items()}
            yield row, named, {"run_id": row.run_id}, dict(row.data)

    _write(out, rows(), [str(name) for name in table.columns])


def check_designs_db(folder: Path, ids: Iterable[str]) -> None:
    """Check that designs.db, if there is one, can be brought up to date later.

    Args:
        folder: The run directory.
        ids: Its candidates.

    Raises:
        InputError: It is damaged, or has no row for one of the candidates.
    """
    path = folder / DATABASE_FILE
    if not path.is_file():
        return
    if not path.stat().st_size:
        raise InputError(f"{path}: is damaged (it is empty); {_DISPENSABLE}")
    try:
        with ase.db.connect(path, use_lock_file=False) as database:
            there = {row.get("candidate") for row in database.select(include_data=False)}
    except (sqlite3.DatabaseError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error}); {_DISPENSABLE}") from error
    lacking = next((name for name in ids if int(name) not in there), None)
    if lacking is not None:
        raise InputError(f"{path}: is damaged (it has no candidate {lacking}); {_DISPENSABLE}")


def check_database(address: str) -> None:
    """Check that rows can be added to a database; a PostgreSQL one gets its tables.

    Args:
        address: `postgresql://user@host/name`, or the path of a file that ends in .db.

    Raises:
        InputError: It is neither, it is no ASE database, or it cannot be reached or written.
        MissingExtraError: ASE's PostgreSQL backend is not installed.
    """
    try:
        if not is_url(address):
            check_file(address, "--database")
            if not Path(address).exists():
                return
        with _opened(address) as database, database:  # without the second ASE leaves the file open
            _ = database.metadata  # looks for the tables and, in PostgreSQL, makes them
    except MissingExtraError:
        raise
    except InputError as error:
        raise InputError(f"--database: {error}") from error


def add_to_database(folder: str | Path, address: str) -> int:
    """Copy the rows of a run's designs.db to another ASE database.

    Rows of the same run that are there already are replaced, so nothing is there twice. Either
    all rows arrive or none.

    Args:
        folder: The run directory.
        address: As for `check_database`.

    Returns:
        How many rows were not there before.

    Raises:
        InputError: The run has no designs.db, or the database cannot be written.
        MissingExtraError: ASE's PostgreSQL backend is not installed.
    """
    path = Path(folder) / DATABASE_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; {folder} is no run directory with a database")
    with ase.db.connect(path, use_lock_file=False) as database:
        rows = list(database.select())
    if not is_url(address) and not Path(address).exists():
        _begin_file(address)
    with _opened(address) as database, database:
        _lock(database)
        there = _rows_of(database, {row.run_id for row in rows})
        for row in rows:
            database.write(
                row,
                row.key_value_pairs,
                dict(row.data),  # SQLite's own encoding is not PostgreSQL's
                id=there.get((row.run_id, row.candidate)),
            )
    return len(rows) - len(there)


def _begin_file(address: str) -> None:
    """Make an empty database file, with all its tables or not at all.

    ASE makes them one by one, and takes a file that lacks some for none of its own.
    """
    with new_file(address, replace=False) as new, _opened(str(new)) as database, database:
        _ = database.metadata


def key_values(row: Mapping[str, object]) -> KeyValues:
    """What ASE can search in a row of the table: numbers, texts, and verdicts that are true."""
    found: KeyValues = {}
    for name, value in row.items():
        if name in _IN_THE_GEOMETRY:
            continue
        if name == "id":
            found[key_name(name)] = int(str(value))
        elif isinstance(value, bool | np.bool_):
            if value:
                found[key_name(name)] = True
        elif isinstance(value, str):
            # ASE takes the formulas NaN and InF for numbers; they stay in the row's data.
            if value and isinstance(convert_str_to_int_float_bool_or_str(value), str):
                found[key_name(name)] = value
        elif isinstance(value, int | float | np.number) and math.isfinite(value):
            number = value if isinstance(value, int) else float(f"{float(value):.{_DIGITS}g}")
            found[key_name(name)] = number
    if not row.get("structure_file", True):
        found["not_finite"] = True
    return found


def key_name(column: str) -> str:
    """Name of a column as an ASE key: `band_gap.std` becomes `band_gap_std`.

    Names that mean something to ASE (keys of its own, elements, formulas) get `design_` in front.
    """
    if column in _NAMES:
        return _NAMES[column]
    key = re.sub(r"\W", "_", column, flags=re.ASCII)
    taken = key in reserved_keys or hasattr(AtomsRow, key) or key in {"cell", "numbers", "pbc"}
    if taken or not re.match("[A-Za-z_]", key) or _is_formula(key):
        return _PREFIX + key
    return key


def _is_formula(text: str) -> bool:
    try:
        Formula(text, strict=True)
    except ValueError:
        return False
    return True


def _plain(value: object) -> object:
    """Turn a cell of the table into JSON: numbers that are none become None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _atoms(structure: Structure, row: Mapping[str, object]) -> ase.Atoms:
    """Make ASE's atoms, with oxidation states as initial charges; without cell if not finite."""
    if not row["structure_file"]:
        return ase.Atoms(symbols(structure))
    atoms = to_atoms(structure)
    states = charges(structure)
    if states is not None:
        atoms.set_initial_charges(states)
    return atoms


def _metadata(names: Iterable[str]) -> dict[str, object]:
    """Words and units for ASE's own views of the database."""
    known = {key_name(name): column(name) for name in names}
    described = {key: [c.label, c.meaning, c.unit] for key, c in known.items()}
    return {"title": "smoacs designs", "key_descriptions": described}


@contextmanager
def _disk_may_be_full(path: Path) -> Iterator[None]:
    """Turn SQLite's word for a full disk into everybody else's.

    Raises:
        OSError: The disk is full.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        number = _SQLITE_ERRORS.get(error.sqlite_errorcode & 0xFF)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def _opened(address: str) -> Iterator[Any]:
    """Open a database; whatever it has against us becomes one sentence without password."""
    if is_url(address) and importlib.util.find_spec("ase_db_backends") is None:
        raise MissingExtraError.of(
            "PostgreSQL needs ASE's database backends, which are not installed", "postgresql"
        )
    shown = without_passwords(address)
    try:
        # ASE's lock of a file waits for ever if a killed process left it; SQLite has its own.
        yield ase.db.connect(
            address, type="postgresql" if is_url(address) else "db", use_lock_file=False
        )
    except sqlite3.DatabaseError as error:
        raise InputError(f"{shown} is no ASE database that can be written ({error})") from error
    except Exception as error:
        if not type(error).__module__.startswith("psycopg2"):
            raise
        reason = " ".join(str(error).split()).replace(address, shown)
        for password in passwords_of(address):
            reason = reason.replace(password, "***")
        raise InputError(f"the database {shown} cannot be used: {reason}") from error


def _lock(database: Any) -> None:  # noqa: ANN401 - two unrelated classes of ASE
    """Keep others from writing until the rows stand.

    ASE asks PostgreSQL for the last id that anybody got, so rows of two writers would mix.
    """
    _ = database.metadata  # makes the tables
    if isinstance(database.connection, sqlite3.Connection):
        database.connection.execute("BEGIN IMMEDIATE")
    else:
        # The backend's connection has no rollback, which ASE calls when a write fails.
        database.connection.rollback = database.connection.con.rollback
        database.connection.cursor().execute("LOCK TABLE systems IN SHARE ROW EXCLUSIVE MODE")


def _rows_of(
    database: Any,  # noqa: ANN401 - same
    runs: Iterable[str],
) -> dict[tuple[str, int], int]:
    """Ids of the rows of some runs, by run and candidate."""
    return {
        (row.run_id, row.candidate): row.id
        for run in runs
        for row in database.select([("run_id", "=", run)], include_data=False)
    }
