"""Folders in the id_prop.csv convention."""

import math

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.training.data.id_prop import read_id_prop


@pytest.fixture
def folder(tmp_path):
    """Three crystals; the table is up to the test."""
    for name, symbol in (("one", "Na"), ("two", "K"), ("three", "Li")):
        salt = Structure(Lattice.cubic(3.5), [symbol, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        salt.to(tmp_path / f"{name}.cif")
    return tmp_path


def write(folder, text):
    (folder / "id_prop.csv").write_text(text, encoding="utf-8")
    return folder


def test_without_header_columns_have_numbers(folder):
    write(folder, "one,1.5,-2\ntwo,,-3\n\nthree,2.5,nan\n")
    columns = {"formation_energy": 2, "charm": 1}
    rows = read_id_prop(folder, columns, ("charm", "formation_energy"))
    assert rows["material_id"].tolist() == ["one", "two", "three"]
    assert rows["charm"].tolist()[::2] == [1.5, 2.5]
    assert math.isnan(rows["charm"][1])
    assert rows["formation_energy"].tolist()[:2] == [-2, -3]
    assert rows["numbers"].map(list).tolist() == [[11, 17], [19, 17], [3, 17]]
    assert rows["lattice"][0].tolist() == pytest.approx([3.5, 3.5, 3.5, 90, 90, 90])
    assert rows["formula"].tolist() == ["NaCl", "KCl", "LiCl"]


def test_header_names_columns(folder):
    write(folder, "\ufeffid,band_gap,sigma,split\none,1.5,2e3,train\ntwo,0.5,NaN,test\n")
    rows = read_id_prop(folder, {"charm": "sigma"}, ("band_gap", "charm"))
    assert rows["band_gap"].tolist() == [1.5, 0.5]
    assert rows["charm"][0] == 2000
    assert rows["split"].tolist() == ["train", "test"]
    by_number = read_id_prop(folder, {"charm": 2}, ("charm",))
    assert by_number["charm"][0] == 2000


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", {"charm": 1}, "id_prop.csv is empty"),
        ("one,1\n", {}, r"label column for none of charm.*columns = "),
        ("one,1\n", {"charm": 2}, r"has no value number 2 \(for charm\); it has 1"),
        ("id,x\none,1\n", {"charm": "y"}, r"no column 'y' \(for charm\); it has x"),
        ("one,1\ntwo,many\n", {"charm": 1}, r"line 2: 'many' is no number"),
        ("one,1\ntwo,1,2\n", {"charm": 1}, r"line 2: 3 entries, but 2 in the first line"),
        ("one,1\nfour,2\n", {"charm": 1}, r"four\.cif: no such file"),
    ],
)
def test_mistakes_in_the_table(folder, text, columns, message):
    with pytest.raises(InputError, match=message):
        read_id_prop(write(folder, text), columns, ("charm",))


def test_no_table(tmp_path):
    with pytest.raises(InputError, match=r"has no id_prop\.csv"):
        read_id_prop(tmp_path, {"charm": 1}, ("charm",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"two\.cif: the file is empty"),
        ("data_x\n_cell_length_a 4\n", r"two\.cif"),
        ("\x00\x01\x02", r"two\.cif"),
    ],
)
def test_damaged_cif_is_named(folder, text, message):
    (folder / "two.cif").write_text(text)
    with pytest.raises(InputError, match=message):
        read_id_prop(write(folder, "one,1\ntwo,2\n"), {"charm": 1}, ("charm",))


def test_shared_site_and_unknown_element(folder):
    write(folder, "one,1\ntwo,2\n")
    mixed = Structure(Lattice.cubic(3.5), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    mixed.to(folder / "two.cif")
    with pytest.raises(InputError, match=r"two\.cif: structure 0 has partially occupied sites"):
        read_id_prop(folder, {"charm": 1}, ("charm",))
    text = (folder / "one.cif").read_text().replace("Na", "Xq")
    (folder / "two.cif").write_text(text)
    with pytest.raises(InputError, match=r"two\.cif"):
        read_id_prop(folder, {"charm": 1}, ("charm",))
