"""Settings of a design that rule what its crystals hold: elements, numbers of atoms, charges.

Whatever is wrong with a setting becomes one sentence that names it and says what would be right.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from smoacs.chemistry import (
    DEFAULT_TABLE,
    DESIGN_TABLE,
    ELEMENTS,
    MAX_CHARGE,
    MIN_CHARGE,
    OxidationTable,
    TableName,
    element_index,
    oxidation_table,
)
from smoacs.chemistry.elements import symbol_of
from smoacs.errors import InputError, short

_T = TypeVar("_T")

_NOTHING: Final[tuple[object, ...]] = (None, (), [], {})
"""Values of a setting that ask for nothing."""

_RATIO_SUM: Final = 0.01
"""How far the sum of ratios may be from 1: 0.33 + 0.67, 0.333 + 0.333 + 0.333."""


class ChemicalSettings(BaseModel):
    """What every crystal of a design must hold; all of it is met by construction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required: tuple[str, ...] = Field(
        default=(),
        description="a list of elements that must occur, anywhere ('Li') or at a kind of site "
        "('B=Fe')",
    )
    counts: Mapping[str, int] = Field(
        default_factory=dict,
        description="a table of elements and their numbers of atoms in the cell, such as "
        "{ Li = 2, Fe = 1 }",
    )
    same: tuple[str, ...] = Field(
        default=(),
        description="a list of groups of sites that must hold the same element, such as 'X' or "
        "'X[0] X[1]'",
    )
    mixed: bool | None = Field(
        default=None,
        strict=True,
        description="true or false (whether sites that symmetry makes equal may hold different "
        "elements; left out, they may where what is asked for needs it, and in perovskites)",
    )
    max_elements: Mapping[str, int] = Field(
        default_factory=dict,
        description="a table of kinds of sites (or 'all') and how many different elements they "
        "may hold, such as { A = 1, X = 2 }",
    )
    ratios: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict,
        description="a table of kinds of sites and the ratios of elements there, such as "
        "{ A = { K = 0.75, Na = 0.25 } }",
    )
    oxidation_table: TableName = Field(
        default=DESIGN_TABLE, description="'icsd', 'common' or 'smact'"
    )
    oxidation_states: Mapping[str, tuple[int, ...]] = Field(
        default_factory=dict,
        description="a table of elements and their oxidation numbers, such as { Fe = [2, 3] }",
    )
    site_charges: Mapping[str, tuple[int, ...]] = Field(
        default_factory=dict,
        description="a table of kinds of sites and the oxidation numbers they may take, such as "
        "{ B = [2, 3] }",
    )

    @field_validator("required", mode="before")
    @classmethod
    def _required_known(cls, value: object) -> object:
        items = [re.sub(r"\s*=\s*", "=", text) for text in _texts("required", value)]
        parts = [part for item in items for part in re.split(r"[\s,;]+", item) if part]
        for part, (key, equals, symbol) in zip(parts, _split(parts), strict=True):
            if equals and not key:
                raise InputError(f'required: {part!r} is not of the form "Li" or "B=Fe"')
            _check_element("required", symbol_of(symbol))
        spelt = (f"{key}{equals}{symbol_of(symbol)}" for key, equals, symbol in _split(parts))
        return tuple(dict.fromkeys(spelt))

    @field_validator("same", mode="before")
    @classmethod
    def _same_readable(cls, value: object) -> object:
        groups = [" ".join(re.split(r"[\s,;]+", text.strip())) for text in _texts("same", value)]
        if not all(groups):
            raise InputError("same: a group is empty; name its sites, such as 'X' or 'X[0] X[1]'")
        return tuple(dict.fromkeys(groups))

    @field_validator("counts", mode="before")
    @classmethod
    def _counts_right(cls, value: object) -> object:
        table = _table("counts", value, lambda name, item: _whole("counts", name, item))
        table = {symbol_of(name): count for name, count in table.items()}
        for symbol, count in table.items():
            _check_element("counts", symbol)
            if count < 1:
                raise InputError(
                    f"counts.{symbol} = {count} is not right: it must be at least 1 (to leave an "
                    f"element out, write forbidden = {symbol})"
                )
        return table

    @field_validator("max_elements", mode="before")
    @classmethod
    def _limits_right(cls, value: object) -> object:
        table = _table("max_elements", value, lambda name, item: _whole("max_elements", name, item))
        for key, limit in table.items():
            if limit < 1:
                raise InputError(
                    f"max_elements.{key} = {limit} is not right: sites hold at least 1 element"
                )
        return table

    @field_validator("ratios", mode="before")
    @classmethod
    def _ratios_right(cls, value: object) -> object:
        return _table("ratios", value, _shares)

    @field_validator("oxidation_states", "site_charges", mode="before")
    @classmethod
    def _charges_right(cls, value: object, info: object) -> object:
        setting = str(getattr(info, "field_name", ""))
        table = _table(setting, value, lambda name, item: _charges(setting, name, item))
        if setting == "oxidation_states":
            for symbol in table:
                _check_element(setting, symbol)
        return table

    @classmethod
    def own_first(cls, settings: Mapping[str, _T]) -> dict[str, _T]:
        """Put the settings of a class before those on chemistry, and leave out empty ones of these.

        An empty setting asks for nothing, and it is the default.
        """
        chemical = ChemicalSettings.model_fields
        own = {name: value for name, value in settings.items() if name not in chemical}
        return own | {n: v for n, v in settings.items() if n in chemical and v not in _NOTHING}

    def table_of_states(self) -> OxidationTable | None:
        """Oxidation numbers in use; None for the common table as it is."""
        if self.oxidation_table == DEFAULT_TABLE and not self.oxidation_states:
            return None
        return {**oxidation_table(self.oxidation_table), **self.oxidation_states}

    def states_asked(self) -> dict[str, str]:
        """What is asked for about oxidation numbers, by element, or "" for the whole table."""
        name = self.oxidation_table
        table = {} if name == DESIGN_TABLE else {"": f"oxidation_table = {name}"}
        return table | {
            symbol: f"oxidation_states.{symbol} = {' '.join(f'{state:+d}' for state in states)}"
            for symbol, states in self.oxidation_states.items()
        }

    def named_elements(self) -> frozenset[str]:
        """Elements that must occur."""
        required = {item.rpartition("=")[2] for item in self.required}
        shares = {symbol for shares in self.ratios.values() for symbol in shares}
        return frozenset(required | set(self.counts) | shares)


