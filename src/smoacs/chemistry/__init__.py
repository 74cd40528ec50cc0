"""Elements, oxidation numbers, ionic radii, tolerance factor and exact charge neutrality.

The tables come from pymatgen and SMACT; those of oxidation numbers are frozen in a file.
"""

from smoacs.chemistry.bonds import bonded_states
from smoacs.chemistry.elements import ELEMENTS, N_ELEMENTS, element_index, parse_elements
from smoacs.chemistry.mixtures import can_clash, cost_table, side_by_side
from smoacs.chemistry.neutrality import (
    assignment_likelihood,
    costs_of,
    is_neutral,
    neutral_assignment,
    neutral_states,
)
from smoacs.chemistry.oxidation import (
    DEFAULT_TABLE,
    DESIGN_TABLE,
    MAX_CHARGE,
    MIN_CHARGE,
    N_CHARGES,
    OxidationTable,
    TableName,
    icsd_reports,
    may_differ,
    oxidation_table,
    tables_of_crystals,
)
from smoacs.chemistry.presets import PRESETS, Preset
from smoacs.chemistry.radii import goldschmidt, ionic_radius, radius_table
from smoacs.chemistry.selection import (
    ElementRule,
    element_items,
    element_rules,
    forbidden_rules,
)
from smoacs.chemistry.site_charges import is_unbalanced, neutral_site_charges
from smoacs.chemistry.valence import valence_table

__all__ = [
    "DEFAULT_TABLE",
    "DESIGN_TABLE",
    "ELEMENTS",
    "MAX_CHARGE",
    "MIN_CHARGE",
    "N_CHARGES",
    "N_ELEMENTS",
    "PRESETS",
    "ElementRule",
    "OxidationTable",
    "Preset",
    "TableName",
    "assignment_likelihood",
    "bonded_states",
    "can_clash",
    "cost_table",
    "costs_of",
    "element_index",
    "element_items",
    "element_rules",
    "forbidden_rules",
    "goldschmidt",
    "icsd_reports",
    "ionic_radius",
    "is_neutral",
    "is_unbalanced",
    "may_differ",
    "neutral_assignment",
    "neutral_site_charges",
    "neutral_states",
    "oxidation_table",
    "parse_elements",
    "radius_table",
    "side_by_side",
    "tables_of_crystals",
    "valence_table",
]
