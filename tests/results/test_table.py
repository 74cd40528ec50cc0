"""Tables as CSV: what is written is what is read."""

import numpy as np
import pandas as pd
import pytest

from smoacs.errors import InputError
from smoacs.results import cell_text, csv_text, kind_of, read_cells, read_table


def read(tmp_path, text, needed=()):
    file = tmp_path / "results.csv"
    file.write_text(text, encoding="utf-8")
    return read_table(file, needed)


def test_what_is_written_comes_back(tmp_path):
    table = pd.DataFrame(
        {
            "id": ["0001", "0002"],
            "success": [True, False],
            "formula": ["NaN", 'Na, "quoted"'],
            "n_atoms": [5, 10],
            "band_gap": [1.25, np.nan],
            "space_group": ["", "P1"],
            "remark": ["yes", ""],
        }
    )
    texts = ["id", "formula", "space_group", "remark"]
    table = table.astype(dict.fromkeys(texts, object))
    found = read(tmp_path, csv_text(table), ["id", "success"])
    pd.testing.assert_frame_equal(found, table)
    cells = read_cells(tmp_path / "results.csv")
    assert (
        cells["band_gap"].tolist() == [cell_text(v) for v in table["band_gap"]] == ["1.250000", ""]
    )


def test_columns_are_read_by_what_they_are(tmp_path):
    text = "id,confirmed,relaxed_steps,x,y,z,w\n1,True,3,nan,1,True,\n2,,,inf,much,,\n"
    found = read(tmp_path, text)
    assert found["id"].tolist() == ["1", "2"]
    assert found["confirmed"].tolist() == [True, None]
    assert found["relaxed_steps"].tolist() == pytest.approx([3, np.nan], nan_ok=True)
    assert [kind_of(found[name]) for name in "xyzw"] == ["number", "text", "flag", "text"]
    assert kind_of(found["relaxed_steps"]) == "integer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,success\n1\n", "row 2 has 1 cells, and its head 2"),
        ("id,id,success\n1,1,True\n", "two columns 'id'"),
        ("id\n1\n", "no column 'success'"),
        ("id,success\n1,\n", "success is not True or False in every row"),
        ("id,success\n1,yes\n", "success is not True or False in every row, but 'yes'"),
        ("id,success,band_gap\n1,True,wide\n", "band_gap is 'wide', which is no number"),
        ('id,success\n"1\n', "cannot be read as a table"),
    ],
)
def test_damaged_tables_are_one_sentence(text, message, tmp_path):
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path, text, ["id", "success"])
    assert "results.csv" in str(raised.value)


def test_no_text_at_all(tmp_path):
    (tmp_path / "results.csv").write_bytes(b"id,\xff\n")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_table(tmp_path / "results.csv")
