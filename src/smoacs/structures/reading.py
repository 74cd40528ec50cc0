"""Structure files of many formats: each crystal read as it is, or refused with one sentence."""

import logging
import shlex
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.structures.ase_files import read_ase
from smoacs.structures.cif import blocks_of, crystal_of
from smoacs.structures.formats import named_format, recognise
from smoacs.structures.json_files import read_json
from smoacs.structures.poscar import read_poscar
from smoacs.text import decode, read_bytes

log = logging.getLogger(__name__)

_MOST_NOTES: Final = 5

_QUIET: Final = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)
"""Warnings to programmers."""

Parsed = tuple[Structure, list[str]] | InputError
"""A structure with its notes, or why there is none."""


@dataclass(frozen=True)
class NamedStructure:
    """A structure and where it came from.

    Attributes:
        file: Path as the user gave it.
        index: Number of the structure within the file, from 0.
        structure: The crystal; its site property `selective_dynamics` says what is held.
        notes: What the reader took for granted, in sentences.
    """

    file: str
    index: int
    structure: Structure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What came out of some files.

    Attributes:
        structures: All that could be read, in order.
        failures: A sentence, with the file, for each file or part of one that could not.
    """

    structures: list[NamedStructure]
    failures: list[str]

    @property
    def notes(self) -> list[str]:
        """What users should know, each with its file, once."""
        found = [f"{item.file}: {note}" for item in self.structures for note in item.notes]
        return list(dict.fromkeys(found))


def read_files(
    files: Iterable[str | Path], *, form: str | None = None, ordered: bool = True
) -> Reading:
    """Read all structures of all files, in order; what cannot be read costs itself only.

    Formats are told by content: CIF and mmCIF (any number of blocks), POSCAR, extxyz (any number of
    frames), JSON of pymatgen, and those of ASE, such as trajectories, data bases and inputs of
    Quantum ESPRESSO and FHI-aims; plain or packed by gzip, bzip2 or xz. Cells are kept as they are
    in the file.

    Args:
        files: Their paths.
        form: Name of their format, where the content is not to decide.
        ordered: Whether partially occupied sites are refused.

    Raises:
        InputError: There is no such format.
    """
    chosen = None if form is None else named_format(form)
    reading = Reading([], [])
    for file in files:
        index = 0
        try:
            for index, parsed in enumerate(_parse(Path(file), chosen)):
                problem = parsed if isinstance(parsed, InputError) else None
                if not isinstance(parsed, InputError):
                    problem = _problem(
                        parsed[0],
                        index,
                        f": smoacs order {shlex.quote(str(file))}",
                        ordered=ordered,
                    )
                    if problem is None:
                        named = NamedStructure(str(file), index, parsed[0], tuple(parsed[1]))
                        reading.structures.append(named)
                if problem is not None:
                    reading.failures.append(_sentence(file, problem))
        except InputError as error:
            reading.failures.append(_sentence(file, error))
        except Exception as error:  # noqa: BLE001 - parsers raise whatever they like
            reason = " ".join(str(error).split()) or type(error).__name__
            reading.failures.append(f"{file}: cannot be read as a crystal structure ({reason})")
    return reading


def read_structures(
    files: Iterable[str | Path], *, form: str | None = None
) -> list[NamedStructure]:
    """Read all structures of all files, in order; see `read_files`.

    Raises:
        InputError: A file is missing, empty, damaged or of unknown format, contradicts itself, or
            holds what is no crystal or has partially occupied sites. Nothing is returned then.
    """
    reading = read_files(files, form=form)
    if reading.failures:
        raise InputError(reading.failures[0])
    return reading.structures


def read_structure(path: str | Path) -> Structure:
    """The crystal of a file that holds one; what its reader took for granted is logged.

    Raises:
        InputError: As `read_structures`, or if there are several.
    """
    found = read_structures([path])
    if len(found) > 1:
        raise InputError(f"{path}: holds {len(found)} structures, and one is needed")
    tell_notes([f"{path}: {note}" for note in found[0].notes])
    return found[0].structure


def tell_notes(notes: Sequence[str]) -> None:
    """Log what readers took for granted, where no command tells it: each note once, the first 5."""
    for note in notes[:_MOST_NOTES]:
        _tell(note)
    if len(notes) > _MOST_NOTES:
        _tell(
            f"{notes[0].partition(':')[0]}: and {len(notes) - _MOST_NOTES} more notes on its kind"
        )


@cache
def _tell(note: str) -> None:
    log.warning("%s", note)


def read_cif_text(text: str) -> Structure:
    """The first crystal of the text of a CIF.

    Raises:
        InputError: It has none, or is damaged, or the crystal is disordered.
    """
    structure, _ = crystal_of(blocks_of(text)[0])
    problem = _problem(structure, 0, ordered=True)
    if problem is not None:
        raise problem
    return structure


def _parse(path: Path, chosen: str | None) -> Iterator[Parsed]:
    """The structures of a file, each with what its parser had to say."""
    data = _content(path)
    name = chosen or recognise(data, path)
    empty = True
    for parsed in _heard(path, data, name):
        empty = False
        yield parsed
    if empty:
        raise InputError("holds no crystal structure")


def _content(path: Path) -> bytes:
    if not path.exists():
        raise InputError("no such file")
    if path.is_dir():
        raise InputError("is a folder; name the structure files in it")
    try:
        data = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    if not data.strip(b"\0\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise InputError("the file is empty; a CIF, POSCAR or extxyz file is needed")
    return data


def _heard(path: Path, data: bytes, name: str) -> Iterator[Parsed]:
    """Parse, and turn the warnings of parsers into notes."""
    parts = _parts(path, data, name)
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                parsed = next(parts)
            except StopIteration:
                return
        if not isinstance(parsed, InputError):
            said = (str(w.message) for w in caught if not issubclass(w.category, _QUIET))
            parsed[1].extend(dict.fromkeys(" ".join(text.split()) for text in said))
        yield parsed


def _parts(path: Path, data: bytes, name: str) -> Iterator[Parsed]:
    if name not in {"cif", "poscar", "json", "cssr"}:
        yield from read_ase(path, data, name)
        return
    text = decode(data, fallback="latin-1")
    if name == "cif":
        blocks = blocks_of(text)
        for block in blocks:
            try:
                yield crystal_of(block)
            except InputError as error:
                yield InputError(f"block {block.name}: {error}" if len(blocks) > 1 else str(error))
    elif name == "poscar":
        yield read_poscar(text)
    elif name == "json":
        yield from read_json(text)
    else:
        yield Structure.from_str(text, fmt="cssr"), []


def _problem(
    structure: Structure, index: int, hint: str = "", *, ordered: bool
) -> InputError | None:
    if len(structure) == 0:
        return InputError(f"structure {index} has no atoms")
    if ordered and not structure.is_ordered:
        return InputError(f"structure {index} has partially occupied sites; order them first{hint}")
    return None


def _sentence(file: str | Path, error: InputError) -> str:
    text = " ".join(str(error).split())
    return text if str(file) in text.split(";")[0] else f"{file}: {text}"
