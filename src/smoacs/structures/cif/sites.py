"""The sites that a CIF lists: element, oxidation number, occupancy, position with its digits."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice

from smoacs.errors import InputError
from smoacs.structures.cif.document import Block, Number, read_number

FULL: Final = 0.02
"""An occupancy this close to 1 is 1."""

_VACANT: Final = frozenset({"va", "vac", "vacancy", "dum", "dummy", "x"})
_WITH_HYDROGEN: Final = {"oh": "O", "wat": "O", "h2o": "O", "ow": "O", "nh4": "N", "nh3": "N"}
_ISOTOPES: Final = {"D": "H", "T": "H"}
_NAMES_OF_SITES: Final = frozenset("BWYI")
"""One-letter labels that name a place in a structure type as often as an element."""

_COARSE: Final = 0.005
"""Half a unit of the coarsest digits that count, of fractional coordinates."""


@dataclass(frozen=True)
class Site:
    """A site as listed.

    Attributes:
        label: Its label.
        element: Symbol.
        state: Oxidation number, None where the file states none.
        charge: The one that the type symbol shows, as in O2-; None if it shows none.
        occupancy: In (0, 1.02]; 1 where it is within 2 % of 1.
        coords: Fractional, [3].
        half_units: Half a unit of the last digit of each, [3].
        multiplicity: Number of its images in the cell as stated, or None.
        hydrogens: Whether the name of the site says that hydrogen atoms belong to it.
    """

    label: str
    element: str
    state: float | None
    charge: float | None
    occupancy: float
    coords: NDArray[np.float64]
    half_units: NDArray[np.float64]
    multiplicity: int | None
    hydrogens: bool = False


def sites_of(block: Block, lattice: Lattice, notes: list[str]) -> list[Site]:
    """Sites of a block that hold atoms; `notes` gets what was left out.

    Raises:
        InputError: A site has no position, no element, an occupancy that none can have, or a label
            of another element than its type.
    """
    coords, half_units, dropped = _positions(block, lattice)
    n = len(coords)
    labels = _column(block, "_atom_site_label", n) or _column(block, "_atom_site_id", n)
    types = _column(block, "_atom_site_type_symbol", n)
    if labels is None and types is None:
        raise InputError("its sites have neither a label nor a type symbol")
    names = labels or [None] * n
    kinds = types or [None] * n
    occupancies = _column(block, "_atom_site_occupancy", n) or [None] * n
    multiplicities = _multiplicities(block, n)
    states = _states(block)
    formula = set(re.findall(r"[A-Z][a-z]?", block.text("_chemical_formula_sum") or ""))
    formula = {_ISOTOPES.get(symbol, symbol) for symbol in formula}
    sites = []
    for k in range(n):
        label = names[k] or kinds[k] or f"number {k + 1}"
        occupancy = _occupancy(occupancies[k], label)
        text = kinds[k] or label
        if k in dropped or _letters(text).lower() in _VACANT or occupancy == 0:
            notes.append(f"site {label} holds no atom and was left out")
            continue
        if np.isnan(coords[k]).any():
            raise InputError(f"site {label} has no position; give its coordinates, or leave it out")
        element, hydrogens = _element(kinds[k], names[k], formula, notes)
        state = states.get(text, states.get(element))
        sites.append(
            Site(
                label,
                element,
                state,
                _charge(text) if types else None,
                occupancy,
                coords[k],
                half_units[k],
                multiplicities[k],
                hydrogens,
            )
        )
    if not sites:
        raise InputError("it lists no atoms")
    return sites


def _column(block: Block, tag: str, n: int) -> list[str | None] | None:
    column = block.column(tag)
    if column is None or not any(column):
        return None
    if len(column) != n:
        raise InputError(f"{tag} has {len(column)} values for {n} sites")
    return column


def _positions(
    block: Block, lattice: Lattice
) -> tuple[NDArray[np.float64], NDArray[np.float64], set[int]]:
    """Fractional coordinates (NaN where unknown), half units, and the sites that are dummies."""
    fractional = block.column("_atom_site_fract_x") is not None
    kind = "fract" if fractional else "cartn"
    columns = [block.column(f"_atom_site_{kind}_{axis}") or [] for axis in "xyz"]
    numbers = [[_coordinate(text) for text in row] for row in zip(*columns, strict=True)]
    values = np.array([[c.value for c in row] for row in numbers]).reshape(-1, 3)
    half_units = np.array([[c.half_unit for c in row] for row in numbers]).reshape(-1, 3)
    if not fractional:
        inverse = np.linalg.inv(lattice.matrix)
        values, half_units = _to_fractional(values, lattice), half_units @ np.abs(inverse)
    flags = block.column("_atom_site_calc_flag") or []
    dummies = {k for k, flag in enumerate(flags) if flag == "dum"}
    return values, np.minimum(half_units, _COARSE), dummies


def _to_fractional(values: NDArray[np.float64], lattice: Lattice) -> NDArray[np.float64]:
    """Cartesian coordinates along the axes of the dictionary: a along x, b in the xy plane."""
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

    cell = gemmi.UnitCell(*lattice.parameters)
    return np.array([cell.fractionalize(gemmi.Position(*row)).tolist() for row in values])


def _coordinate(text: str | None) -> Number:
    if text is None:
        return Number(np.nan, 0.0)
    number = read_number(text)
    if number is None:
        raise InputError(f"the coordinate {text!r} is no number")
    return number


def _occupancy(text: str | None, label: str) -> float:
    if text is None:
        return 1.0
    number = read_number(text)
    if number is None or not 0 <= number.value <= 1 + FULL:
        raise InputError(f"site {label} has the occupancy {text}; it is a number from 0 to 1")
    return 1.0 if abs(number.value - 1) <= FULL + 1e-9 else number.value


def _multiplicities(block: Block, n: int) -> list[int | None]:
    for tag in ("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity"):
        column = _column(block, tag, n)
        if column is not None:
            return [int(text) if text and text.isdigit() else None for text in column]
    return [None] * n


def _states(block: Block) -> dict[str, float]:
    """Oxidation numbers that the file states, by the symbols of its types of atoms."""
    symbols = block.column("_atom_type_symbol") or []
    numbers = block.column("_atom_type_oxidation_number") or []
    found = {}
    for symbol, text in zip(symbols, numbers, strict=False):
        number = read_number(text) if text else None
        if symbol and number:
            found[symbol] = number.value
    return found


def _charge(text: str) -> float | None:
    found = re.search(r"(\d*\.?\d*)([+-])(\d*\.?\d*)$", text.strip(" ()"))
    if found is None:
        return None
    return float(found[1] or found[3] or 1) * (1 if found[2] == "+" else -1)


def _letters(text: str) -> str:
    found = re.match(r"[A-Za-z]*", text)
    return found[0] if found else ""


def _element(
    kind: str | None, label: str | None, formula: set[str], notes: list[str]
) -> tuple[str, bool]:
    """Element of a site by its type symbol or else its label, and whether hydrogen hangs on it."""
    text = kind or label or ""
    molecule = re.match(r"(?i)(oh|wat|h2o|ow|nh4|nh3)(?![a-z])", text)
    if molecule is not None:
        element, hydrogens = _WITH_HYDROGEN[molecule[1].lower()], True
    else:
        element, hydrogens = _symbol(text, formula, typed=kind is not None), False
    if element in _ISOTOPES:
        word = f"isotopes of hydrogen are taken as H ({element})"
        if word not in notes:
            notes.append(word)
        element = _ISOTOPES[element]
    if kind is not None and label is not None and molecule is None:
        _check_label(label, element, formula)
    return element, hydrogens


def _symbol(text: str, formula: set[str], *, typed: bool) -> str:
    """Element that a text begins with."""
    letters = _letters(text)
    two, one = letters[:2].capitalize(), letters[:1].upper()
    fits_two = len(letters) > 1 and _is_element(two)
    fits_one = bool(one) and _is_element(one)
    exact = letters[:2] == two or (typed and len(letters) == 2)  # noqa: PLR2004
    if fits_two and (exact or not fits_one):
        return two
    if fits_two and fits_one and formula:
        return two if two in formula and one not in formula else one
    if fits_two and letters[:2].isupper():
        raise InputError(
            f"the label {text} may mean {two} or {one}; give the elements as _atom_site_type_symbol"
        )
    if fits_one:
        return one
    raise InputError(f"{text!r} names no element")


def _check_label(label: str, element: str, formula: set[str]) -> None:
    """Refuse a label of another element than the type symbol, unless the formula decides."""
    letters = _letters(label)
    named = letters if _is_element(letters) else None
    named = _ISOTOPES.get(named or "", named)
    if named is None or named == element or letters in _NAMES_OF_SITES:
        return
    if element in formula and named not in formula:
        return
    raise InputError(
        f"the site labelled {label} has the type symbol of {element}; "
        "make its label or its type symbol right"
    )


def _is_element(symbol: str) -> bool:
    return symbol in _ISOTOPES or Element.is_valid_symbol(symbol)
