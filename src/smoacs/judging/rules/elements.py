"""Rules on elements and numbers of atoms, checked by counting."""

from collections import Counter
from collections.abc import Iterator

from pymatgen.core import Element

from smoacs.chemistry import PRESETS
from smoacs.judging.rules.request import Placed, Rules, named_elements, permits

_RADON = 86
"""Atomic number; heavier elements are used only where they are named."""

_RATIO_SLACK = 0.005
"""How far a share may be from what was asked for: 0.33 stands for a third."""


def element_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Say which rules on the choice of elements a crystal breaks."""
    present = sorted(set(crystal.symbols))
    if rules.elements is not None:
        for symbol in present:
            if not permits(rules.elements, symbol):
                yield f"elements = {' '.join(rules.elements)}: there is {symbol}"
    for symbol in present:
        for item in rules.forbidden:
            # A preset in this list forbids what it does not leave.
            leaves = PRESETS[item].elements if item in PRESETS else None
            if symbol == item or (leaves is not None and symbol not in leaves):
                yield f"forbidden = {item}: there is {symbol}"
    for key, items in rules.sites.items():
        for symbol in sorted(set(crystal.held(key))):
            if not permits(items, symbol):
                yield f"sites.{key} = {' '.join(items)}: there is {symbol}"
    yield from _heavy_complaints(rules, crystal)


def _heavy_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Elements above radon that nobody asked for."""
    named = {item.rpartition("=")[2] for item in rules.required} | set(rules.counts)
    named |= {symbol for shares in rules.ratios.values() for symbol in shares}
    named |= named_elements(rules.elements or ())
    by_site: list[set[str]] = [set(named) for _ in crystal.symbols]
    for key, items in rules.sites.items():
        for site in crystal.sites(key):
            by_site[site] |= named_elements(items)
    for symbol, asked in zip(crystal.symbols, by_site, strict=True):
        if Element(symbol).Z > _RADON and symbol not in asked:
            yield f"elements above Z = {_RADON} only where they are named: there is {symbol}"


def count_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Say which rules on numbers of atoms and of elements a crystal breaks."""
    found = Counter(crystal.symbols)
    for item in rules.required:
        key, equals, symbol = item.rpartition("=")
        if symbol not in (crystal.held(key) if equals else crystal.symbols):
            yield f"required = {item}: there is none"
    for symbol, count in rules.counts.items():
        if found[symbol] != count:
            yield f"counts.{symbol} = {count}: there are {found[symbol]}"
    for group in rules.same:
        different = sorted({symbol for key in group.split() for symbol in crystal.held(key)})
        if len(different) > 1:
            yield f"same = {group}: there are {' '.join(different)}"
    for key, limit in rules.max_elements.items():
        different = sorted(set(crystal.held(key)))
        if len(different) > limit:
            yield f"max_elements.{key} = {limit}: there are {' '.join(different)}"
    yield from _ratio_complaints(rules, crystal)


def _ratio_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    for key, shares in rules.ratios.items():
        own = Counter(crystal.held(key))
        n = own.total()
        wrong = [s for s in own | Counter(list(shares)) if _off(own[s] / n, shares.get(s))]
        if wrong:
            symbol = min(wrong)
            asked = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            yield f"ratios.{key} = {asked}: {own[symbol]} of {n} atoms are {symbol}"


def _off(share: float, asked: float | None) -> bool:
    return share > 0 if asked is None else abs(share - asked) > _RATIO_SLACK
