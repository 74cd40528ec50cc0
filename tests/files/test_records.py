"""Findings kept line by line."""

import errno
import os

import pytest

from smoacs.errors import InputError, ResourceError
from smoacs.files import open_records, read_records


def records(path):
    return open_records(path, dict, lambda found: {k: v for k, v in found.items() if k != "key"})


def test_what_was_kept_comes_back(tmp_path):
    path = tmp_path / "findings.jsonl"
    with records(path) as file:
        file.append("a", {"x": 1})
        file.append("a", {"x": 2})
        file.append("b", {"x": None})
        assert file.records == {"a": {"x": 2}, "b": {"x": None}}
    expected = {"a": {"key": "a", "x": 2}, "b": {"key": "b", "x": None}}
    assert read_records(path, dict, what="finding") == expected
    with records(path) as file:
        assert file.records == expected
    assert [p.name for p in tmp_path.iterdir()] == ["findings.jsonl"]


def test_half_a_line_of_a_killed_writer_is_skipped_and_cut_off(tmp_path):
    path = tmp_path / "findings.jsonl"
    path.write_text('{"key": "a", "x": 1}\n{"key": "b", "x"')
    assert set(read_records(path, dict, what="finding")) == {"a"}
    with records(path) as file:
        assert set(file.records) == {"a"}
        file.append("c", {"x": 3})
    assert path.read_text() == '{"key": "a", "x": 1}\n{"key": "c", "x": 3}\n'


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "findings.jsonl"
    with records(path), pytest.raises(InputError, match="another process"), records(path):
        pass


@pytest.mark.parametrize("line", ["[1]", "{}", "x", '"key"', "\udcff"])
def test_a_line_that_is_none(line, tmp_path):
    path = tmp_path / "findings.jsonl"
    path.write_text(f'{{"key": "a"}}\n{line}\n{{"key": "b"}}\n', errors="surrogateescape")
    with pytest.raises(InputError, match="line 2 is no finding"), records(path):
        pass
    with pytest.raises(InputError, match="line 2 is no label"):
        read_records(path, dict, what="label")


def test_no_folder_and_no_file(tmp_path):
    with pytest.raises(InputError, match="mkdir -p"), records(tmp_path / "none" / "x.jsonl"):
        pass
    assert read_records(tmp_path / "none.jsonl", dict, what="finding") == {}


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    path = tmp_path / "findings.jsonl"
    with records(path) as file:
        file.append("a", {})

        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match="all findings before this one are kept"):
            file.append("b", {})
        assert file.records == {"a": {}}
