"""From names and numbers of space groups to the settings that they may mean.

Names: those of gemmi's table and the full symbols of spglib's, which has the 530 settings of
S. R. Hall, Acta Cryst. A37, 517 (1981), with the codes of their axes and origins.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from smoacs.errors import InputError
from smoacs.structures.cif.operators import Operators, from_hall

_N_SETTINGS: Final = 530
_SUFFIXES: Final = {"h": "h", "r": "r", "s": "1", "z": "2"}
"""Last letters of the symbols of ICSD: axes, and origin at a site or at the centre."""

_WORDS: Final = (
    (re.compile(r"\(?\s*origin\s*(?:choice)?\s*([12])\s*\)?", re.IGNORECASE), r":\1"),
    (re.compile(r"\bo([12])\s*$", re.IGNORECASE), r":\1"),
    (re.compile(r"\(?\s*hexagonal\s*(?:axes|setting)?\s*\)?", re.IGNORECASE), ":h"),
    (re.compile(r"\(?\s*rhombohedral\s*(?:axes|setting)?\s*\)?", re.IGNORECASE), ":r"),
    (
        re.compile(
            r"\(?\s*unique\s*axis\s*[abc](?:\s*,\s*cell choice\s*[123])?\s*\)?", re.IGNORECASE
        ),
        "",
    ),
)
MONOCLINIC: Final = range(3, 16)
_CUBIC: Final = frozenset({*range(200, 207), *range(221, 231)})
"""Groups whose symbol had a 3 where it has -3 since 1983."""


@dataclass(frozen=True)
class Setting:
    """A space group with its axes and origin.

    Attributes:
        number: In the International Tables.
        hall: Hall symbol.
        codes: What may follow the name after a colon, in lower case.
        name: Hermann–Mauguin symbol.
    """

    number: int
    hall: str
    codes: frozenset[str]
    name: str

    @property
    def operators(self) -> Operators:
        """Its operators."""
        return _from_hall(self.hall)


_P1: Final = Setting(1, "P 1", frozenset({"", "abc"}), "P 1")


@cache
def _from_hall(hall: str) -> Operators:
    return from_hall(hall)


def settings_of_name(name: str, code: str | None = None) -> tuple[Setting, ...]:
    """Settings that a Hermann–Mauguin symbol may mean, the usual one first.

    Args:
        name: Short, full or old symbol, with a code of the axes and the origin, or without.
        code: That code, from an item of its own.

    Returns:
        One or more; none if the symbol is unknown.

    Raises:
        InputError: The symbol is known and has no setting of that code.
    """
    if _key(name) == "p1":  # most files that programs write; the table takes a while
        return (_P1,)
    text = name
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    text, _, suffix = text.partition(":")
    key, suffix = _key(text), suffix.strip(" :()").lower()
    names = _names()
    if key not in names and key[-1:] in _SUFFIXES and key[:-1] in names:
        key, suffix = key[:-1], _SUFFIXES[key[-1]]
    elif key not in names and key[-1:] in "12" and _has_origins(names.get(key[:-1], ())):
        key, suffix = key[:-1], key[-1]
    found = names.get(key) or _other_spellings(key)
    found = tuple({setting.operators.key: setting for setting in reversed(found)}.values())[::-1]
    return _with_code(found, _SUFFIXES.get(suffix, suffix) or (code or "").lower(), name)


def settings_of_number(number: int, code: str | None = None) -> tuple[Setting, ...]:
    """Settings that the number of a space group alone may mean: those of its usual axes.

    Raises:
        InputError: There is no such number, or no setting of that code.
    """
    if number == 1:
        return (_P1,)
    if number not in _numbers():
        raise InputError(f"{number} is no number of a space group: they go from 1 to 230")
    every = _numbers()[number]
    if code:
        return _with_code(every, code.lower(), f"space group {number}")
    return settings_of_name(every[0].name.partition(":")[0])


def _with_code(found: Sequence[Setting], code: str, name: str) -> tuple[Setting, ...]:
    if not code or not found:
        return tuple(found)
    chosen = tuple(setting for setting in found if code in setting.codes)
    if not chosen:
        known = sorted({":" + c for s in found for c in s.codes if c})
        said = f"it has {', '.join(known)}" if known else "it has none"
        raise InputError(f"{name!r} has no setting {code!r}; {said}")
    return chosen


def _has_origins(settings: Sequence[Setting]) -> bool:
    return any({"1", "2"} & setting.codes for setting in settings)


def _other_spellings(key: str) -> tuple[Setting, ...]:
    """Settings of symbols that only gemmi knows, such as those before 1983."""
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

    symbol = getattr(gemmi.find_spacegroup_by_name(key), "hm", "")  # it may be None
    return tuple(_names().get(_key(symbol), ()))


@cache
def _names() -> dict[str, tuple[Setting, ...]]:
    """Settings by the keys of their symbols."""
    found: dict[str, dict[str, Setting]] = defaultdict(dict)
    for setting, names in _table():
        for name in names:
            found[_key(name)].setdefault(setting.hall, setting)
    return {key: tuple(settings.values()) for key, settings in found.items()}


@cache
def _numbers() -> dict[int, tuple[Setting, ...]]:
    found = defaultdict(list)
    for setting, _ in _table():
        found[setting.number].append(setting)
    return {number: tuple(settings) for number, settings in found.items()}


@cache
def _table() -> tuple[tuple[Setting, tuple[str, ...]], ...]:
    """Each setting with its symbols."""
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it
    import spglib  # noqa: PLC0415 - same

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        kinds = [spglib.get_spacegroup_type(number) for number in range(1, _N_SETTINGS + 1)]
    table = []
    for kind in kinds:
        if kind is None:  # none of 1 to 530
            continue
        symbol = kind.international.rpartition("=")[2]
        names = {symbol, kind.international_full}
        code = kind.choice.lower()
        codes = {code, code.replace("abc", "")} if code.endswith("abc") else {code}
        if code[:1] in {"1", "2"}:
            codes |= {code[0], f"{code[0]}abc"} if len(code) == 1 else {code[0]}
        elif not code:
            codes |= {"abc"}
        elif code[:1] in {"a", "b", "c", "-"} and code[-1:].isdigit():
            codes |= {code.rstrip("0123456789")}
        if kind.number in _CUBIC:
            names |= {symbol.replace("-3", "3"), kind.international_full.replace("-3", "3")}
        if kind.number in MONOCLINIC:  # short symbols leave the axes without symmetry out
            names |= {" ".join(part for part in symbol.split() if part != "1")}
        setting = Setting(kind.number, kind.hall_symbol, frozenset(codes), symbol.strip())
        table.append((setting, names))
    for group in gemmi.spacegroup_table():
        codes = {group.ext.strip("\0 ").lower(), group.qualifier.lower()}
        setting = Setting(group.number, group.hall, frozenset(codes), group.hm)
        table.append((setting, {group.hm, group.short_name()}))
    return tuple((setting, tuple(sorted(names))) for setting, names in table)


def _key(name: str) -> str:
    """A symbol without what its spellings differ in: spaces, underscores, brackets, case."""
    return re.sub(r"[\s_~()'\"$\\{}]", "", name).lower()
