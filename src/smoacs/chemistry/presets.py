"""Named rules on elements: which ones a user may want to leave out as a whole.

Every rule leaves out the same elements wherever it is named. Each is a convention with its source,
not a verdict on a compound: whether a crystal is toxic depends on more than its elements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smoacs.chemistry.elements import ELEMENTS


@dataclass(frozen=True)
class Preset:
    """A named rule on elements.

    Attributes:
        elements: The elements that it leaves.
        rule: What it says.
        source: Where that comes from.
    """

    elements: frozenset[str]
    rule: str
    source: str


CRUST: Final[Mapping[str, float]] = MappingProxyType(
    {
        "O": 461000, "Si": 282000, "Al": 82300, "Fe": 56300, "Ca": 41500, "Na": 23600,
        "Mg": 23300, "K": 20900, "Ti": 5650, "H": 1400, "P": 1050, "Mn": 950, "F": 585,
        "Ba": 425, "Sr": 370, "S": 350, "C": 200, "Zr": 165, "Cl": 145, "V": 120, "Cr": 102,
        "Rb": 90, "Ni": 84, "Zn": 70, "Ce": 66.5, "Cu": 60, "Nd": 41.5, "La": 39, "Y": 33,
        "Co": 25, "Sc": 22, "Li": 20, "Nb": 20, "N": 19, "Ga": 19, "Pb": 14, "B": 10,
    }
)  # fmt: skip
"""Abundance in the earth's crust (mg/kg) of the elements with at least 10 mg/kg: "Abundance of
Elements in the Earth's Crust and in the Sea", CRC Handbook of Chemistry and Physics, 97th edition,
section 14. (SMACT's copy of that table has slips: S 3.5, Nb 220, Lu 80.)"""

_TOXIC: Final = frozenset({"Be", "As", "Cd", "Hg", "Tl", "Pb"})
_NOBLE_METALS: Final = frozenset({"Ru", "Rh", "Pd", "Ag", "Os", "Ir", "Pt", "Au"})
_RARE_EARTHS: Final = frozenset({"Sc", "Y", *ELEMENTS[56:71]})
_RADIOACTIVE: Final = frozenset({"Tc", "Pm", *ELEMENTS[83:]})


def _all_but(excluded: frozenset[str]) -> frozenset[str]:
    return frozenset(ELEMENTS) - excluded


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "no-toxic": Preset(
            _all_but(_TOXIC),
            "without Be, As, Cd, Hg, Tl, Pb",
            "Cd, Hg, Pb: RoHS directive 2011/65/EU, annex II; As and (as carcinogens) Be: REACH, "
            "regulation (EC) 1907/2006, annex XVII, entries 19 and 28; Tl: compounds fatal if "
            "swallowed or inhaled, CLP regulation (EC) 1272/2008, annex VI. Hexavalent chromium, "
            "which RoHS restricts too, is a matter of the compound: chromium stays",
        ),
        "no-radioactive": Preset(
            _all_but(_RADIOACTIVE),
            "without Tc, Pm and all from Po on",
            "no stable isotope: IUPAC, Pure Appl. Chem. 94, 573 (2022); Bi, whose half-life is "
            "2e19 years, stays",
        ),
        "no-noble-metal": Preset(
            _all_but(_NOBLE_METALS),
            "without Ru, Rh, Pd, Ag, Os, Ir, Pt, Au",
            "K. P. Kepp, ChemPhysChem 21, 360 (2020)",
        ),
        "no-rare-earth": Preset(
            _all_but(_RARE_EARTHS),
            "without Sc, Y, La to Lu",
            "IUPAC, Nomenclature of Inorganic Chemistry (2005), IR-3.5",
        ),
        "earth-abundant": Preset(
            frozenset(CRUST),
            "only those with at least 10 mg/kg in the earth's crust",
            "CRC Handbook of Chemistry and Physics, 97th edition, section 14; the threshold, below "
            "that of Cu, Zn, Li and Pb and above that of Sn, Cs and Mo, is ours",
        ),
    }
)
"""The rules by name."""
