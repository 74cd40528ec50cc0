"""Which elements a site may hold: what users ask for, as rules that a template can apply."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from smoacs.chemistry import ELEMENTS, ElementRule, element_rules, forbidden_rules
from smoacs.errors import InputError
from smoacs.templates import DEFAULT_MAX_Z, SiteRule, Template


def as_table(value: object) -> object:
    """Turn texts such as "A=K,Rb", as on the command line, into a table of sites.

    Anything but a list of texts is returned as it is.

    Raises:
        InputError: A text has no "=", or a kind of site is given twice.
    """
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        return value
    table: dict[str, str] = {}
    for text in value:
        kind, equals, elements = (part.strip() for part in text.partition("="))
        if not (kind and equals):
            raise InputError(f'sites: {text!r} is not of the form "A=K,Rb"')
        if kind in table:
            raise InputError(f"sites.{kind} is given twice ({table[kind]!r} and {elements!r})")
        table[kind] = elements
    return table


def site_rules(
    template: Template,
    *,
    elements: Sequence[str] | None,
    forbidden: Sequence[str],
    sites: Mapping[str, Sequence[str]],
    known: AbstractSet[str] | None,
    named: AbstractSet[str] = frozenset(),
) -> list[SiteRule]:
    """Rules of a design, the most telling first; all of them hold.

    Args:
        template: Whose sites they are about.
        elements: The only elements to use; None for all.
        forbidden: Elements never to use.
        sites: The only elements to use at some sites, by the key of those sites.
        known: Elements that the predictor knows; None for all.
        named: Elements that other settings ask for, heavy ones perhaps.

    Raises:
        InputError: The template has no such sites.
    """
    rules: list[SiteRule] = []
    named_heavy: set[int] = set()
    for key, items in sites.items():
        where = template.sites(key)
        parts = element_rules(f"sites.{key}", items)
        rules += [SiteRule(part.text, part.elements, where) for part in parts]
        if _names_elements(items):
            named_heavy.update(where)
    everywhere: list[ElementRule] = element_rules("elements", elements or ())
    everywhere += forbidden_rules("forbidden", forbidden)
    rules += [SiteRule(part.text, part.elements) for part in everywhere]
    if not _names_elements(elements or ()):
        light = tuple(site for site in range(template.n_sites) if site not in named_heavy)
        limit = f"atomic numbers up to {DEFAULT_MAX_Z}, where no element is named"
        usual = frozenset(ELEMENTS[:DEFAULT_MAX_Z]) | named
        rules.append(SiteRule(limit, usual, light))
    if known is not None:
        rules.append(SiteRule("the elements that the predictor knows", known))
    return rules


def _names_elements(items: Sequence[str]) -> bool:
    return any(item in ELEMENTS for item in items)
