"""Structure files of several formats; damaged ones are named."""

import ase
import ase.io
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.structures import read_structure, read_structures, tell_notes

SITES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
CUBIC = Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], SITES)


def frames(count, *, pbc=True):
    return [
        ase.Atoms("SrTiO3", scaled_positions=SITES, cell=[3.9 + i, 3.9, 3.9], pbc=pbc)
        for i in range(count)
    ]


def test_many_formats_and_many_frames(tmp_path):
    CUBIC.to(tmp_path / "one.cif")
    two = (tmp_path / "one.cif").read_text()
    (tmp_path / "two.cif").write_text(two + two.replace("data_SrTiO3", "data_again"))
    CUBIC.to(tmp_path / "POSCAR", fmt="poscar")
    ase.io.write(tmp_path / "three.extxyz", frames(3), format="extxyz")
    files = [tmp_path / name for name in ("two.cif", "POSCAR", "three.extxyz", "one.cif")]
    read = read_structures(files)
    assert [(item.file, item.index) for item in read] == [
        (str(files[0]), 0),
        (str(files[0]), 1),
        (str(files[1]), 0),
        (str(files[2]), 0),
        (str(files[2]), 1),
        (str(files[2]), 2),
        (str(files[3]), 0),
    ]
    assert {item.structure.reduced_formula for item in read} == {"SrTiO3"}
    assert [item.structure.lattice.a for item in read[3:6]] == pytest.approx([3.9, 4.9, 5.9])


def molecule(path):
    ase.io.write(path, frames(2, pbc=False), format="extxyz")


def disordered(path):
    Structure(Lattice.cubic(3.9), [{"Sr": 0.5, "Ba": 0.5}], [[0, 0, 0]]).to(path, fmt="cif")


def truncated(path):
    CUBIC.to(path, fmt="cif")
    path.write_text(path.read_text()[:300])


BAD = {
    "empty": ("a.cif", lambda path: path.write_text(" \n"), "the file is empty"),
    "text": ("a.cif", lambda path: path.write_text("no crystal"), "is not a valid CIF"),
    "truncated": ("a.cif", truncated, r"is not a valid CIF \(line 11"),
    "binary": ("a.cif", lambda path: path.write_bytes(bytes(range(256))), "is not a valid CIF"),
    "unknown format": ("a.txt", lambda path: path.write_text("x"), "cannot be read as a crystal"),
    "damaged extxyz": ("a.extxyz", lambda path: path.write_text("2\nx\nSr 0 0\n"), "2 atoms"),
    "damaged POSCAR": ("POSCAR", lambda path: path.write_text("x\n1\n2\n"), "cannot be read as a"),
    "molecule": ("a.extxyz", molecule, "frame 0 is not a crystal"),
    "disordered": ("a.cif", disordered, "structure 0 has partially occupied sites"),
    "folder": ("a.cif", lambda path: path.mkdir(), "is a folder"),
    "missing": ("a.cif", lambda path: path.touch() or path.unlink(), "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_in_one_line(name, tmp_path):
    file, prepare, message = BAD[name]
    path = tmp_path / file
    prepare(path)
    with pytest.raises(InputError, match=message) as caught:
        read_structures([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


HEAD = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:{columns} pbc="T T T"'


@pytest.mark.parametrize(
    ("count", "columns", "message"),
    [
        ("1000000000", 3, "it has 1000000000 atoms, and there are 1 lines for them"),
        ("9" * 30, 3, "line 1 must be the number of atoms"),
        ("1", 10**9, "more columns than its first atom has"),
    ],
)
def test_a_file_that_promises_more_than_it_holds_is_refused_at_once(
    count, columns, message, tmp_path
):
    path = tmp_path / "x.extxyz"
    path.write_text(f"{count}\n{HEAD.format(columns=columns)}\nNa 0 0 0\n")
    with pytest.raises(InputError, match=message):
        read_structures([path])


def test_what_is_taken_for_granted_is_logged_where_no_command_tells_it(tmp_path, caplog):
    text = "Mg O\n1.0\n0 2.1 2.1\n2.1 0 2.1\n2.1 2.1 0\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    (tmp_path / "POSCAR").write_text(text)
    assert read_structure(tmp_path / "POSCAR").composition.formula == "Mg1 O1"
    read_structure(tmp_path / "POSCAR")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'POSCAR'}: it has no line of elements;")
    caplog.clear()
    tell_notes([f"{tmp_path}/{k}: x" for k in range(9)])
    assert len(caplog.records) == 6
