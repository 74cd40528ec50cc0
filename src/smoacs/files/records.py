"""Findings kept line by line, as JSON: a killed work goes on where it was."""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from smoacs.errors import InputError, ResourceError
from smoacs.files.locks import locked
from smoacs.files.whole import is_disk_full, why_full

T = TypeVar("T")
"""A finding."""


def read_records(
    path: str | Path, decode: Callable[[dict[str, Any]], T], *, what: str
) -> dict[str, T]:
    """Findings of a file by their key, the last one of each; none if there is no file.

    A last line without its end, as a kill leaves it, is skipped.

    Args:
        path: The file.
        decode: Makes a finding of a parsed line, a dictionary that has the entry `key`.
        what: What a finding is called.

    Raises:
        InputError: A line is none.
    """
    path = Path(path)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    records: dict[str, T] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            records[entry["key"]] = decode(entry)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: line {number} is no {what}; remove the line") from error
    return records


class RecordFile(Generic[T]):
    """Append-only file, a line for each finding, on the disk before `append` returns."""

    def __init__(
        self, path: Path, records: dict[str, T], encode: Callable[[T], Mapping[str, Any]]
    ) -> None:
        """Use `open_records`."""
        self._path = path
        self._encode = encode
        self.records = records

    def append(self, key: str, record: T) -> None:
        """Keep a finding.

        Raises:
            ResourceError: The disk is full.
        """
        line = f"{json.dumps({'key': key, **self._encode(record)}, sort_keys=True)}\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise ResourceError(
                f"{self._path}: {why_full(error)}; all findings before this one are kept"
            ) from error
        self.records[key] = record


@contextmanager
def open_records(
    path: str | Path,
    decode: Callable[[dict[str, Any]], T],
    encode: Callable[[T], Mapping[str, Any]],
    *,
    what: str = "finding",
) -> Iterator[RecordFile[T]]:
    """Open a file of findings for one writer, and cut off what a killed one left unfinished.

    Args:
        path: The file, made if it does not exist.
        decode: See `read_records`.
        encode: Makes plain data of a finding, as JSON knows it.
        what: What a finding is called.

    Raises:
        InputError: Another process has it open, its folder is missing, or a line is no finding.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: its folder does not exist; make it: mkdir -p {shlex.quote(str(path.parent))}"
        )
    refusal = f"{path}: another process is writing to it; wait for its end"
    with locked(path.with_name(f".{path.name}.lock"), refusal):
        path.touch()
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        yield RecordFile(path, read_records(path, decode, what=what), encode)
