import numpy as np
import pytest

from smoacs.errors import InputError
from smoacs.training.layout import check_crystals, label_columns


@pytest.mark.parametrize("column", ["numbers", "frac_coords", "lattice"])
def test_column_missing(rows, column):
    with pytest.raises(InputError, match=rf"the file lacks the column\(s\) {column}"):
        check_crystals(rows.drop(columns=column), "the file")


def test_right_rows_pass(rows):
    check_crystals(rows, "the file")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("numbers", [104, 8], "104 is no atomic number"),
        ("numbers", [0, 8], "0 is no atomic number"),
        ("numbers", [], "no atoms"),
        ("frac_coords", [0.0, 0.0, 0.0], "6 finite numbers"),
        ("frac_coords", [0.0, 0.0, 0.0, 0.5, 0.5, np.nan], "6 finite numbers"),
        ("frac_coords", [0.0, 0.0, 0.0, 0.0, 1.0, 0.0], "one spot"),
        ("lattice", [4.0, 4.0, 4.0, 90.0, 90.0], "six positive numbers"),
        ("lattice", [4.0, 4.0, -4.0, 90.0, 90.0, 90.0], "six positive numbers"),
        ("lattice", [4.0, 4.0, 4.0, 60.0, 60.0, 120.0], "no volume"),
        ("lattice", [4.0, 4.0, 4.0, 30.0, 30.0, 120.0], "no volume"),
    ],
)
def test_rows_that_are_no_crystals(rows, column, value, message):
    row = {
        "numbers": [38, 8],
        "frac_coords": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5],
        "lattice": [4.0, 4.0, 4.0, 90.0, 90.0, 90.0],
    } | {column: value}
    for name, cell in row.items():
        values = rows[name].tolist()
        values[3] = cell
        rows[name] = values
    with pytest.raises(InputError, match=rf"the file, row 3 \(.*\): .*{message}"):
        check_crystals(rows, "the file")


def test_label_columns(rows):
    found = label_columns(rows.columns, ("formation_energy", "band_gap"), {}, "the file")
    assert found == {"formation_energy": "formation_energy_per_atom", "band_gap": "band_gap"}
    chosen = label_columns(rows.columns, ("charm",), {"charm": "energy_above_hull"}, "the file")
    assert chosen == {"charm": "energy_above_hull"}
    with pytest.raises(InputError, match="label column for none of bulk_modulus, charm"):
        label_columns(rows.columns, ("bulk_modulus", "charm"), {}, "the file")
    with pytest.raises(InputError, match="no column 'gap'"):
        label_columns(rows.columns, ("band_gap",), {"band_gap": "gap"}, "the file")
