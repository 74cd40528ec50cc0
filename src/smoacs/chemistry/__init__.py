"""Elements, oxidation numbers, ionic radii, tolerance factor and exact charge neutrality.

The tables come from pymatgen and SMACT, are computed on first use and then kept.
"""

from smoacs.chemistry.elements import ELEMENTS, N_ELEMENTS, element_index, parse_elements
from smoacs.chemistry.neutrality import is_neutral, neutral_assignment, neutral_states
from smoacs.chemistry.oxidation import (
    MAX_CHARGE,
    MIN_CHARGE,
    N_CHARGES,
    OxidationTable,
    icsd_reports,
    oxidation_table,
)
from smoacs.chemistry.presets import PRESETS, Preset
from smoacs.chemistry.radii import ionic_radius, radius_table
from smoacs.chemistry.selection import (
    ElementRule,
    element_items,
    element_rules,
    forbidden_rules,
)
from smoacs.chemistry.tolerance import goldschmidt
from smoacs.chemistry.valence import valence_table

__all__ = [
    "ELEMENTS",
    "MAX_CHARGE",
    "MIN_CHARGE",
    "N_CHARGES",
    "N_ELEMENTS",
    "PRESETS",
    "ElementRule",
    "OxidationTable",
    "Preset",
    "element_index",
    "element_items",
    "element_rules",
    "forbidden_rules",
    "goldschmidt",
    "icsd_reports",
    "ionic_radius",
    "is_neutral",
    "neutral_assignment",
    "neutral_states",
    "oxidation_table",
    "parse_elements",
    "radius_table",
    "valence_table",
]
