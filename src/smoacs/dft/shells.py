"""Which ions are magnetic, and which d shells get a Hubbard U."""

from collections.abc import Mapping, Sequence
from typing import Final

from pymatgen.core.periodic_table import Element

HUBBARD_U: Final[Mapping[str, float]] = {
    "V": 3.25,
    "Cr": 3.7,
    "Mn": 3.9,
    "Fe": 5.3,
    "Co": 3.32,
    "Ni": 6.2,
    "Mo": 4.38,
    "W": 6.2,
}
"""U (eV) on the d shell in oxides and fluorides, as the Materials Project has it.

L. Wang, T. Maxisch and G. Ceder, Phys. Rev. B 73, 195107 (2006) and A. Jain et al., Phys. Rev. B
84, 045115 (2011); the values of pymatgen's `MPRelaxSet`. The same for fluorides as for oxides.
"""

_CORRECTED_ANIONS: Final = frozenset({"O", "F"})
_D_SHELL: Final = 10
_F_SHELL: Final = 14


def unpaired_electrons(symbol: str, charge: int) -> int:
    """Unpaired electrons of a free ion by Hund's first rule; 0 if all its shells are closed.

    Electrons beyond the noble gas or pseudo noble gas shell are counted as d electrons in groups
    3 to 12 and as f electrons in the lanthanides and actinides; anything else is magnetic only if
    its number of electrons is odd.

    Args:
        symbol: Element.
        charge: Oxidation number.
    """
    element = Element(symbol)
    odd = (int(element.Z) - charge) % 2
    if element.is_lanthanoid or element.is_actinoid:
        electrons = int(element.Z) - (54 if element.is_lanthanoid else 86) - charge
        return _unpaired(electrons, _F_SHELL) or odd
    if element.is_transition_metal:
        return _unpaired(int(element.group) - charge, _D_SHELL) or odd
    return odd


def is_magnetic_metal(symbol: str) -> bool:
    """Whether an element of unknown charge is to be taken for magnetic: any d or f metal is."""
    element = Element(symbol)
    return bool(element.is_transition_metal or element.is_lanthanoid or element.is_actinoid)


def hubbard_values(symbols: Sequence[str]) -> dict[str, float]:
    """U (eV) of each element that gets one, in crystals with O or F.

    The Materials Project's rule asks that O or F is the most electronegative element, which it
    is wherever it is.
    """
    if _CORRECTED_ANIONS.isdisjoint(symbols):
        return {}
    return {symbol: HUBBARD_U[symbol] for symbol in sorted(set(symbols)) if symbol in HUBBARD_U}


def _unpaired(electrons: int, shell: int) -> int:
    return min(electrons, shell - electrons) if 0 < electrons < shell else 0
