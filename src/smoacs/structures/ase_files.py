"""Files of the formats that ASE reads, frame by frame."""

import re
import tempfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.structures.poscar import SELECTIVE_DYNAMICS
from smoacs.text import decode

if TYPE_CHECKING:
    import ase

OXIDATION_STATES: Final = "oxidation_states"
"""Name of the column of an extxyz file that holds the oxidation state of each atom."""

_FORMATS: Final = {"json-db": "json"}

_DIGITS: Final = 12
"""A number of atoms or columns has no more."""


def read_ase(path: Path, data: bytes, name: str) -> Iterator[tuple[Structure, list[str]]]:
    """Crystals of a file, in order.

    Args:
        path: Where it is; data bases and trajectories are read there.
        data: What is in it, unpacked.
        name: ASE's name of the format.

    Raises:
        InputError: A frame is no crystal. What ASE raises is not caught.
    """
    import ase.io  # noqa: PLC0415 - slow to import
    from ase.io.formats import ioformats  # noqa: PLC0415 - same

    if name == "res":
        _check_res(decode(data, fallback="latin-1"))
    if name == "extxyz":
        _check_xyz(decode(data, fallback="latin-1"))
    if name == "espresso-in":
        _check_espresso(decode(data, fallback="latin-1"))
    name = _FORMATS.get(name, name)
    kind = ioformats[name]
    if kind.acceptsfd:
        file = BytesIO(data) if kind.isbinary else StringIO(decode(data, fallback="latin-1"))
        yield from _frames(ase.io.iread(file, index=slice(None), format=name))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = path
        packed = path.read_bytes()[:8] != data[:8]
        if packed or name in {"db", "json"}:  # data bases are told apart by the suffix
            place = Path(folder) / f"file.{name}"
            place.write_bytes(data)
        yield from _frames(ase.io.iread(str(place), index=slice(None), format=name))


def _frames(frames: "Iterator[ase.Atoms]") -> Iterator[tuple[Structure, list[str]]]:
    for index, atoms in enumerate(frames):
        notes: list[str] = []
        yield _from_atoms(index, atoms, notes), notes


def _from_atoms(index: int, atoms: "ase.Atoms", notes: list[str]) -> Structure:
    if not atoms.pbc.all() or atoms.cell.volume == 0:
        raise InputError(
            f"frame {index} is not a crystal: it needs a Lattice and periodicity (pbc) "
            "in all three directions"
        )
    structure = Structure(
        atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False)
    )
    if OXIDATION_STATES in atoms.arrays:
        structure.add_oxidation_state_by_site(atoms.arrays[OXIDATION_STATES].tolist())
    if atoms.constraints:
        free = _free_directions(atoms, notes)
        structure.add_site_property(SELECTIVE_DYNAMICS, free.tolist())
    return structure


def _free_directions(atoms: "ase.Atoms", notes: list[str]) -> np.ndarray:
    """Along which lattice vectors each atom may move, [n, 3]."""
    from ase.constraints import FixAtoms, FixCartesian, FixScaled  # noqa: PLC0415 - slow to import

    free = np.ones((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            free[constraint.index] = False
        elif isinstance(constraint, FixScaled):
            free[constraint.index] &= ~np.asarray(constraint.mask, dtype=bool)
        elif isinstance(constraint, FixCartesian):
            mask = np.asarray(constraint.mask, dtype=bool)
            along_axes = np.allclose(atoms.cell.array, np.diag(np.diag(atoms.cell.array)))
            if not along_axes and not mask.all():
                notes.append(
                    "atoms held along x, y or z are held wholly: the cell is not along them"
                )
                mask = np.ones(3, dtype=bool)
            free[constraint.index] &= ~mask
        else:
            notes.append(f"the constraint {type(constraint).__name__} is not kept")
    return free


def _check_xyz(text: str) -> None:
    """Refuse files that promise more than they hold: a reader would go on for ever."""
    lines = text.rstrip().split("\n")
    at = frame = 0
    while at < len(lines):
        words = lines[at].split()
        if len(words) != 1 or not words[0].isdigit() or len(words[0]) > _DIGITS:
            raise InputError(f"line {at + 1} must be the number of atoms of frame {frame}")
        n = int(words[0])
        if n > len(lines) - at - 2:
            raise InputError(
                f"frame {frame} says that it has {n} atoms, and there are {len(lines) - at - 2} "
                "lines for them"
            )
        columns = re.search(r"(?i)\bproperties=\"?([^\s\"]*)", lines[at + 1])
        numbers = re.findall(r":(\d+)", columns[1]) if columns else []
        given = len(lines[at + 2].split()) if n else 0
        if any(len(number) > _DIGITS or int(number) > given for number in numbers if n):
            raise InputError(f"frame {frame} says more columns than its first atom has ({given})")
        at += 2 + n
        frame += 1
        while at < len(lines) and not lines[at].strip():  # lines without anything between frames
            at += 1


def _check_espresso(text: str) -> None:
    """Refuse inputs of Quantum ESPRESSO without a cell, which ASE's reader does not make."""
    found = re.search(r"(?i)\bibrav\s*=\s*(-?\d+)", text)
    if found is not None and int(found[1]):
        raise InputError(
            f"its ibrav is {found[1]}, which is not read; give ibrav = 0 and CELL_PARAMETERS"
        )


def _check_res(text: str) -> None:
    """Refuse SHELX files with symmetry, which ASE's reader leaves out."""
    for line in text.splitlines():
        words = line.upper().split()
        if words[:1] == ["SYMM"] or (
            words[:1] == ["LATT"] and words[1:2] not in ([], ["-1"], ["1"])
        ):
            raise InputError(
                "it is a SHELX file with symmetry, which is not read; give a CIF of it"
            )
        if words[:2] == ["LATT", "1"]:
            raise InputError(
                "it is a SHELX file with an inversion centre, which is not read; give a CIF of it"
            )
