"""Held-out crystals with their labels, for the benchmarks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from smoacs.training.displaced.crystals import row_structure
from smoacs.training.layout import LABEL_COLUMNS


def labelled(
    paths: Sequence[Path], name: str, *, most: int | None = None, max_atoms: int | None = None
) -> tuple[list[Structure], np.ndarray]:
    """Crystals of the test splits that have a label of one property, and the labels.

    Args:
        paths: Parquet files in the training layout.
        name: The property.
        most: How many at most, drawn with a fixed seed; None for all.
        max_atoms: The largest; None for all sizes.
    """
    parts = []
    for path in paths:
        rows = pd.read_parquet(path)
        column = name if name in rows.columns else LABEL_COLUMNS.get(name, name)
        if column in rows.columns:
            rows = rows[(rows["split"] == "test") & rows[column].notna()]
            parts.append(rows.assign(label=rows[column].astype(float)))
    if not parts:
        return [], np.zeros(0)
    table = pd.concat(parts, ignore_index=True)
    if max_atoms is not None:
        table = table[table["numbers"].map(len) <= max_atoms]
    if most is not None and len(table) > most:
        table = table.sample(most, random_state=0)
    return [row_structure(row) for row in table.itertuples()], table["label"].to_numpy()
