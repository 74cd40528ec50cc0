"""CIF files, core and macromolecular: every crystal of a file, checked against what it says."""

from smoacs.structures.cif.crystal import crystal_of
from smoacs.structures.cif.document import Block, blocks_of

__all__ = ["Block", "blocks_of", "crystal_of"]
