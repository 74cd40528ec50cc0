"""Labels: what a calculation gave, or why it gave nothing; and the file that keeps them."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from smoacs.dft.calculation import DftValues
from smoacs.errors import InputError, ResourceError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

Limit = Literal["time", "memory"]


@dataclass(frozen=True, kw_only=True)
class DftLabel:
    """The outcome of one calculation.

    Attributes:
        key: `Calculation.key`.
        settings: `DftSettings.key`.
        results: What came out; None if nothing did.
        failure: Why nothing did; empty otherwise.
        limit: The limit that ended it, if one did: then a larger one may help.
        limit_value: That limit (CPU seconds or GiB).
        seconds: CPU time of the calculation's process.
    """

    key: str
    settings: str
    results: DftValues | None
    failure: str = ""
    limit: Limit | None = None
    limit_value: float = 0.0
    seconds: float = 0.0

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The label of a parsed line of JSON."""
        results = data["results"]
        return cls(**{**data, "results": None if results is None else DftValues.from_dict(results)})


def read_labels(path: str | Path) -> dict[str, DftLabel]:
    """Labels of a file by calculation; the last one of each. A line cut off at the end is skipped.

    Raises:
        InputError: A line is no label.
    """
    path = Path(path)
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]  # after the last newline: nothing, or half a line
    labels: dict[str, DftLabel] = {}
    for number, line in enumerate(lines, start=1):
        try:
            label = DftLabel.from_dict(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: line {number} is no DFT label; remove the line") from error
        labels[label.key] = label
    return labels


class LabelFile:
    """Append-only file of labels, one line each, written to disk before `append` returns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `open_labels`."""
        self._path = path
        self._descriptor = descriptor
        self.labels = read_labels(path)

    def append(self, label: DftLabel) -> None:
        """Keep a label.

        Raises:
            ResourceError: The disk is full.
        """
        try:
            line = memoryview(f"{label.to_json()}\n".encode())
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ResourceError(
                f"{self._path}: the disk is full; all labels before this one are kept"
            ) from error
        self.labels[label.key] = label


@contextmanager
def open_labels(path: str | Path) -> Iterator[LabelFile]:
    """Open a file of labels for one writer, and cut off what a killed one left unfinished.

    Raises:
        InputError: Another process has it open, its folder is missing, or a line is no label.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it: mkdir -p {path.parent}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path}: another process is labelling into this file") from error
        os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
        yield LabelFile(path, descriptor)
    finally:
        os.close(descriptor)
