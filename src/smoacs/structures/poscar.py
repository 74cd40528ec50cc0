"""POSCAR and CONTCAR files, by pymatgen, with what it would guess made sure of before."""

import re
from typing import Final

import numpy as np
from pymatgen.core import Element, Structure

from smoacs.errors import InputError

SELECTIVE_DYNAMICS: Final = "selective_dynamics"
"""pymatgen's name of the site property that says along which lattice vectors an atom may move."""

_HEAD: Final = 5
"""Lines before the elements: title, scale, three lattice vectors."""


def read_poscar(text: str) -> tuple[Structure, list[str]]:
    """The crystal of a POSCAR, with `selective_dynamics` as a site property if it has them.

    Raises:
        InputError: Its elements are not said, or its lines are not those of a POSCAR.
    """
    from pymatgen.io.vasp.inputs import Poscar  # noqa: PLC0415 - slow to import

    lines = text.rstrip().split("\n")
    notes: list[str] = []
    names, counts, start = _species(lines)
    if names is None:
        names = _names_elsewhere(lines, counts, start, notes)
        lines.insert(_HEAD, " ".join(names))
        start += 1
    if len(names) != len(counts):
        raise InputError(
            f"it has {len(names)} element symbols ({' '.join(names)}) and {len(counts)} numbers of "
            "atoms; they must be as many"
        )
    for name in names:
        if not Element.is_valid_symbol(name):
            raise InputError(f"{name!r} in its line of elements is no element")
    lines[_HEAD:start] = [" ".join(names), " ".join(map(str, counts))]
    _check_positions(lines, sum(counts))
    lines[1:_HEAD] = _scaled(lines)
    structure = Poscar.from_str("\n".join(lines), read_velocities=False).structure
    flags = structure.site_properties.get(SELECTIVE_DYNAMICS)
    if flags is not None:
        structure.add_site_property(SELECTIVE_DYNAMICS, np.array(flags, dtype=bool).tolist())
    return structure, notes


def _species(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Symbols (None in the format of VASP 4), numbers of atoms, and the line after them."""
    names: list[str] = []
    at = _HEAD
    while at < len(lines) and not _are_counts(lines[at]) and at < 2 * _HEAD + 1:
        names += [re.split(r"[/_.]", word)[0].capitalize() for word in _words(lines[at])]
        at += 1
    first = at
    counts: list[int] = []
    while at < len(lines) and _are_counts(lines[at]) and at - first < max(1, first - _HEAD):
        counts += [int(word) for word in _words(lines[at])]
        at += 1
    if not counts:
        raise InputError("it has no line with the numbers of atoms")
    return names or None, counts, at


def _words(line: str) -> list[str]:
    return re.split(r"[!#]", line)[0].split()


def _are_counts(line: str) -> bool:
    words = _words(line)
    return bool(words) and all(word.isdigit() for word in words)


def _names_elsewhere(
    lines: list[str], counts: list[int], start: int, notes: list[str]
) -> list[str]:
    """Elements of a file of VASP 4: beside the positions, or as the title.

    Raises:
        InputError: They are in neither place.
    """
    begin = start + (2 if lines[start : start + 1] and lines[start].strip()[:1] in "sS" else 1)
    last = [_words(line)[-1:] for line in lines[begin : begin + sum(counts)]]
    beside = [words[0] for words in last if words and Element.is_valid_symbol(words[0])]
    flags = begin - start > 1 and set(beside) <= {"F"}  # selective dynamics, not fluorine
    if len(beside) == sum(counts) and not flags:
        ends = np.cumsum(counts)
        kinds = [set(beside[end - n : end]) for n, end in zip(counts, ends, strict=True)]
        if all(len(kind) == 1 for kind in kinds):
            notes.append("its elements are those beside the positions")
            return [kind.pop() for kind in kinds]
    title = _words(lines[0])
    if len(title) == len(counts) and all(Element.is_valid_symbol(word) for word in title):
        notes.append(
            f"it has no line of elements; those of its title were taken ({' '.join(title)})"
        )
        return title
    raise InputError(
        "it has no line of elements (the format of VASP 4); add one above the numbers of atoms, "
        "such as 'Mg O'"
    )


def _check_positions(lines: list[str], n_atoms: int) -> None:
    at = _HEAD + 2
    if at < len(lines) and lines[at].strip()[:1] in {"s", "S"}:
        at += 1
    words = lines[at].split() if at < len(lines) else []
    if not words or words[0][0] not in "dDcCkK":
        raise InputError(
            f"line {at + 1} must say Direct or Cartesian; it is {' '.join(words)!r}"
            if words
            else "it has no positions"
        )
    rows = lines[at + 1 :]
    given = 0
    while given < len(rows) and _is_position(rows[given]):
        given += 1
    if given < n_atoms or (given > n_atoms and "Lattice" not in rows[n_atoms]):
        raise InputError(f"it has {given} positions for {n_atoms} atoms")


def _is_position(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()[:3]]) == 3  # noqa: PLR2004
    except ValueError:
        return False


def _scaled(lines: list[str]) -> list[str]:
    """Scale and lattice vectors with one positive scale, as a negative one is the volume.

    Raises:
        InputError: They are no numbers, or three scales.
    """
    try:
        scales = [float(word) for word in _words(lines[1])]
        cell = np.array([[float(w) for w in line.split()[:3]] for line in lines[2:_HEAD]])
    except ValueError as error:
        raise InputError(f"its scale or lattice vectors are no numbers ({error})") from error
    volume = abs(np.linalg.det(cell)) if cell.shape == (3, 3) else 0.0
    if len(scales) == 3 and all(scale == scales[0] > 0 for scale in scales):  # noqa: PLR2004
        scales = scales[:1]
    if len(scales) != 1 or scales[0] == 0:
        raise InputError("its second line must be one scale, not 0 (three are not read)")
    if not volume:
        raise InputError("its lattice vectors enclose no volume")
    scale = scales[0] if scales[0] > 0 else (-scales[0] / volume) ** (1 / 3)
    return [repr(float(scale)), *lines[2:_HEAD]]
