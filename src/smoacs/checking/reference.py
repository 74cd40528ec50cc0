"""Is a design already known? Against structures or formulas that the user names.

A reference is a table in the training layout or with a column `formula` (CSV, JSON, Parquet), a
JSON list or mapping of pymatgen structures or of formulas, an ASE database, a structure file or a
folder of them, or the address of an OPTIMADE server, which is asked for the designs' formulas only.
"""

import json
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from smoacs.checking.optimade import optimade_entries
from smoacs.errors import InputError, ResourceError
from smoacs.judging import is_crystal, reduced_formula
from smoacs.structures import (
    LAYOUT,
    bare,
    read_cif_text,
    read_files,
    structure_files,
    structure_of_row,
    suffix_of,
    tell_notes,
)
from smoacs.text import decode, read_bytes

log = logging.getLogger(__name__)

_IDS: Final = ("material_id", "id", "jid")


@dataclass(frozen=True)
class Known:
    """A known compound: its name in the reference, and its crystal if the reference has one."""

    name: str
    structure: Structure | None


@dataclass
class Reference:
    """What is known of some reduced formulas.

    Attributes:
        source: Where it comes from, as the user named it.
        size: Compounds in the reference; those found, for a server.
        by_formula: Known compounds of each reduced formula asked for; none is an empty list.
    """

    source: str
    size: int = 0
    by_formula: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))

    def add(self, wanted: set[str], formula: str, name: str, structure: Structure | None) -> None:
        """Count a compound, and keep it if its formula is wanted."""
        self.size += 1
        if formula in wanted:
            self.by_formula[formula].append(Known(name, structure))


def read_reference(source: str, formulas: Iterable[str]) -> Reference:
    """Read what a reference knows of some formulas.

    Args:
        source: A file, or the base address of an OPTIMADE server.
        formulas: Reduced formulas.

    Raises:
        InputError: It cannot be read, or is none of the kinds.
        MissingExtraError: A server needs the OPTIMADE client.
        ResourceError: The server does not answer.
    """
    wanted = set(formulas)
    reference = Reference(source)
    try:
        if source.startswith(("http://", "https://")):
            entries = optimade_entries(source, wanted)
        elif source.startswith(("postgresql://", "mysql://")) or source.endswith(".db"):
            entries = _ase_database(source)
        else:
            entries = _file(Path(source))
        for formula, name, structure in entries:
            reference.add(wanted, formula, name, structure)
    except (InputError, ResourceError):
        raise
    except Exception as error:  # readers raise whatever they like
        raise InputError(f"{source}: cannot be read as a reference ({error})") from error
    if not reference.size and not source.startswith("http"):
        raise InputError(f"{source}: holds no structure and no formula")
    return reference


def novelty_table(structures: Sequence[Structure], reference: Reference) -> pd.DataFrame:
    """Compare designs with a reference.

    Returns:
        A row for each structure: `known_formula_in_reference`; `known_structure`, whether a crystal
        of the same formula is the same up to scale, by pymatgen's StructureMatcher (missing where
        the reference has the formula without a crystal); `reference_id`, the first that fits.
    """
    return pd.DataFrame(
        [_compare(structure, reference) for structure in structures],
        columns=["known_formula_in_reference", "known_structure", "reference_id"],
    )


def _compare(structure: Structure, reference: Reference) -> tuple[bool, bool | None, str]:
    known = reference.by_formula.get(reduced_formula(structure), [])
    if not known:
        return False, False, ""
    crystals = [(item.name, item.structure) for item in known if item.structure is not None]
    if is_crystal(structure):
        matcher = StructureMatcher()
        plain = bare(structure)
        for name, crystal in crystals:
            if matcher.fit(plain, crystal):
                return True, True, name
    return True, False if len(crystals) == len(known) else None, known[0].name


Entry = tuple[str, str, Structure | None]
"""Reduced formula, name, crystal."""


def _file(path: Path) -> Iterator[Entry]:
    if not path.exists():
        raise InputError(
            f"{path}: no such file; a reference is a .json, .csv, .parquet or .db file, a "
            "structure file or a folder of them, or the address of an OPTIMADE server"
        )
    suffix = suffix_of(path)
    if suffix == ".json":
        return _json(path)
    if suffix == ".csv":
        return _rows(pd.read_csv(path, dtype=str, keep_default_na=False), path)
    if suffix == ".parquet":
        return _rows(pd.read_parquet(path), path)
    return _structures(path)


def _structures(path: Path) -> Iterator[Entry]:
    """Crystals of a structure file, or of those of a folder; what cannot be read is logged."""
    reading = read_files(structure_files(path) if path.is_dir() else [path], ordered=False)
    if not reading.structures:
        raise InputError(
            f"{reading.failures[0]}; a reference is a .json, .csv, .parquet or .db file, or a "
            "structure file"
        )
    tell_notes(reading.notes)
    for failure in reading.failures:
        log.warning("%s", failure)
    for item in reading.structures:
        formula = item.structure.composition.element_composition.reduced_formula
        yield formula, f"{Path(item.file).name}[{item.index}]", _bare(item.structure)


def _json(path: Path) -> Iterator[Entry]:
    data = json.loads(decode(read_bytes(path)))
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for name, item in items:
        if isinstance(item, str):
            yield _reduced(item), str(name), None
        elif "lattice" in item and "sites" in item:
            structure = Structure.from_dict(item)
            yield reduced_formula(structure), str(name), _bare(structure)
        elif isinstance(item.get("structure"), dict):
            structure = Structure.from_dict(item["structure"])
            yield reduced_formula(structure), _name(item, name), _bare(structure)
        else:
            formula, _, crystal = next(_rows(pd.DataFrame([item]), path))
            yield formula, _name(item, name), crystal


def _rows(rows: pd.DataFrame, path: Path) -> Iterator[Entry]:
    """Entries of a table in the training layout, else of its column `formula`."""
    layout = all(column in rows for column in LAYOUT)
    if not layout and "cif" in rows:
        for number, row in enumerate(rows.to_dict("records")):
            structure = read_cif_text(str(row["cif"]))
            name = _name({str(key): value for key, value in row.items()}, number)
            yield reduced_formula(structure), name, _bare(structure)
        return
    if not layout and "formula" not in rows:
        raise InputError(
            f"{path}: has neither a column 'formula' nor the columns {', '.join(LAYOUT)}"
        )
    for number, row in enumerate(rows.to_dict("records")):
        fields = {str(key): value for key, value in row.items()}
        if layout:
            structure = structure_of_row(fields)
            yield reduced_formula(structure), _name(fields, number), structure
        else:
            yield _reduced(str(fields["formula"])), _name(fields, number), None


def _ase_database(source: str) -> Iterator[Entry]:
    from ase.db import connect  # noqa: PLC0415 - slow to import

    if "://" not in source and not Path(source).is_file():
        raise InputError(f"{source}: no such file")
    with warnings.catch_warnings(), connect(source) as database:
        warnings.simplefilter("ignore")
        for row in database.select():
            atoms = row.toatoms()
            structure = Structure(
                atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions()
            )
            yield reduced_formula(structure), f"{row.id}", structure


def _name(row: Mapping[str, Any], number: object) -> str:
    return str(next((row[key] for key in _IDS if key in row), number))


def _reduced(formula: str) -> str:
    try:
        return str(Composition(formula).reduced_formula)
    except ValueError as error:
        raise InputError(f"{formula!r} is no chemical formula") from error


def _bare(structure: Structure) -> Structure | None:
    """The structure without oxidation states; None if it is disordered."""
    return bare(structure) if structure.is_ordered else None
