"""All training data of a config as one checked table."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smoacs.errors import InputError
from smoacs.training.config import DataSource, TrainConfig
from smoacs.training.data.crystal_files import (
    FRAMES,
    read_csv_with_cifs,
    read_frames_with_labels,
)
from smoacs.training.data.id_prop import read_id_prop
from smoacs.training.data.jarvis import read_jarvis
from smoacs.training.data.labels import note_dropped, warn_of_units, without_doubles
from smoacs.training.data.splits import SPLITS, assign_splits
from smoacs.training.layout import RELAXED, add_formulas, check_crystals, label_columns

log = logging.getLogger(__name__)

_KEPT = ("material_id", "formula", "numbers", "frac_coords", "lattice", "kind", "split")
_DERIVATIVES = ("forces", "stress")


def load_table(config: TrainConfig) -> pd.DataFrame:
    """Read, check, split and join all data of a config.

    Returns:
        The training layout, with each property under its own name (NaN where a row lacks it), and
        a column `source` with the number of the table it came from.

    Raises:
        InputError: If anything in the data is wrong.
    """
    tables = [
        read_source(source, config).assign(source=number)
        for number, source in enumerate(config.data)
    ]
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)
    for name in config.properties:
        if name not in table.columns:
            raise InputError(f"no training data have a column for the property {name!r}")
    labelled = np.isfinite(table[list(config.properties)].to_numpy(dtype=float)).any(axis=1)
    for column in _DERIVATIVES:
        if column in table.columns:
            labelled |= table[column].notna().to_numpy()
    log.info("%d of %d crystals have a label", labelled.sum(), len(table))
    names = table.get("material_id", table["formula"])
    note_dropped(names[~labelled], "without a label of what is learnt", "training data")
    table = table[labelled].reset_index(drop=True)
    _check_labels(table, config)
    return table


def read_source(source: DataSource, config: TrainConfig) -> pd.DataFrame:
    """Read one table, checked and split.

    Raises:
        InputError: If it cannot be read, lacks a column, or holds something that is no crystal.
    """
    origin = str(source)
    named = {p: c for p, c in source.columns.items() if isinstance(c, str)}
    if source.path is not None and source.path.is_dir():
        rows = read_id_prop(source.path, source.columns, config.properties)
    elif len(named) < len(source.columns):
        raise InputError(f"{origin}: columns must be given by name")
    elif source.jarvis is not None:
        rows = read_jarvis(source.jarvis, named, config.properties)
    else:
        rows = _read_file(Path(source.path or ""), named, config.properties)
    if rows.empty:
        raise InputError(f"{origin} has no rows")
    rows = without_doubles(rows, config.properties, origin)
    warn_of_units(rows, config.properties, origin)
    check_crystals(rows, origin)
    rows = assign_splits(
        add_formulas(rows),
        source.split,
        origin,
        seed=config.split_seed,
        validation=config.validation_share,
        test=config.test_share,
    )
    if "kind" not in rows.columns:
        rows = rows.assign(kind=RELAXED)
    names = [*_KEPT, *_DERIVATIVES, *config.properties]
    return rows[[name for name in names if name in rows.columns]]


def _read_file(path: Path, columns: dict[str, str], properties: Sequence[str]) -> pd.DataFrame:
    """Read a file by the ending of its name."""
    suffix = path.suffix.lower()
    if suffix in FRAMES:
        return read_frames_with_labels(path, columns, properties)
    if suffix == ".csv":
        return read_csv_with_cifs(path, columns, properties)
    return read_parquet(path, columns, properties)


def read_parquet(path: Path, columns: dict[str, str], properties: Sequence[str]) -> pd.DataFrame:
    """Read a Parquet file in the training layout; labels come under their properties' names.

    Raises:
        InputError: If the file cannot be read, or a label column is missing or holds no numbers.
    """
    origin = f"training data {path}"
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {origin}: {error}") from error
    found = label_columns(rows.columns, tuple(properties), columns, origin)
    values = {}
    for name, column in found.items():
        try:
            values[name] = pd.to_numeric(rows[column]).astype(float)
        except (TypeError, ValueError) as error:
            raise InputError(f"{origin}: the column {column!r} holds no numbers: {error}") from None
    return rows.assign(**values)


def _check_labels(table: pd.DataFrame, config: TrainConfig) -> None:
    """Labels that can be learnt, in splits that can be used."""
    for split in SPLITS:
        rows = table[(table["split"] == split) & (table["kind"] == RELAXED)]
        small = rows["numbers"].map(len) <= config.max_atoms
        if split != "test":
            rows = rows[small]
        if rows.empty:
            size = "" if split == "test" else f" with at most {config.max_atoms} atoms"
            raise InputError(f"the split {split!r} has no labelled crystal at rest{size}")
        if split == "val" and rows[list(config.properties)].isna().all(axis=None):
            raise InputError("no crystal of the split 'val' has a label of any property")
        if split == "train":
            for name in config.properties:
                if rows[name].isna().all():
                    raise InputError(
                        f"the property {name!r} has no label in the split 'train': all are NaN"
                    )
    for name in config.properties:
        values = table[name].to_numpy(dtype=float)
        limit = 0.0 if config.uses_log10(name) else -np.inf
        wrong = (values <= limit) | (values == np.inf)
        if wrong.any():
            row = table[wrong].iloc[0]
            which = row.get("material_id", row["formula"])
            reason = (
                f"log10 needs values above 0; drop the row or set heads.{name}.log10 = false"
                if config.uses_log10(name)
                else "a label is a finite number, or NaN where missing"
            )
            raise InputError(f"{which} has {name} = {row[name]:g}: {reason}")
