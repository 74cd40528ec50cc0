"""What a CIF says of its own contents, against the atoms that were found."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pymatgen.core import Element

from smoacs.errors import InputError
from smoacs.structures.cif.document import Block
from smoacs.structures.cif.expand import Contents
from smoacs.structures.cif.sites import Site

_ROUNDING: Final = 0.02
"""Share by which amounts may differ from a formula whose occupancies were rounded."""

_HALF_AN_ATOM: Final = 0.5
_EQUAL: Final = 1e-6
_LEAST: Final = 0.05
"""Atoms by which amounts may differ in any case."""

_PART: Final = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_ISOTOPES: Final = {"D": "H", "T": "H"}


def formula_sum(block: Block, notes: list[str]) -> dict[str, float] | None:
    """Amounts of the formula sum; None if there is none, or it is not understood (with a note)."""
    text = block.text("_chemical_formula_sum")
    if text is None:
        return None
    amounts: dict[str, float] = {}
    for part in re.sub(r"[\s,]+", " ", text).split():
        found = _PART.fullmatch(part)
        symbol = _ISOTOPES.get(found[1], found[1]) if found else ""
        if found is None or not Element.is_valid_symbol(symbol):
            notes.append(f"the formula sum {text!r} was not understood, and not compared")
            return None
        amounts[symbol] = amounts.get(symbol, 0.0) + float(found[2] or 1)
    return {symbol: amount for symbol, amount in amounts.items() if amount > 0}


def problem_of(
    block: Block,
    sites: Sequence[Site],
    contents: Contents,
    *,
    n_operators: int,
    formula: Mapping[str, float] | None,
) -> str | None:
    """What the file says of itself and is not so, in one sentence; None if all fits."""
    units = block.number("_cell_formula_units_Z")
    hydrogens = next((s.label for s in sites if s.hydrogens), None)
    if hydrogens is not None and "H" not in contents.amounts:
        return (
            f"H has no positions: site {hydrogens} names a group with hydrogen atoms; "
            "add their positions"
        )
    if formula is not None:
        text = str(block.text("_chemical_formula_sum"))
        problem = _missing(formula, contents.amounts) or _amounts(formula, contents, units, text)
        return problem or _multiplicity(sites, contents, n_operators)
    if units and all(spot.is_full for spot in contents.spots):
        counts = {s: round(n) for s, n in contents.amounts.items()}
        if any(n % round(units) for n in counts.values()) or units != round(units):
            return (
                f"Z is {units:g}, but the positions and operators give {_text(contents.amounts)}, "
                "which is not so many equal formula units; make Z, the symmetry or the sites right"
            )
    return _multiplicity(sites, contents, n_operators)


def _missing(formula: Mapping[str, float], amounts: Mapping[str, float]) -> str | None:
    for symbol in formula:
        if symbol not in amounts:
            return (
                f"{symbol} has no positions: the formula sum is {_text(formula)}, and no site "
                f"holds {symbol}; add its positions, or take it out of the formula"
            )
    extra = next((symbol for symbol in amounts if symbol not in formula), None)
    if extra is None:
        return None
    return (
        f"a site holds {extra}, which is not in the formula sum {_text(formula)}; "
        "make the formula or the site right"
    )


def _amounts(
    formula: Mapping[str, float], contents: Contents, units: float | None, text: str
) -> str | None:
    amounts = contents.amounts
    ratio = sum(amounts.values()) / sum(formula.values())
    if units:
        # Some programs write the formula of the whole cell beside the number of reduced ones.
        ratios = [units, 1.0] if _is_multiple(formula, round(units)) else [units]
    else:
        ratios = [ratio]
    if any(_fits(formula, amounts, r, contents) for r in ratios):
        return None
    said = f"Z × formula sum is {units:g} × ({text})" if units else f"the formula sum is {text}"
    return (
        f"{said}, but the positions and operators give {_text(amounts)}; "
        "make the formula, Z, the symmetry or the sites right"
    )


def _fits(
    formula: Mapping[str, float], amounts: Mapping[str, float], ratio: float, contents: Contents
) -> bool:
    ordered = all(spot.is_full for spot in contents.spots)
    for symbol, amount in formula.items():
        room = max(_ROUNDING * amounts[symbol], _LEAST)
        if abs(amounts[symbol] - ratio * amount) >= (min(room, _HALF_AN_ATOM) if ordered else room):
            return False
    return True


def _is_multiple(formula: Mapping[str, float], units: int) -> bool:
    return units > 0 and all(abs(n / units - round(n / units)) < _EQUAL for n in formula.values())


def _multiplicity(sites: Sequence[Site], contents: Contents, n_operators: int) -> str | None:
    """A wrong number of images; some programs write the order of the site's symmetry instead."""
    pairs = [
        (site, n)
        for site, n in zip(sites, contents.multiplicities, strict=True)
        if site.multiplicity is not None
    ]
    if all(site.multiplicity == 1 for site, _ in pairs):  # written by habit
        return None
    if all(site.multiplicity * n == n_operators for site, n in pairs if site.multiplicity):
        return None
    wrong = next(((site, n) for site, n in pairs if site.multiplicity != n), None)
    if wrong is None:
        return None
    return (
        f"site {wrong[0].label} is said to have {wrong[0].multiplicity} images, but the operators "
        f"give {wrong[1]}; make the symmetry or the multiplicity right"
    )


def check_volume(block: Block, volume: float, notes: list[str]) -> None:
    """Note a cell volume that is not that of the lengths and angles."""
    try:
        said = block.number("_cell_volume")
    except InputError:
        return
    if said is not None and abs(said / volume - 1) > _ROUNDING:
        notes.append(f"the cell volume is said to be {said:g} Å³, but the cell has {volume:.4g} Å³")


def _text(amounts: Mapping[str, float]) -> str:
    return " ".join(f"{symbol}{n:.4g}" for symbol, n in amounts.items())
