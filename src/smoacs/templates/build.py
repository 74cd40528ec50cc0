"""Templates by name or file, as users give them."""

import difflib
from pathlib import Path
from typing import Final

from pymatgen.symmetry.groups import sg_symbol_from_int_number

from smoacs.chemistry import OxidationTable
from smoacs.errors import InputError
from smoacs.templates.from_structure import from_structure
from smoacs.templates.perovskite import perovskite
from smoacs.templates.prototypes import PROTOTYPES, prototype
from smoacs.templates.template import Template

TEMPLATE_NAMES: Final = ("perovskite", *PROTOTYPES)


def build_template(
    name_or_path: str | Path,
    *,
    repeat: int = 1,
    table: OxidationTable | None = None,
) -> Template:
    """Template of a name ("perovskite", "rutile", ...), or made of a structure file.

    Args:
        name_or_path: One of ``TEMPLATE_NAMES``, or a file that pymatgen reads.
        repeat: Number of cells along each axis.
        table: Oxidation numbers by element; None is the common table.

    Raises:
        InputError: It is neither a known name nor a usable structure file.
    """
    if name_or_path == "perovskite":
        return perovskite(repeat, table=table)
    if name_or_path in PROTOTYPES:
        return prototype(str(name_or_path), repeat, table=table)
    if Path(name_or_path).exists():
        return from_structure(name_or_path, repeat=repeat, table=table)
    near = difflib.get_close_matches(str(name_or_path).lower(), TEMPLATE_NAMES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    names = ", ".join(TEMPLATE_NAMES)
    msg = (
        f"template {str(name_or_path)!r} is neither an existing structure file nor a known name "
        f"({names}){hint}"
    )
    raise InputError(msg)


def template_rows() -> list[tuple[str, ...]]:
    """Heading, and a row for each template by name: formula, sites, space group, reference."""
    rows: list[tuple[str, ...]] = [
        ("template", "formula", "sites", "space group", "reference", "source"),
        ("perovskite", "ABX3", "5", "Pm-3m", "SrTiO3", "cubic, a = 3.905 Å"),
    ]
    for name, kind in PROTOTYPES.items():
        symbol = sg_symbol_from_int_number(kind.space_group, hexagonal=False)
        sites = str(kind.n_sites)
        rows.append((name, kind.pattern, sites, symbol, kind.reference, kind.source))
    return rows
