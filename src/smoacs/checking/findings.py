"""What was found, kept line by line: a killed check goes on where it was."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
from pymatgen.core import Structure

from smoacs.files import RecordFile, open_records
from smoacs.structures import symbols

_DIGITS: Final = 6

Record = dict[str, Any]
"""Plain data, as JSON knows it."""


def record_key(structure: Structure, settings: Mapping[str, object]) -> str:
    """Name of a finding: the same for the same crystal and the same settings of the check."""
    content = {
        "symbols": symbols(structure),
        "lattice": np.round(structure.lattice.matrix, _DIGITS).tolist(),
        "frac_coords": np.round(structure.frac_coords, _DIGITS).tolist(),
        "settings": dict(settings),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def open_findings(path: str | Path) -> AbstractContextManager[RecordFile[Record]]:
    """Open a file of findings; see `smoacs.files.open_records`."""
    return open_records(path, _without_key, dict)


def _without_key(entry: Record) -> Record:
    return {name: value for name, value in entry.items() if name != "key"}
