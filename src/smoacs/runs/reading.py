"""Structure files, as the commands read them."""

from smoacs.templates.reading import OXIDATION_STATES, NamedStructure, read_structures

__all__ = ["OXIDATION_STATES", "NamedStructure", "read_structures"]
