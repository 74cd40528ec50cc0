"""Which crystals to train on, to validate on and to test on."""

import hashlib

import pandas as pd

from smoacs.errors import InputError

SPLITS = ("train", "val", "test")
COLUMN = "split"
BY_FORMULA = "formula"


def assign_splits(
    rows: pd.DataFrame,
    chosen: str | None,
    origin: str,
    *,
    seed: int,
    validation: float,
    test: float,
) -> pd.DataFrame:
    """The table with its split in the column `split`.

    By formula, all crystals of one reduced formula are in the same split, in every table.

    Args:
        rows: With a column `formula`.
        chosen: A column, or "formula"; None for the column `split` if there is one, else by
            formula.
        origin: Where the table comes from, for errors.
        seed: Of the splits by formula.
        validation: Share of the formulas to validate on.
        test: Share of the formulas to test on.

    Raises:
        InputError: If the column is missing or holds anything but train, val and test.
    """
    if chosen == BY_FORMULA or (chosen is None and COLUMN not in rows.columns):
        values = [_split_of(str(f), seed, validation, test) for f in rows["formula"]]
        return rows.assign(**{COLUMN: values})
    column = chosen or COLUMN
    if column not in rows.columns:
        raise InputError(f"{origin} has no column {column!r} to split by")
    wrong = rows.loc[~rows[column].isin(SPLITS), column]
    if len(wrong):
        raise InputError(
            f"{origin}: the column {column!r} must hold {', '.join(SPLITS)}, not {wrong.iloc[0]!r}"
        )
    return rows.assign(**{COLUMN: rows[column].astype(str)})


def _split_of(formula: str, seed: int, validation: float, test: float) -> str:
    digest = hashlib.blake2b(f"{seed}:{formula}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < test:
        return "test"
    return "val" if place < test + validation else "train"
