"""Rules on oxidation numbers: which an element and a site may have, and that they add up to 0."""

from collections.abc import Iterator, Sequence

from smoacs.chemistry import DESIGN_TABLE
from smoacs.judging.oxidation import site_charges
from smoacs.judging.rules.request import Placed, Rules


def charge_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Say which rules on oxidation numbers a crystal breaks.

    A crystal that carries none breaks no rule if some choice of them obeys all. Numbers that it
    carries need not be in the default table, for which nobody asked.
    """
    if crystal.charges is None:
        yield from _choosable(rules, crystal)
        return
    table = rules.states()
    for symbol, charge in zip(crystal.symbols, crystal.charges, strict=True):
        is_asked = symbol in rules.oxidation_states or rules.oxidation_table != DESIGN_TABLE
        if is_asked and charge not in table.get(symbol, ()):
            yield f"{_source(rules, symbol)}: there is {symbol} with {charge:+g}"
    if sum(crystal.charges) != 0:
        yield f"neutral: the charges add up to {sum(crystal.charges):+g}"
    for key, asked in rules.site_charges.items():
        for site in crystal.sites(key):
            if crystal.charges[site] not in asked:
                found = f"{crystal.symbols[site]} with {crystal.charges[site]:+g}"
                yield f"site_charges.{key} = {_signed(asked)}: there is {found}"


def _choosable(rules: Rules, crystal: Placed) -> Iterator[str]:
    """The same where the oxidation numbers are free."""
    table = rules.states()
    if not rules.site_charges and site_charges(crystal.structure, table) is not None:
        return
    choices = [set(table.get(symbol, ())) for symbol in crystal.symbols]
    for site, symbol in enumerate(crystal.symbols):
        if not choices[site]:
            yield f"{_source(rules, symbol)}: {symbol} has no oxidation number"
    for key, asked in rules.site_charges.items():
        for site in crystal.sites(key):
            choices[site] &= set(asked)
            if not choices[site]:
                found = f"{crystal.symbols[site]} cannot have it"
                yield f"site_charges.{key} = {_signed(asked)}: {found}"
    sums = {0}
    for choice in choices:
        sums = {total + charge for total in sums for charge in choice}
    if 0 not in sums or not rules.site_charges:
        yield "neutral: no choice of oxidation numbers adds up to 0"


def _source(rules: Rules, symbol: str) -> str:
    """The rule that gives the oxidation numbers of an element."""
    if symbol in rules.oxidation_states:
        return f"oxidation_states.{symbol} = {_signed(rules.oxidation_states[symbol])}"
    return f"oxidation_table = {rules.oxidation_table}"


def _signed(charges: Sequence[int]) -> str:
    return " ".join(f"{charge:+d}" for charge in charges)
