"""Structure files: one reader and one writer for every command and option."""

from smoacs.structures.ase_files import OXIDATION_STATES
from smoacs.structures.frames import Frames
from smoacs.structures.poscar import SELECTIVE_DYNAMICS
from smoacs.structures.reading import (
    NamedStructure,
    Reading,
    read_cif_text,
    read_files,
    read_structure,
    read_structures,
)

__all__ = [
    "OXIDATION_STATES",
    "SELECTIVE_DYNAMICS",
    "Frames",
    "NamedStructure",
    "Reading",
    "read_cif_text",
    "read_files",
    "read_structure",
    "read_structures",
]
