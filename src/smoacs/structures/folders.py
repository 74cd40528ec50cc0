"""The structure files of a folder, among other files."""

from pathlib import Path
from typing import Final

from smoacs.errors import InputError
from smoacs.structures.reading import read_files

FRAME_SUFFIXES: Final = (".extxyz", ".xyz", ".traj", ".db")
"""Files that hold many crystals."""

_SUFFIXES: Final = (
    *(".cif", ".mcif", ".mmcif", ".vasp", ".poscar", ".contcar", ".cssr", ".res", ".xsf", ".json"),
    *(".in", ".pwi", ".cell"),
)
_PACKED: Final = ("gz", "bz2", "xz")


def structure_files(folder: Path) -> list[Path]:
    """Files of a folder that are read.

    That is those with a suffix of a structure file, packed or not, POSCAR* and CONTCAR*, and those
    without a suffix whose content is that of a structure file.

    Raises:
        InputError: The folder cannot be read, or holds none.
    """
    try:
        files = sorted(file for file in folder.iterdir() if _is_structure_file(file))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    if not files:
        raise InputError(f"{folder}: the folder holds no structure file (CIF, POSCAR, extxyz, ...)")
    return files


def suffix_of(path: Path) -> str:
    """Suffix in lower case, below that of a packed file."""
    names = path.name.lower().split(".")
    while names[-1] in _PACKED and len(names) > 1:
        names.pop()
    return f".{names[-1]}" if len(names) > 1 else ""


def _is_structure_file(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    suffix = suffix_of(path)
    if suffix in _SUFFIXES + FRAME_SUFFIXES or path.name.startswith(("POSCAR", "CONTCAR")):
        return True
    return not suffix and path.is_file() and not read_files([path]).failures
