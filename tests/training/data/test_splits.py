import pandas as pd
import pytest

from smoacs.errors import InputError
from smoacs.training.data.splits import assign_splits

SHARES = {"seed": 0, "validation": 0.2, "test": 0.1}


def table(n=2000, **columns):
    return pd.DataFrame({"formula": [f"Na{k}" for k in range(n)], **columns})


def test_by_formula_in_the_wanted_shares():
    split = assign_splits(table(), None, "the file", **SHARES)["split"]
    counts = split.value_counts(normalize=True)
    assert counts["test"] == pytest.approx(0.1, abs=0.02)
    assert counts["val"] == pytest.approx(0.2, abs=0.03)


def test_one_formula_is_in_one_split_whatever_the_table():
    first = assign_splits(table(50), None, "a", **SHARES)
    again = assign_splits(table(20), "formula", "b", **SHARES)
    assert first["split"].tolist()[:20] == again["split"].tolist()
    other = assign_splits(table(50), None, "c", **{**SHARES, "seed": 1})
    assert first["split"].tolist() != other["split"].tolist()


def test_column_of_the_table_goes_first():
    rows = table(3, split=["test", "val", "train"], mine=["train", "train", "val"])
    assert assign_splits(rows, None, "x", **SHARES)["split"].tolist() == ["test", "val", "train"]
    mine = assign_splits(rows, "mine", "x", **SHARES)
    assert mine["split"].tolist() == ["train", "train", "val"]
    by_formula = assign_splits(rows, "formula", "x", **SHARES)
    expected = assign_splits(table(3), None, "x", **SHARES)
    assert by_formula["split"].tolist() == expected["split"].tolist()


def test_mistakes():
    with pytest.raises(InputError, match="the file has no column 'fold'"):
        assign_splits(table(2), "fold", "the file", **SHARES)
    with pytest.raises(InputError, match="must hold train, val, test, not 'valid'"):
        assign_splits(table(2, split=["train", "valid"]), None, "the file", **SHARES)
