"""Lists of elements as users write them: symbols, ``!symbol`` and presets.

In a list of elements to use, such as ``K Rb !Pb no-toxic``, the symbols say which to use (all, if
none is named), and ``!symbol`` and presets take away. In a list of forbidden elements, symbols and
presets take away.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from smoacs.chemistry.elements import ELEMENTS, element_index, symbol_of
from smoacs.chemistry.presets import PRESETS
from smoacs.errors import InputError

_NOT = "!"


@dataclass(frozen=True)
class ElementRule:
    """A part of what a user asks for, which leaves some elements.

    Attributes:
        text: The user's words, such as "elements = K Rb"; errors quote them.
        elements: The elements that it leaves.
    """

    text: str
    elements: frozenset[str]


def element_items(spec: str | Iterable[str], *, forbidden: bool = False) -> tuple[str, ...]:
    """Items of a list of elements, checked and in one order: symbols, ``!symbols``, presets.

    Args:
        spec: A text such as ``"K, Rb !Pb no-toxic"``, or a list of such texts.
        forbidden: Whether the list says what not to use.

    Raises:
        InputError: An item is neither an element from H to Cf nor a preset, or would mean its
            opposite in a list of forbidden elements.
    """
    texts = [spec] if isinstance(spec, str) else spec
    items = {_spelt(item) for text in texts for item in re.split(r"[\s,;]+", text) if item}
    for item in items:
        if item not in PRESETS:
            _check_symbol(item)
        if forbidden and item.startswith(_NOT):
            msg = f"{item!r} in a list of forbidden elements would be allowed: leave it out"
            raise InputError(msg)
        if forbidden and item in PRESETS and not item.startswith("no-"):
            msg = f"{item!r} says what to use, not what to forbid: write elements = {item!r}"
            raise InputError(msg)
    named, excluded, presets = _sorted_apart(items)
    return (*named, *(_NOT + symbol for symbol in excluded), *presets)


def element_rules(setting: str, items: Iterable[str]) -> list[ElementRule]:
    """What a list of elements to use asks for, one rule for each kind of item.

    Args:
        setting: Name of the list, quoted in errors.
        items: Of ``element_items``.
    """
    named, excluded, presets = _sorted_apart(items)
    rules = [ElementRule(f"{setting} = {' '.join(named)}", frozenset(named))] if named else []
    if excluded:
        text = " ".join(_NOT + symbol for symbol in excluded)
        rules.append(_without(f"{setting} = {text}", excluded))
    return rules + _preset_rules(setting, presets)


def forbidden_rules(setting: str, items: Iterable[str]) -> list[ElementRule]:
    """What a list of elements not to use asks for, one rule for each kind of item.

    Args:
        setting: Name of the list, quoted in errors.
        items: Of ``element_items``.
    """
    named, _, presets = _sorted_apart(items)
    rules = [_without(f"{setting} = {' '.join(named)}", named)] if named else []
    return rules + _preset_rules(setting, presets)


def _preset_rules(setting: str, presets: Iterable[str]) -> list[ElementRule]:
    return [ElementRule(f"{setting} = {name}", PRESETS[name].elements) for name in presets]


def _without(text: str, symbols: Iterable[str]) -> ElementRule:
    return ElementRule(text, frozenset(ELEMENTS).difference(symbols))


def _sorted_apart(items: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Named symbols and excluded symbols, each by atomic number, and presets, by name."""
    given = set(items)
    named = [symbol for symbol in ELEMENTS if symbol in given]
    excluded = [symbol for symbol in ELEMENTS if _NOT + symbol in given]
    return named, excluded, [name for name in PRESETS if name in given]


def _spelt(item: str) -> str:
    """An item with the symbol of an element in place of its name."""
    sign, name = (_NOT, item[1:]) if item.startswith(_NOT) else ("", item)
    return sign + symbol_of(name)


def _check_symbol(item: str) -> None:
    symbol = item.removeprefix(_NOT)
    if symbol in PRESETS:
        msg = f"{item!r}: only an element can follow {_NOT!r}; a preset takes away by itself"
        raise InputError(msg)
    near = difflib.get_close_matches(symbol.lower(), PRESETS, n=1)
    if near or "-" in symbol:
        hint = f"did you mean {near[0]!r}?" if near else f"the presets are {', '.join(PRESETS)}"
        msg = f"{symbol!r} is neither an element nor a preset; {hint}"
        raise InputError(msg)
    element_index(symbol)
