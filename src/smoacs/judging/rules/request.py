"""What was asked for, as plain values, and a crystal whose sites have the template's names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from pymatgen.core import Structure

from smoacs.chemistry import DESIGN_TABLE, PRESETS, OxidationTable, TableName, oxidation_table
from smoacs.errors import InputError

EVERYWHERE = "all"
"""Key of `max_elements` for all of the crystal."""

_KEY = re.compile(r"([^\[\]\s]+)(?:\[(\d+)(?::(\d+))?\])?")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Hard constraints; each field as the setting of the same name (docs/constraints.md).

    Attributes:
        elements: Symbols, "!symbols" and presets: the only elements to use; None for all.
        forbidden: Symbols and presets not to use.
        sites: As `elements`, for the sites that a key names.
        required: "Li" or "B=Fe".
        counts: Number of atoms by element.
        same: Groups of sites that hold one element.
        mixed: Whether sites that the template's symmetry makes equal may hold different elements;
            only False is a rule.
        max_elements: Most different elements by key of sites.
        ratios: Shares of elements by key of sites.
        oxidation_table: Name of the table of oxidation numbers.
        oxidation_states: Oxidation numbers that replace an element's in the table.
        site_charges: Oxidation numbers by key of sites.
        lattice: Range of a, b, c (Å), alpha, beta and gamma (degrees).
        symmetry: What stays of the template's symmetry.
        frozen: Keys of sites that do not move.
        max_displacement: Largest change of a fractional coordinate by key of sites.
        min_distance: Shortest distance as a share of the sum of two radii; None for no limit.
        distance_radii: Which radii.
    """

    elements: Sequence[str] | None = None
    forbidden: Sequence[str] = ()
    sites: Mapping[str, Sequence[str]] = field(default_factory=dict)
    required: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    same: Sequence[str] = ()
    mixed: bool | None = None
    max_elements: Mapping[str, int] = field(default_factory=dict)
    ratios: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    oxidation_table: TableName = DESIGN_TABLE
    oxidation_states: Mapping[str, Sequence[int]] = field(default_factory=dict)
    site_charges: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lattice: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    symmetry: Literal["free", "lattice", "space-group"] = "free"
    frozen: Sequence[str] = ()
    max_displacement: Mapping[str, float] = field(default_factory=dict)
    min_distance: float | None = None
    distance_radii: Literal["covalent", "ionic"] = "covalent"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Take the rules out of the settings of a design, as plain values, already checked."""
        names = {rule.name for rule in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def states(self) -> OxidationTable:
        """Oxidation numbers that each element may have."""
        changed = {symbol: tuple(numbers) for symbol, numbers in self.oxidation_states.items()}
        return {**oxidation_table(self.oxidation_table), **changed}

    def site_keys(self) -> list[tuple[str, str]]:
        """Every setting that names sites, and the key that it names them by."""
        keys = [("required", item.split("=")[0]) for item in self.required if "=" in item]
        keys += [("same", key) for group in self.same for key in group.split()]
        keys += [("max_elements", key) for key in self.max_elements if key != EVERYWHERE]
        keys += [("frozen", key) for key in self.frozen]
        for setting in ("sites", "ratios", "site_charges", "max_displacement"):
            keys += [(setting, key) for key in getattr(self, setting)]
        return keys


def permits(items: Sequence[str], symbol: str) -> bool:
    """Whether a list of elements to use, with "!Pb" and presets, leaves an element."""
    named = named_elements(items)
    return (
        (not named or symbol in named)
        and f"!{symbol}" not in items
        and all(symbol in PRESETS[item].elements for item in items if item in PRESETS)
    )


def named_elements(items: Sequence[str]) -> set[str]:
    """Elements that a list of elements to use names."""
    return {item for item in items if item not in PRESETS and not item.startswith("!")}


@dataclass(frozen=True)
class Placed:
    """A crystal with its atoms in the order of the template's sites.

    Attributes:
        structure: The crystal.
        symbols: Element of each atom.
        charges: Oxidation state of each atom; None if the crystal carries none.
        labels: Kind of site that each atom is on; empty without a template.
    """

    structure: Structure
    symbols: tuple[str, ...]
    charges: tuple[float, ...] | None
    labels: tuple[str, ...]

    def sites(self, key: str) -> list[int]:
        """Atoms that a key names: "X", "X[0]", "X[0:2]", or "all"."""
        if key == EVERYWHERE:
            return list(range(len(self.symbols)))
        return keyed_sites(self.labels, key)

    def held(self, key: str) -> list[str]:
        """Elements of the atoms that a key names."""
        return [self.symbols[site] for site in self.sites(key)]


def keyed_sites(labels: Sequence[str], key: str) -> list[int]:
    """Sites of a template that a key names.

    Raises:
        InputError: There are none.
    """
    match = _KEY.fullmatch(key.replace(" ", ""))
    kind = match[1] if match else key
    own = [site for site, label in enumerate(labels) if label == kind]
    if match and match[2] is not None:
        first = int(match[2])
        end = first + 1 if match[3] is None else int(match[3])
        own = own[first:end] if first < end <= len(own) else []
    if not own:
        kinds = ", ".join(dict.fromkeys(labels))
        raise InputError(f"the template has no sites {key!r}; its kinds of sites are {kinds}")
    return own
