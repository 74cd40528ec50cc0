"""The blocks of a CIF and their items, by gemmi; one spelling for the tags of all dictionaries."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from smoacs.errors import InputError

if TYPE_CHECKING:
    import gemmi

_NUMBER: Final = re.compile(r"([+-]?(?:\d+\.?(\d*)|\.(\d+)))(?:[eE]([+-]?\d+))?(?:\(\d*\))?")
_RATIO: Final = re.compile(r"([+-]?\d+)/(\d+)")
_UNKNOWN: Final = frozenset({"", "?", "."})
_POSITIONS: Final = (
    tuple(f"_atom_site_fract_{axis}" for axis in "xyz"),
    tuple(f"_atom_site_cartn_{axis}" for axis in "xyz"),
)


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    Attributes:
        value: Its value.
        half_unit: Half a unit of its last digit; 0 where it has at most one decimal, or is a ratio,
            as coordinates such as 0, 0.5 and 1/3 are exact.
    """

    value: float
    half_unit: float


class Block:
    """Items of one block; tags in lower case, with an underscore for the dot of newer dictionaries.

    Attributes:
        name: What follows `data_`.
    """

    def __init__(self, block: "gemmi.cif.Block") -> None:
        """Index the items of a block.

        Raises:
            InputError: A tag has two values.
        """
        self.name = block.name
        self._columns: dict[str, tuple[gemmi.cif.Loop, int]] = {}
        self._pairs: dict[str, str] = {}
        for item in block:
            if item.pair is not None:
                name, value = cast("tuple[str, str]", item.pair)
                known = self._pairs.setdefault(_tag(name), value)
                if known != value:
                    raise InputError(f"{name} has two values, {known} and {value}")
            elif item.loop is not None:
                for place, name in enumerate(item.loop.tags):
                    self._columns[_tag(name)] = (item.loop, place)

    def column(self, tag: str) -> list[str | None] | None:
        """Values of a tag, None for unknown (`?`) and missing (`.`) ones; None if it is absent."""
        import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

        tag = _tag(tag)
        if tag in self._columns:
            loop, place = self._columns[tag]
            raw = loop.values[place :: loop.width()]
        elif tag in self._pairs:
            raw = [self._pairs[tag]]
        else:
            return None
        texts = ("" if gemmi.cif.is_null(v) else gemmi.cif.as_string(v).strip() for v in raw)
        return [None if text in _UNKNOWN else text for text in texts]

    def text(self, *tags: str) -> str | None:
        """The first known value of the first tag that has one."""
        for tag in tags:
            value = next((v for v in self.column(tag) or () if v), None)
            if value is not None:
                return value
        return None

    def number(self, *tags: str) -> float | None:
        """A value that must be a number.

        Raises:
            InputError: It is none.
        """
        text = self.text(*tags)
        if text is None:
            return None
        number = read_number(text)
        if number is None:
            raise InputError(f"{tags[0]} is {text!r}, which is no number")
        return number.value

    @property
    def has_atoms(self) -> bool:
        """Whether it lists positions of atoms."""
        return any(all(tag in self._columns or tag in self._pairs for tag in t) for t in _POSITIONS)


def blocks_of(text: str) -> list[Block]:
    """The blocks of a CIF that list atoms; journals put others in front.

    Raises:
        InputError: The text is no CIF, or none of its blocks lists atoms.
    """
    import gemmi  # noqa: PLC0415 - slow to import, and only CIF files need it

    if not re.search(r"(?im)^\s*data_", text):
        text = f"data_structure {text}"
    try:
        document = gemmi.cif.read_string(text, 0)
    except (RuntimeError, ValueError) as error:
        reason = str(error).removeprefix("string:")
        raise InputError(f"is not a valid CIF (line {reason})") from error
    blocks = [block for block in map(Block, document) if block.has_atoms]
    if not blocks:
        raise InputError("none of its blocks lists atoms (_atom_site_fract_x, _y and _z)")
    return blocks


def read_number(text: str) -> Number | None:
    """A number with its uncertainty in brackets, or a ratio such as 1/3; None if it is neither."""
    ratio = _RATIO.fullmatch(text)
    if ratio is not None and int(ratio[2]):
        return Number(int(ratio[1]) / int(ratio[2]), 0.0)
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    power = int(found[4] or 0)
    decimals = len(found[2] or found[3] or "") - power
    value = float(found[1]) * 10.0**power
    if not math.isfinite(value):
        return None
    return Number(value, 0.5 * 10.0**-decimals if decimals > 1 else 0.0)


def _tag(name: str) -> str:
    return name.lower().replace(".", "_")
