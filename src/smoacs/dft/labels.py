"""Labels: what a calculation gave, or why it gave nothing; and the file that keeps them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from smoacs.dft.calculation import DftValues
from smoacs.files import RecordFile, open_records, read_records

_WHAT: Final = "DFT label"

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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The label of a parsed line of JSON."""
        results = data["results"]
        return cls(**{**data, "results": None if results is None else DftValues.from_dict(results)})


LabelFile = RecordFile[DftLabel]
"""A file that labels are added to, each under its key."""


def read_labels(path: str | Path) -> dict[str, DftLabel]:
    """Labels of a file by calculation; the last one of each. A line cut off at the end is skipped.

    Raises:
        InputError: A line is no label.
    """
    return read_records(path, DftLabel.from_dict, what=_WHAT)


def open_labels(path: str | Path) -> AbstractContextManager[LabelFile]:
    """Open a file of labels for one writer, and cut off what a killed one left unfinished.

    Raises:
        InputError: Another process has it open, its folder is missing, or a line is no label.
    """
    return open_records(path, DftLabel.from_dict, asdict, what=_WHAT)
