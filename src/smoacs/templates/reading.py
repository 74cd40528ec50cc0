"""Structure files of many formats, read whole or refused with one clear sentence."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ase.io
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, str2float

from smoacs.errors import InputError

_ASE_SUFFIXES = {".extxyz", ".xyz"}
OXIDATION_STATES = "oxidation_states"
"""Name of the column of an extxyz file that holds the oxidation state of each atom."""

_OCCUPANCY_TOLERANCE = 1.0
_HALF_TURN = 180.0


@dataclass(frozen=True)
class NamedStructure:
    """A structure and where it came from.

    Attributes:
        file: Path as the user gave it.
        index: Number of the structure within the file, from 0.
        structure: The crystal.
    """

    file: str
    index: int
    structure: Structure


def read_structures(files: Iterable[str | Path]) -> list[NamedStructure]:
    """Read all structures of all files, in order.

    extxyz (any number of frames) goes through ASE; CIF (any number of blocks), POSCAR and the
    other formats of pymatgen go through pymatgen. Cells are kept as they are in the file.

    Raises:
        InputError: A file is missing, empty, damaged or of unknown format, or a structure is not
            periodic or has partially occupied sites. Nothing is returned then.
    """
    return [
        NamedStructure(str(file), index, structure)
        for file in files
        for index, structure in enumerate(_read_file(Path(file)))
    ]


def _read_file(path: Path) -> list[Structure]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the structure files in it")
    try:
        empty = not path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if empty:
        raise InputError(f"{path}: the file is empty; a CIF, POSCAR or extxyz file is needed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parsers' remarks on rounding and the like
            structures = _parse(path)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # parsers raise whatever they like
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a crystal structure ({reason})") from error
    _check_structures(path, structures)
    return structures


def _check_structures(path: Path, structures: list[Structure]) -> None:
    if not structures:
        raise InputError(f"{path}: holds no crystal structure")
    for index, structure in enumerate(structures):
        if len(structure) == 0 or not structure.is_ordered:
            problem = "partially occupied sites; order them first" if len(structure) else "no atoms"
            raise InputError(f"{path}: structure {index} has {problem}")


def _parse(path: Path) -> list[Structure]:
    if path.suffix.lower() in _ASE_SUFFIXES:
        return [_from_atoms(path, i, a) for i, a in enumerate(ase.io.iread(path, index=":"))]
    if path.suffix.lower() == ".cif":
        return cif_structures(CifParser(path, occupancy_tolerance=_OCCUPANCY_TOLERANCE))
    return [Structure.from_file(path)]


def cif_structures(parser: CifParser) -> list[Structure]:
    """All structures of a CIF, refused if a cell has lengths or angles that no cell can have.

    Raises:
        InputError: A length is not positive, or an angle not between 0 and 180 degrees.
    """
    for block in parser.as_dict().values():
        for kind, names in (("length", "abc"), ("angle", ("alpha", "beta", "gamma"))):
            for name in names:
                key = f"_cell_{kind}_{name}"
                value = str2float(block.get(key, "1"))
                if not 0.0 < value < (math.inf if kind == "length" else _HALF_TURN):
                    raise InputError(f"{key} is {block[key]}, which no cell can have")
    return list(parser.parse_structures(primitive=False, on_error="raise"))


def _from_atoms(path: Path, index: int, atoms: ase.Atoms) -> Structure:
    if not atoms.pbc.all() or atoms.cell.volume == 0:
        raise InputError(
            f"{path}: frame {index} is not a crystal: it needs a Lattice and periodicity (pbc) "
            "in all three directions"
        )
    structure = Structure(
        atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False)
    )
    if OXIDATION_STATES in atoms.arrays:
        structure.add_oxidation_state_by_site(atoms.arrays[OXIDATION_STATES].tolist())
    return structure
