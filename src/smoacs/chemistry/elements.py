"""The elements that the package knows: H to Cf, in the order of their atomic numbers."""

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from smoacs.errors import InputError, short

ELEMENTS: Final[tuple[str, ...]] = (
    "H", "He",
    "Li", "Be", "B", "C", "N", "O", "F", "Ne",
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar",
    "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn",
    "Ga", "Ge", "As", "Se", "Br", "Kr",
    "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe",
    "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm",
    "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At", "Rn",
    "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf",
)  # fmt: skip
"""Symbols by atomic number: index 0 is H (Z = 1), index 97 is Cf (Z = 98)."""

N_ELEMENTS: Final = len(ELEMENTS)

_INDEX: Final = {symbol: index for index, symbol in enumerate(ELEMENTS)}

_SPELLINGS: Final = {"aluminum": "Al", "cesium": "Cs", "sulphur": "S"}
"""Names of elements that IUPAC spells otherwise."""


@cache
def _by_name() -> Mapping[str, str]:
    """Symbols by the English names of the elements, in small letters."""
    from ase.data import atomic_names  # noqa: PLC0415 - few ask for it

    names = {atomic_names[z].lower(): ELEMENTS[z - 1] for z in range(1, N_ELEMENTS + 1)}
    return {**names, **_SPELLINGS}


def symbol_of(text: str) -> str:
    """The symbol of an element that is written as one, or by its English name ("lead").

    Anything else stays as it is.
    """
    return text if text in _INDEX else _by_name().get(text.lower(), text)


def element_index(symbol: str) -> int:
    """Index of an element in ``ELEMENTS``: its atomic number minus 1.

    Raises:
        InputError: The symbol is none of the elements H to Cf.
    """
    index = _INDEX.get(symbol)
    if index is None:
        near = difflib.get_close_matches(symbol.strip().capitalize(), ELEMENTS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        msg = f"{short(repr(symbol))} is not the symbol of an element from H to Cf{hint}"
        raise InputError(msg)
    return index


def parse_elements(spec: str | Iterable[str]) -> frozenset[str]:
    """Set of element symbols from a list, or from a text such as ``"Sr, Ti O"``.

    Raises:
        InputError: A symbol is none of the elements H to Cf.
    """
    symbols = re.split(r"[\s,;]+", spec.strip(" \t\r\n,;")) if isinstance(spec, str) else spec
    return frozenset(ELEMENTS[element_index(symbol)] for symbol in symbols if symbol)
