"""What can be wrong with labels: two values for one id, another unit, rows without any."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from smoacs.errors import InputError
from smoacs.predictors.properties import PROPERTIES
from smoacs.training.layout import RELAXED

log = logging.getLogger(__name__)

_MOST_NAMED = 5
_SHARE = 0.05
"""Share of labels beyond what a property can be that is no longer a few outliers."""

_SAME = 1e-6
"""Labels of one id that differ by less are one value, written twice."""


def without_doubles(rows: pd.DataFrame, properties: Sequence[str], origin: str) -> pd.DataFrame:
    """The table without rows that repeat the id and the labels of another one.

    Only crystals at rest are looked at: of others there may be many by one id.

    Raises:
        InputError: An id has two different values of a property.
    """
    if "material_id" not in rows.columns:
        return rows
    at_rest = rows.get("kind", pd.Series(RELAXED, rows.index)) == RELAXED
    again = at_rest & rows["material_id"].duplicated(keep=False)
    if not again.any():
        return rows
    names = [name for name in properties if name in rows.columns]
    for identity, group in rows[again].groupby("material_id", sort=False):
        for name in names:
            values = group[name].dropna().to_numpy(dtype=float)
            if len(values) > 1 and np.ptp(values) > _SAME:
                raise InputError(
                    f"{origin}: {identity} has two values of {name}, {values[0]:g} and "
                    f"{values[np.abs(values - values[0]).argmax()]:g}; keep one row of it"
                )
    double = at_rest & rows.duplicated(["material_id", *names])
    if double.any():
        note_dropped(
            rows.loc[double, "material_id"], "as another row has the same id and labels", origin
        )
    return rows[~double]


def warn_of_units(rows: pd.DataFrame, properties: Sequence[str], origin: str) -> None:
    """Say so if labels are far beyond what their property can be in its unit."""
    for name in properties:
        info = PROPERTIES.get(name)
        if info is None or info.largest is None or name not in rows.columns:
            continue
        values = rows[name].to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        beyond = np.abs(known) > info.largest
        if len(known) and beyond.mean() > _SHARE:
            log.warning(
                "%s: %.0f %% of the labels of %s are beyond %g %s, the median is %g: are they in "
                "another unit? They are taken as %s",
                *(origin, 100 * beyond.mean(), name, info.largest, info.unit),
                *(float(np.median(known)), info.unit),
            )


def note_dropped(names: Iterable[object], why: str, origin: str) -> None:
    """Count and name rows that are left out."""
    every = list(map(str, names))
    if every:
        more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
        named = ", ".join(every[:_MOST_NAMED]) + more
        rows = "row is" if len(every) == 1 else "rows are"
        log.warning("%s: %d %s left out, %s: %s", origin, len(every), rows, why, named)
