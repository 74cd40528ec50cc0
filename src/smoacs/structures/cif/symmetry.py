"""What a CIF says of its symmetry, and the operators that this may mean."""

import warnings
from dataclasses import dataclass, field
from typing import Final

from pymatgen.core import Lattice

from smoacs.errors import InputError
from smoacs.structures.cif.document import Block
from smoacs.structures.cif.operators import (
    IDENTITY,
    MISFIT,
    Operators,
    combined,
    from_hall,
    from_triplets,
    same_up_to_origin,
)
from smoacs.structures.cif.settings import MONOCLINIC, Setting, settings_of_name, settings_of_number

_TRIPLETS: Final = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation_xyz",
)
_SHIFTS: Final = "_space_group_symop_magn_centering_xyz"
_HALL: Final = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAMES: Final = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
_NUMBERS: Final = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODE: Final = "_space_group_it_coordinate_system_code"


@dataclass(frozen=True)
class Statement:
    """One thing that a file says of its symmetry.

    Attributes:
        words: What it says, for people.
        meanings: The operators that it may mean, those that fit the cell; the usual ones first.
        number: Of the space group; None for a Hall symbol.
        exact: Whether the origin is said, too.
        settings: All that it may mean, whatever the cell.
    """

    words: str
    meanings: tuple[Operators, ...]
    number: int | None = None
    exact: bool = True
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Symmetry:
    """What a file says of its symmetry, taken together.

    Attributes:
        words: What decides.
        meanings: The operators that it may mean; more than one where the origin is not said.
        doubts: Statements that say something else.
        notes: What a reader should know.
    """

    words: str
    meanings: tuple[Operators, ...]
    doubts: tuple[Statement, ...] = ()
    notes: list[str] = field(default_factory=list)


def symmetry_of(block: Block, lattice: Lattice) -> Symmetry:
    """Weigh the operators, the Hall symbol, the name and the number, in this order.

    Raises:
        InputError: One of them is unknown with nothing else to go by, or does not fit the cell, or
            two name different groups.
    """
    notes: list[str] = []
    triplets = _operators(block)
    halls = [Statement(f"the Hall symbol {h!r}", (from_hall(h),)) for h in _texts(block, _HALL)]
    named = _named(block, lattice, notes, needed=triplets is None and not halls)
    statements = [*halls, *named]
    if triplets is not None:
        first = Statement("the symmetry operators", (triplets,))
    elif statements:
        first = statements.pop(0)
    else:
        notes.append("it says nothing of its symmetry and was read in P 1")
        return Symmetry("P 1", (IDENTITY,), (), notes)
    if not first.meanings or first.meanings[0].misfit(lattice) > MISFIT:
        raise InputError(
            f"the cell does not fit {first.words}: its lengths or angles, or the setting of the "
            "group, are not right"
        )
    doubts = tuple(s for s in statements if not _agree(first, s))
    return Symmetry(first.words, first.meanings, doubts, notes)


def _texts(block: Block, tags: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(text for tag in tags if (text := block.text(tag))))


def _operators(block: Block) -> Operators | None:
    for tag in _TRIPLETS:
        triplets = [text for text in block.column(tag) or () if text]
        if triplets:
            magnetic = "magn" in tag
            operators = from_triplets([_spatial(t) if magnetic else t for t in triplets])
            shifts = [_spatial(text) for text in block.column(_SHIFTS) or () if text]
            return combined(operators, from_triplets(shifts)) if magnetic and shifts else operators
    return None


def _spatial(triplet: str) -> str:
    """A magnetic operator without its time reversal."""
    return ",".join(triplet.split(",")[:3])


def _named(block: Block, lattice: Lattice, notes: list[str], *, needed: bool) -> list[Statement]:
    """The names and the number."""
    code = block.text(_CODE)
    found = []
    for name in _texts(block, _NAMES):
        settings = settings_of_name(name, code)
        if settings:
            found.append(_statement(f"the space group {name!r}", settings, lattice))
        else:
            notes.append(f"the space group {name!r} is unknown, and was not compared")
    number = block.number(*_NUMBERS)
    if number is not None and number == round(number) and number > 0:
        settings = settings_of_number(round(number), code)
        words = f"the space-group number {number:g}"
        found.append(_statement(words, settings, lattice))
    if needed and not found and notes:
        raise InputError(
            f"{notes[0].partition(',')[0]}; give its usual symbol, its number or the operators"
        )
    return found


def _statement(words: str, settings: tuple[Setting, ...], lattice: Lattice) -> Statement:
    fitting = [s for s in settings if s.operators.misfit(lattice) <= MISFIT]
    origins = [s for s in fitting if {"1", "2"} & s.codes]
    if not origins and len(fitting) > 1 and not _is_usual(fitting[0]):
        origins = fitting  # symbols with the glide plane e may leave the origin open, too
    meanings = tuple(s.operators for s in origins or fitting[:1])
    choices = {code for s in settings for code in s.codes if code in {"1", "2"}}
    return Statement(words, meanings, settings[0].number, len(choices) == 1, settings)


def _is_usual(setting: Setting) -> bool:
    """Whether a setting is what its symbol means by convention: b unique, or the usual axes."""
    return ("" in setting.codes and "e" not in setting.name) or setting.number in MONOCLINIC


def _agree(first: Statement, second: Statement) -> bool:
    """Whether the second statement may mean what the first means."""
    if second.words.startswith("the space-group number") or first.number is not None:
        numbers = [number_of(operators) for operators in first.meanings]
        if second.number not in (None, *numbers):
            return False
        if second.words.startswith("the space-group number"):
            return True
    meanings = {operators.key for operators in second.meanings}
    meanings |= {setting.operators.key for setting in second.settings}
    if any(operators.key in meanings for operators in first.meanings):
        return True
    return not second.exact and any(
        same_up_to_origin(first.meanings[0], setting.operators) for setting in second.settings
    )


def number_of(operators: Operators) -> int | None:
    """Number of the space group of operators; None if they are none."""
    import spglib  # noqa: PLC0415 - slow to import, and only CIF files need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        kind = spglib.get_spacegroup_type_from_symmetry(operators.rotations, operators.translations)
    return None if kind is None else int(kind.number)
