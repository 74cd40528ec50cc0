"""Kinds of crystals to design: perovskites, and any crystal structure as a seed."""

from smoacs.templates.build import TEMPLATE_NAMES, build_template, template_rows
from smoacs.templates.charges import allowed_at, combination_names
from smoacs.templates.distances import RadiusKind, site_radii
from smoacs.templates.from_structure import from_structure
from smoacs.templates.geometry import (
    ANGLE_LIMITS,
    LATTICE_KEYS,
    LENGTH_LIMITS,
    GeometryRules,
    distinct_choice,
    distinguishable,
    roomiest_lattice,
    with_geometry,
)
from smoacs.templates.order import interchangeable, ordered
from smoacs.templates.perovskite import perovskite
from smoacs.templates.prototypes import PROTOTYPES, Prototype, prototype, reference_structure
from smoacs.templates.restrict import SiteRule, blame, combined
from smoacs.templates.seeds import SeedTemplates, is_seed_source, seed_templates
from smoacs.templates.symmetry import (
    Operations,
    TemplateSymmetry,
    find_symmetry,
    operations_of,
    site_operations,
    space_group_data,
)
from smoacs.templates.template import DEFAULT_MAX_Z, Template
from smoacs.templates.ties import common_elements, tie

__all__ = [
    "ANGLE_LIMITS",
    "DEFAULT_MAX_Z",
    "LATTICE_KEYS",
    "LENGTH_LIMITS",
    "PROTOTYPES",
    "TEMPLATE_NAMES",
    "GeometryRules",
    "Operations",
    "Prototype",
    "RadiusKind",
    "SeedTemplates",
    "SiteRule",
    "Template",
    "TemplateSymmetry",
    "allowed_at",
    "blame",
    "build_template",
    "combination_names",
    "combined",
    "common_elements",
    "distinct_choice",
    "distinguishable",
    "find_symmetry",
    "from_structure",
    "interchangeable",
    "is_seed_source",
    "operations_of",
    "ordered",
    "perovskite",
    "prototype",
    "reference_structure",
    "roomiest_lattice",
    "seed_templates",
    "site_operations",
    "site_radii",
    "space_group_data",
    "template_rows",
    "tie",
    "with_geometry",
]
