import subprocess
import sys

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.checking.records import open_records, record_key
from smoacs.errors import InputError


def test_what_was_kept_comes_back(tmp_path):
    path = tmp_path / "findings.jsonl"
    with open_records(path) as file:
        file.append("a", {"x": 1})
        file.append("a", {"x": 2})
        file.append("b", {"x": None})
    with open_records(path) as file:
        assert file.records == {"a": {"x": 2}, "b": {"x": None}}


def test_half_a_line_of_a_killed_writer_is_cut_off(tmp_path):
    path = tmp_path / "findings.jsonl"
    path.write_text('{"key": "a", "x": 1}\n{"key": "b", "x"')
    with open_records(path) as file:
        assert file.records == {"a": {"x": 1}}
        file.append("c", {"x": 3})
    with open_records(path) as file:
        assert set(file.records) == {"a", "c"}


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "findings.jsonl"
    code = (
        "import fcntl, os, sys\n"
        f"d = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(d, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"), open_records(path):
            pass
        other.communicate("")


def test_a_line_that_is_no_finding(tmp_path):
    path = tmp_path / "findings.jsonl"
    path.write_text("[1]\n")
    with pytest.raises(InputError, match="line 1 is no finding"), open_records(path):
        pass


def test_keys_tell_crystals_and_settings_apart():
    one = Structure(Lattice.cubic(3), ["Na+"], [[0, 0, 0]])
    bare = Structure(Lattice.cubic(3), ["Na"], [[0, 0, 0]])
    other = Structure(Lattice.cubic(3.001), ["Na"], [[0, 0, 0]])
    keys = {record_key(s, {"fmax": f}) for s in (one, bare, other) for f in (0.05, 0.1)}
    assert len(keys) == 4
