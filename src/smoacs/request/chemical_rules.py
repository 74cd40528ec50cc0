"""Rules on a crystal as a whole: which elements it must hold, how many atoms, how many elements.

What users ask for becomes rules on the sites of a template. A rule keeps the user's words, which
errors quote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import N_ELEMENTS, element_index
from smoacs.errors import InputError
from smoacs.templates import Template

if TYPE_CHECKING:
    from smoacs.request.chemical_settings import ChemicalSettings

EVERYWHERE: Final = "all"
"""Key of `max_elements` for the whole cell."""

MOST_ELEMENTS: Final = 4
"""Of an ordered compound where nobody says: few known ones have more."""

_RATIO_TOLERANCE: Final = 0.004
"""How far a ratio may be from that of whole numbers: 0.33 and 0.667 are thirds."""

_LARGEST_REPEAT: Final = 20
"""No larger supercell is proposed."""


@dataclass(frozen=True)
class Exactly:
    """A number of atoms of an element on some sites."""

    text: str
    element: int
    sites: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class Required:
    """At least one atom of an element on some sites."""

    text: str
    element: int
    sites: tuple[int, ...]


@dataclass(frozen=True)
class AtMost:
    """No more than so many different elements on some sites."""

    text: str
    sites: tuple[int, ...]
    limit: int


@dataclass(frozen=True)
class Tied:
    """Sites that hold the same element."""

    text: str
    sites: tuple[int, ...]


@dataclass(frozen=True)
class Charged:
    """Oxidation numbers that some sites may take."""

    text: str
    sites: tuple[int, ...]
    charges: frozenset[int]


CrystalRule = Exactly | Required | AtMost
ChemicalRule = CrystalRule | Tied | Charged


def chemical_rules(
    settings: "ChemicalSettings", template: Template, repeat: int
) -> list[ChemicalRule]:
    """Rules of a design on the sites of its template.

    Args:
        settings: What is asked for.
        template: Whose sites the rules are about.
        repeat: Cells of the template along each axis.

    Raises:
        InputError: The template has no such sites, too few of them, or a ratio asks for parts of
            atoms.
    """
    everywhere = tuple(range(template.n_sites))
    rules: list[ChemicalRule] = []
    for item in settings.required:
        key, _, symbol = item.rpartition("=")
        sites = template.sites(key, "required") if key else everywhere
        rules.append(Required(f"required = {item}", element_index(symbol), sites))
    for symbol, count in settings.counts.items():
        text = f"counts.{symbol} = {count}"
        rules.append(Exactly(text, element_index(symbol), everywhere, count))
    for key, shares in settings.ratios.items():
        rules += _ratio_rules(template, key, shares, repeat)
    for group in settings.same:
        keys = group.split()
        sites = tuple(sorted({site for key in keys for site in template.sites(key, "same")}))
        if len(sites) == 1:
            raise InputError(
                f"same = {group}: template {template.name!r} has only one such site, which always "
                "equals itself; name a kind with more sites, or several sites"
            )
        rules.append(Tied(f"same = {group}", sites))
    for key, limit in settings.max_elements.items():
        sites = everywhere if key == EVERYWHERE else template.sites(key, "max_elements")
        rules.append(AtMost(f"max_elements.{key} = {limit}", sites, limit))
    if template.order is not None and EVERYWHERE not in settings.max_elements:
        rules += _few_elements(template)
    for key, charges in settings.site_charges.items():
        text = f"site_charges.{key} = {' '.join(f'{charge:+d}' for charge in charges)}"
        rules.append(Charged(text, template.sites(key, "site_charges"), frozenset(charges)))
    return rules


def _few_elements(template: Template) -> list[AtMost]:
    """The most elements of an ordered compound where nobody says; a seed may keep its own."""
    limit = max(MOST_ELEMENTS, len(set(template.site_labels)))
    if template.order is None or len(template.order.representatives) <= limit:
        return []
    text = f"at most {limit} elements, where max_elements.all does not say"
    return [AtMost(text, tuple(range(template.n_sites)), limit)]


def crystal_rules(rules: Sequence[ChemicalRule]) -> list[CrystalRule]:
    """Those rules that neither charges nor ties alone can meet."""
    return [rule for rule in rules if isinstance(rule, CrystalRule)]


def legal_moves(
    rules: Sequence[CrystalRule], elements: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """Which changes of a crystal that meets all rules leave them met.

    Args:
        rules: On the sites of the crystal.
        elements: Element on each site, [n].
        groups: Sites of each of M changes; those of one change hold one element now, and will
            hold another.

    Returns:
        Whether the sites of a change may take an element, [M, 98].
    """
    holds = np.array([elements[group[0]] for group in groups])
    legal = np.ones((len(groups), N_ELEMENTS), dtype=np.bool_)
    for rule in rules:
        inside = np.zeros(len(elements), dtype=np.bool_)
        inside[list(rule.sites)] = True
        size = np.array([int(inside[group].sum()) for group in groups])
        counts = np.bincount(elements[inside], minlength=N_ELEMENTS)
        left = counts[holds] - size  # atoms of the present element that stay
        if isinstance(rule, Exactly):
            legal[(size > 0) & (holds == rule.element)] = False
            legal[size > 0, rule.element] = False
        elif isinstance(rule, Required):
            legal[(holds == rule.element) & (left == 0) & (size > 0)] = False
        else:
            distinct = np.count_nonzero(counts) - ((left == 0) & (size > 0))
            new = (counts == 0)[None] & (size > 0)[:, None]
            legal &= distinct[:, None] + new <= rule.limit
    return legal


def _ratio_rules(
    template: Template, key: str, shares: Mapping[str, float], repeat: int
) -> list[Exactly]:
    """Whole numbers of atoms for the ratios of elements at some sites."""
    sites = template.sites(key, "ratios")
    text = f"ratios.{key} = " + ", ".join(f"{e} {share:g}" for e, share in shares.items())
    counts = _whole_numbers(shares, len(sites))
    if counts is None:
        one = len(sites) / repeat**3
        msg = (
            f"{text} asks for parts of atoms: template {template.name!r} has {len(sites)} "
            f"{'site' if len(sites) == 1 else 'sites'} {key}"
        )
        for larger in range(1, _LARGEST_REPEAT + 1):
            n = round(one * larger**3)
            if "[" not in key and _whole_numbers(shares, n):
                raise InputError(f"{msg}; the smallest repeat that fits is {larger} ({n} sites)")
        raise InputError(f"{msg}; give ratios of whole numbers of atoms")
    return [Exactly(text, element_index(e), sites, count) for e, count in counts.items()]


def _whole_numbers(shares: Mapping[str, float], n_sites: int) -> dict[str, int] | None:
    """Atoms of each element on so many sites; None if they are not whole numbers."""
    counts = {symbol: round(share * n_sites) for symbol, share in shares.items()}
    close = all(
        count > 0 and abs(count / n_sites - shares[symbol]) <= _RATIO_TOLERANCE
        for symbol, count in counts.items()
    )
    return counts if close and sum(counts.values()) == n_sites else None
