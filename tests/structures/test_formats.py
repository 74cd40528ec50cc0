"""Formats by content, whatever a file is called; packed or not; in any encoding."""

import bz2
import gzip
import json
import lzma

import ase.io
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.structures import SELECTIVE_DYNAMICS, read_files, read_structures

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.212), ["Mg", "O"], [[0] * 3, [0.5] * 3])
FRAMES = [bulk("MgO", "rocksalt", a=4.212 + k / 10) for k in range(3)]
ESPRESSO = """&control
/
&system
 ibrav=0, nat=2, ntyp=2, ecutwfc=30
/
&electrons
/
ATOMIC_SPECIES
Mg 24.3 Mg.upf
O 16 O.upf
CELL_PARAMETERS angstrom
0 2.106 2.106
2.106 0 2.106
2.106 2.106 0
ATOMIC_POSITIONS crystal
Mg 0 0 0 0 0 0
O 0.5 0.5 0.5
"""
AIMS = """lattice_vector 0 2.106 2.106
lattice_vector 2.106 0 2.106
lattice_vector 2.106 2.106 0
atom_frac 0 0 0 Mg
constrain_relaxation .true.
atom_frac 0.5 0.5 0.5 O
"""


@pytest.mark.parametrize(
    "form", ["traj", "db", "extxyz", "json", "xsf", "vasp", "vasp-xdatcar", "res", "cif"]
)
def test_what_ase_writes_is_known_by_its_content(form, tmp_path):
    many = form in {"traj", "db", "extxyz", "json", "vasp-xdatcar", "cif"}
    frames = FRAMES if many else FRAMES[:1]
    if form == "vasp-xdatcar":  # ASE 3.23 writes the first cell only
        frames = FRAMES[:1] * 3
    ase.io.write(tmp_path / f"x.{form}", frames, format=form)
    (tmp_path / f"x.{form}").rename(tmp_path / "written")
    read = read_structures([tmp_path / "written"])
    assert len(read) == len(frames)
    for item, frame in zip(read, frames, strict=True):
        assert item.structure.composition.reduced_formula == "MgO"
        assert item.structure.volume == pytest.approx(frame.cell.volume, rel=1e-5)
        assert item.structure.get_distance(0, 1) == pytest.approx(
            frame.get_distance(0, 1, mic=True)
        )


@pytest.mark.parametrize("text", [ESPRESSO, AIMS])
def test_inputs_of_programs_with_atoms_that_are_held(text, tmp_path):
    (tmp_path / "input").write_text(text)
    (item,) = read_structures([tmp_path / "input"])
    assert item.structure.volume == pytest.approx(2 * 2.106**3)
    assert item.structure.site_properties[SELECTIVE_DYNAMICS] == [[False] * 3, [True] * 3]


def test_constraints_of_ase(tmp_path):
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.set_constraint([FixAtoms([0]), FixCartesian([1], mask=(True, False, False))])
    ase.io.write(tmp_path / "held.traj", atoms)
    (item,) = read_structures([tmp_path / "held.traj"])
    held = item.structure.site_properties[SELECTIVE_DYNAMICS]
    assert held[:3] == [[False] * 3, [False, True, True], [True] * 3]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(pack, tmp_path):
    ase.io.write(tmp_path / "frames.traj", FRAMES)
    for name, data in (
        ("salt.cif", SALT.to(fmt="cif").encode()),
        ("frames.traj", (tmp_path / "frames.traj").read_bytes()),
    ):
        (tmp_path / "packed").write_bytes(pack(data))
        assert len(read_structures([tmp_path / "packed"])) == (1 if name == "salt.cif" else 3)
    (tmp_path / "damaged").write_bytes(pack(b"x" * 5000)[:-9])
    with pytest.raises(InputError, match="damaged: cannot be read"):
        read_structures([tmp_path / "damaged"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(encoding, end, tmp_path):
    for form in ("cif", "poscar", "json"):
        text = SALT.to(fmt=form).replace("\n", end)
        (tmp_path / "file").write_bytes(text.encode(encoding))
        (item,) = read_structures([tmp_path / "file"])
        assert item.structure.composition.formula == "Mg4 O4"


def test_many_structures_in_a_json_file(tmp_path):
    entry = {"entry_id": "mp-1", "structure": SALT.as_dict()}
    (tmp_path / "a").write_text(json.dumps([SALT.as_dict(), entry]))
    assert len(read_structures([tmp_path / "a"])) == 2
    (tmp_path / "b").write_text(json.dumps({"x": 1}))
    with pytest.raises(InputError, match="item 0 is no structure"):
        read_structures([tmp_path / "b"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2\nmolecule\nMg 0 0 0\nO 0 0 1.7\n", "frame 0 is not a crystal"),
        (ESPRESSO.replace("ibrav=0", "ibrav=2"), "ibrav is 2"),
        ("TITL x\nCELL 0.7 4 4 4 90 90 90\nLATT 4\nSFAC Mg\nMg1 1 0 0 0\n", "SHELX file with symm"),
        ("no crystal at all\n", "cannot be read as a crystal structure"),
    ],
)
def test_one_sentence(text, words, tmp_path):
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError, match=words):
        read_structures([tmp_path / "file"])


def test_a_bad_part_of_a_file_costs_itself_only(tmp_path):
    good = SALT.to(fmt="cif")
    (tmp_path / "a.cif").write_text(good + "data_bad\n_cell_length_a 4\n" + _atoms() + good)
    reading = read_files([tmp_path / "a.cif", tmp_path / "gone.cif"])
    assert [item.index for item in reading.structures] == [0, 2]
    assert len(reading.failures) == 2
    assert "a.cif: block bad: it has no _cell_length_b" in reading.failures[0]
    assert "gone.cif: no such file" in reading.failures[1]


def _atoms():
    tags = "".join(f"_atom_site_{name}\n" for name in ("label", "fract_x", "fract_y", "fract_z"))
    return f"loop_\n{tags}Na 0 0 0\n"
