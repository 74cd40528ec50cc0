"""What was found, kept line by line: a killed check goes on where it was."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from pymatgen.core import Structure

from smoacs.errors import InputError, ResourceError
from smoacs.judging import symbol

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_DIGITS: Final = 6

Record = dict[str, Any]
"""Plain data, as JSON knows it."""


def record_key(structure: Structure, settings: Mapping[str, object]) -> str:
    """Name of a finding: the same for the same crystal and the same settings of the check."""
    content = {
        "symbols": [symbol(species) for species in structure.species],
        "lattice": np.round(structure.lattice.matrix, _DIGITS).tolist(),
        "frac_coords": np.round(structure.frac_coords, _DIGITS).tolist(),
        "settings": dict(settings),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


class RecordFile:
    """Append-only file, a line of JSON for each finding, on the disk before `append` returns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `open_records`."""
        self._path = path
        self._descriptor = descriptor
        self.records = _read(path)

    def append(self, key: str, record: Record) -> None:
        """Keep a finding.

        Raises:
            ResourceError: The disk is full.
        """
        line = memoryview(f"{json.dumps({'key': key, **record}, sort_keys=True)}\n".encode())
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ResourceError(
                f"{self._path}: the disk is full; all findings before this one are kept"
            ) from error
        self.records[key] = record


@contextmanager
def open_records(path: str | Path) -> Iterator[RecordFile]:
    """Open a file of findings for one writer, and cut off what a killed one left unfinished.

    Raises:
        InputError: Another process has it open, or a line is no finding.
    """
    path = Path(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path}: another process is checking this run") from error
        os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
        yield RecordFile(path, descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
            records[record.pop("key")] = record
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: line {number} is no finding; remove the line") from error
    return records
