"""Kinds of crystals to design: perovskites, and any crystal structure as a seed."""

from smoacs.templates.build import TEMPLATE_NAMES, build_template, template_rows
from smoacs.templates.from_structure import from_structure, read_structure
from smoacs.templates.perovskite import perovskite
from smoacs.templates.prototypes import PROTOTYPES, Prototype, prototype, reference_structure
from smoacs.templates.restrict import SiteRule
from smoacs.templates.template import DEFAULT_MAX_Z, Template

__all__ = [
    "DEFAULT_MAX_Z",
    "PROTOTYPES",
    "TEMPLATE_NAMES",
    "Prototype",
    "SiteRule",
    "Template",
    "build_template",
    "from_structure",
    "perovskite",
    "prototype",
    "read_structure",
    "reference_structure",
    "template_rows",
]