def _split(parts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Site, sign and element of texts such as "B=Fe" or "Li"."""
    return [part.rpartition("=") for part in parts]


def _texts(setting: str, value: object) -> list[str]:
    """A list of texts; one text is a list of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return list(value)
    right = ChemicalSettings.model_fields[setting].description
    raise InputError(f"{setting} = {short(repr(value))} is not right: {setting} must be {right}")


def _table(setting: str, value: object, read: Callable[[str, object], _T]) -> dict[str, _T]:
    """A table, given as one or as texts such as "Li=2, Fe=1", its values read."""
    if isinstance(value, Mapping):
        return {str(name): read(str(name), item) for name, item in value.items()}
    table: dict[str, _T] = {}
    for text in _texts(setting, value):
        for part in re.split(r"[,;]+", text):
            name, equals, item = (piece.strip() for piece in part.partition("="))
            if not (name and equals and item):
                example = "Li=2" if setting == "counts" else "A=1"
                raise InputError(f'{setting}: {part!r} is not of the form "{example}"')
            if name in table:
                raise InputError(f"{setting}.{name} is given twice")
            table[name] = read(name, item)
    return table


def _check_element(setting: str, symbol: str) -> None:
    try:
        element_index(symbol)
    except InputError as error:
        raise InputError(f"{setting}: {error}") from None


def _whole(setting: str, name: str, item: object) -> int:
    number = item
    if isinstance(number, str) and re.fullmatch(r"[+-]?\d+", number.strip()):
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"{setting}.{name} = {item!r} is not right: it must be a whole number")
    return number


def _shares(key: str, item: object) -> dict[str, float]:
    """Ratios of elements at one kind of site."""
    if not isinstance(item, Mapping) or not item:
        right = ChemicalSettings.model_fields["ratios"].description
        raise InputError(f"ratios.{key} = {item!r} is not right: ratios must be {right}")
    for symbol, share in item.items():
        _check_element(f"ratios.{key}", str(symbol))
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise InputError(
                f"ratios.{key}.{symbol} = {share!r} is not right: a ratio is a number above 0 and "
                "up to 1"
            )
    total = math.fsum(item.values())
    if abs(total - 1) > _RATIO_SUM:
        raise InputError(f"ratios.{key}: the ratios add up to {total:g}; they must add up to 1")
    return {symbol: float(item[symbol]) for symbol in ELEMENTS if symbol in item}


def _charges(setting: str, name: str, item: object) -> tuple[int, ...]:
    """Oxidation numbers of an element or a kind of site, in their order."""
    parts: object = item
    if isinstance(item, str):
        parts = item.split()
    elif isinstance(item, int):
        parts = [item]
    if not isinstance(parts, Sequence) or not parts:
        raise InputError(f"{setting}.{name} = {item!r} is not right: name its oxidation numbers")
    numbers = [_whole(setting, name, part) for part in parts]
    for number in numbers:
        if number == 0 or not MIN_CHARGE <= number <= MAX_CHARGE:
            raise InputError(
                f"{setting}.{name}: {number} is no oxidation number; they go from {MIN_CHARGE} to "
                f"+{MAX_CHARGE} without 0"
            )
    return tuple(dict.fromkeys(numbers))
