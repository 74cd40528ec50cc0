"""Structure files: one reader and one writer for every command and option."""

from smoacs.structures.ase_files import OXIDATION_STATES
from smoacs.structures.folders import FRAME_SUFFIXES, structure_files, suffix_of
from smoacs.structures.frames import Frames
from smoacs.structures.poscar import SELECTIVE_DYNAMICS
from smoacs.structures.reading import (
    NamedStructure,
    Reading,
    read_cif_text,
    read_files,
    read_structure,
    read_structures,
    tell_notes,
)
from smoacs.structures.sites import bare, charges, symbol, symbols, to_atoms
from smoacs.structures.tables import LAYOUT, structure_of_row
from smoacs.structures.writing import cif_text

__all__ = [
    "FRAME_SUFFIXES",
    "LAYOUT",
    "OXIDATION_STATES",
    "SELECTIVE_DYNAMICS",
    "Frames",
    "NamedStructure",
    "Reading",
    "bare",
    "charges",
    "cif_text",
    "read_cif_text",
    "read_files",
    "read_structure",
    "read_structures",
    "structure_files",
    "structure_of_row",
    "suffix_of",
    "symbol",
    "symbols",
    "tell_notes",
    "to_atoms",
]
