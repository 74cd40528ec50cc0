"""Which format a file has, by what is in it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smoacs.errors import InputError
from smoacs.text import decode

FORMATS: Final = {
    "cif": "cif",
    "mmcif": "cif",
    "mcif": "cif",
    "poscar": "poscar",
    "vasp": "poscar",
    "contcar": "poscar",
    "json": "json",
    "cssr": "cssr",
    "xyz": "extxyz",
    "qe": "espresso-in",
}
"""What users call a format -> its name here; all others are ASE's."""

KNOWN: Final = (
    "CIF, mmCIF, POSCAR, extxyz, JSON, and what ASE reads (traj, db, espresso-in, aims, ...)"
)

_MAGIC: Final = ((b"SQLite format 3\0", "db"), (b"- of Ulm", "traj"))


def recognise(data: bytes, path: Path) -> str:
    """Name of the format of a file: `cif`, `poscar`, `json`, `cssr`, or one of ASE's.

    Args:
        data: What is in the file, unpacked.
        path: Its name counts only where the content says nothing.

    Raises:
        InputError: It is none that is known.
    """
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    text = decode(data, fallback="latin-1")
    lines = text.split("\n", 12)
    for name, fits in _TESTS:
        if fits(text, lines):
            return name
    if path.name.lower().removesuffix(".gz").endswith(".cssr"):
        return "cssr"
    found = _by_ase(path)
    if found is None:
        raise InputError(
            f"cannot be read as a crystal structure: {KNOWN} are recognised by their content "
            "(--format forces one)"
        )
    return found


def named_format(name: str) -> str:
    """The format of a name that a user gave.

    Raises:
        InputError: There is none of that name.
    """
    from ase.io.formats import ioformats  # noqa: PLC0415 - slow to import

    key = name.strip().lower()
    key = FORMATS.get(key, key)
    if key not in FORMATS.values() and not (key in ioformats and ioformats[key].can_read):
        raise InputError(f"there is no format {name!r}; {KNOWN} are read")
    return key


def _by_ase(path: Path) -> str | None:
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats  # noqa: PLC0415 - same

    try:
        name = filetype(str(path), read=True, guess=False)
    except (UnknownFileTypeError, OSError, ValueError):
        return None
    return name if name in ioformats and ioformats[name].can_read else None


def _is_cif(text: str, _: list[str]) -> bool:
    tag = re.search(r"(?m)^\s*_[A-Za-z]\S*", text)
    return tag is not None and bool(re.search(r"(?im)^\s*(data_|loop_|_cell[._]length_a)", text))


def _is_json(text: str, _: list[str]) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_ase_json(text: str, lines: list[str]) -> bool:
    return _is_json(text, lines) and '"nextid"' in text


def _is_xyz(_: str, lines: list[str]) -> bool:
    return len(lines) > 1 and lines[0].strip().isdigit() and not _is_numbers(lines[1], 1)


def _is_xdatcar(text: str, lines: list[str]) -> bool:
    return _is_poscar(text, lines) and "configuration=" in text


def _is_poscar(_: str, lines: list[str]) -> bool:
    return (
        len(lines) > 6  # noqa: PLR2004 - title, scale, cell, counts, a word
        and any(_is_numbers(lines[1], n, exactly=True) for n in (1, 3))
        and all(_is_numbers(line, 3) for line in lines[2:5])
    )


def _is_numbers(line: str, n: int, *, exactly: bool = False) -> bool:
    """Whether a line begins with n numbers, or has no more."""
    words = re.split(r"[!#]", line, maxsplit=1)[0].split()
    try:
        [float(word) for word in words[:n]]
    except ValueError:
        return False
    return len(words) == n if exactly else len(words) >= n


def _contains(*patterns: str) -> Callable[[str, list[str]], bool]:
    return lambda text, _: all(re.search(f"(?im){pattern}", text) for pattern in patterns)


_TESTS: Final[tuple[tuple[str, Callable[[str, list[str]], bool]], ...]] = (
    ("json-db", _is_ase_json),
    ("json", _is_json),
    ("vasp-xdatcar", _is_xdatcar),
    ("poscar", _is_poscar),
    ("extxyz", _is_xyz),
    ("espresso-in", _contains(r"^\s*&system", r"^\s*atomic_positions")),
    ("espresso-out", _contains(r"program pwscf")),
    ("aims", _contains(r"^\s*lattice_vector\s", r"^\s*atom(_frac)?\s")),
    ("vasp-xml", _contains(r"<modeling>")),
    ("castep-cell", _contains(r"^\s*%block\s+lattice_")),
    ("xsf", _contains(r"^\s*primvec\s*$", r"^\s*primcoord")),
    ("res", _contains(r"^\s*cell\s+[\d.]+\s+[\d.]+", r"^\s*sfac\s")),
    ("cif", _is_cif),
)
