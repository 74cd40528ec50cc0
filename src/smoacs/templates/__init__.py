"""Kinds of crystals to design: perovskites, and any crystal structure as a seed."""

from smoacs.templates.build import TEMPLATE_NAMES, build_template
from smoacs.templates.from_structure import from_structure, read_structure
from smoacs.templates.perovskite import perovskite
from smoacs.templates.template import DEFAULT_MAX_Z, Template

__all__ = [
    "DEFAULT_MAX_Z",
    "TEMPLATE_NAMES",
    "Template",
    "build_template",
    "from_structure",
    "perovskite",
    "read_structure",
]
