"""What tells a run directory from all other folders, and its files from a user's.

The hidden file `.smoacs-run` lists the files that a design has written. Only a folder with it is
replaced, and only if all that is in it is on that list or of a check or a report of this run.
"""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Final

from smoacs.errors import InputError
from smoacs.files import is_workspace

MARKER: Final = ".smoacs-run"

CHECKS_FOLDER: Final = "checks"
"""Folder of a run directory that keeps the findings of its checks."""

_FINDINGS: Final = ("relaxation.jsonl", "rattled.jsonl", "phonons.jsonl", "dft_*.jsonl")
_JOINING: Final = (
    MARKER,
    "relaxed.extxyz",
    "rattled.extxyz",
    "report.html",
    *(f"{CHECKS_FOLDER}/{name}" for name in _FINDINGS),
    *(f"{CHECKS_FOLDER}/.{name}.lock" for name in _FINDINGS),
)
"""Files that checks and reports add to a run."""


def mark_run(folder: Path) -> None:
    """Write the marker of a run whose files are all there."""
    content = {"smoacs": version("smoacs"), "files": sorted(_entries(folder))}
    (folder / MARKER).write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def is_run(folder: Path) -> bool:
    """Whether a folder has the marker."""
    return (folder / MARKER).is_file()


def foreign_entries(folder: Path) -> list[str]:
    """Files and folders inside a run directory that no design, check or report has written.

    Raises:
        InputError: The marker is damaged.
    """
    file = folder / MARKER
    try:
        ours = set(json.loads(file.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file}: is damaged; move the folder away yourself") from error
    return sorted(
        name
        for name in _entries(folder)
        if name not in ours and not any(fnmatchcase(name, pattern) for pattern in _JOINING)
    )


def _entries(folder: Path) -> Iterator[str]:
    """Paths, relative to a folder, of all files in it, and of its folders that hold nothing."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_workspace(Path(name))]
        here = Path(place)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *links):
            yield (here / name).relative_to(folder).as_posix()
        empty = not (files or folders) and here != folder
        if empty and here != folder / CHECKS_FOLDER:
            yield here.relative_to(folder).as_posix()
