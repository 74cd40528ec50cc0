"""From what a user asks for to a template on which it can be met; else, what clashes.

Everything is decided before anything runs: is there a single neutral decoration of the template
that meets all rules? If not, rules are tried one by one and two by two, to name those that clash.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import OxidationTable, oxidation_table
from smoacs.errors import InputError
from smoacs.request.chemical_rules import (
    Charged,
    ChemicalRule,
    CrystalRule,
    Tied,
    crystal_rules,
)
from smoacs.request.variants import Frame, decorate, frames_of, has_variant
from smoacs.templates import (
    SiteRule,
    Template,
    allowed_at,
    blame,
    combination_names,
    combined,
    tie,
)

DRAWS: Final = 12
"""Decorations drawn for each way to mix charges; their charges become combinations."""

MAX_MIXED: Final = 16
"""Most combinations of mixed charges."""

MOST_NAMED: Final = 4
"""Combinations of charges that an error names."""

AnyRule = SiteRule | ChemicalRule


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of a template.

    Attributes:
        template: As built, without any rule.
        rules: All of them are to hold, the most telling ones first.
        table: Oxidation numbers by element.
        states: What the user asked for about that table, by element or "" for all of it.
    """

    template: Template
    rules: Sequence[AnyRule]
    table: OxidationTable
    states: Mapping[str, str]

    def narrowed(self) -> Template:
        """The template with those combinations and elements that rules on sites and charges leave.

        Under each of its combinations there is a decoration that meets all rules, those on the
        crystal as a whole included.

        Raises:
            InputError: There is none; the rules that clash are named.
        """
        if not self.is_possible(self.rules):
            raise self._refusal()
        whole = crystal_rules([rule for rule in self.rules if not isinstance(rule, SiteRule)])
        template = self._with_charges().with_rules(_of_sites(self.rules))
        ties = [rule.sites for rule in self.rules if isinstance(rule, Tied)]
        template = template.with_ties(ties) if ties else template
        kept = [
            k
            for k, frame in enumerate(frames_of(template))
            if not whole or decorate(frame, whole, template.tied_to) is not None
        ]
        return _with_rows(template, kept)

    def is_possible(self, rules: Sequence[AnyRule]) -> bool:
        """Whether some decoration meets these rules."""
        return any(self._decorate(frame, rules) is not None for frame in self._frames(rules))

    def _decorate(
        self, frame: Frame, rules: Sequence[AnyRule], rng: np.random.Generator | None = None
    ) -> NDArray[np.int64] | None:
        """Charge of each site, [N], in a decoration that meets the rules; None if none does."""
        groups = [rule.sites for rule in rules if isinstance(rule, Tied)]
        before = self.template.tied_to
        n_sites = self.template.n_sites
        tied_to = tie(n_sites, groups, before) if groups else before
        whole = crystal_rules([rule for rule in rules if not isinstance(rule, SiteRule)])
        allowed = frame.allowed & combined(_of_sites(rules), n_sites)
        found = decorate(Frame(frame.charges, allowed), whole, tied_to, rng)
        return None if found is None else frame.charges[found.choice, np.arange(n_sites)]

    def _frames(self, rules: Sequence[AnyRule]) -> list[Frame]:
        """Charges to choose from: the template's combinations, and mixed ones if asked for."""
        asked = [rule for rule in rules if isinstance(rule, Charged)]
        frames = frames_of(self.template)
        kept = [frame for frame in frames if _obeys(frame.charges[0], asked)]
        return kept + self._mixed_frames(asked)

    def _mixed_frames(self, asked: Sequence[Charged]) -> list[Frame]:
        """Frames in which sites choose among the charges asked for, each for itself.

        The other sites have the charges of one of the template's combinations. Sites that a rule
        outside of those `asked` is about also choose among the charges they have there.
        """
        every = [rule for rule in self.rules if isinstance(rule, Charged)]
        if not every:
            return []
        combinations = self.template.combinations.astype(np.int64)
        choices_of = [
            rule.charges
            if rule in asked
            else rule.charges.union(*combinations[:, list(rule.sites)])
            for rule in every
        ]
        numbers = sorted(set().union(*choices_of))
        takes = np.ones((len(numbers), self.template.n_sites), dtype=np.bool_)
        free = np.zeros(self.template.n_sites, dtype=np.bool_)
        for rule, charges in zip(every, choices_of, strict=True):
            sites = list(rule.sites)
            free[sites] = True
            takes[:, sites] &= np.isin(numbers, list(charges))[:, None]
        others = np.where(free, 0, combinations)
        frames = []
        for row in np.unique(others, axis=0):
            choices = np.array([np.where(free, number, row) for number in numbers])
            frames.append(Frame(choices, self._allowed_at(choices) & takes[:, :, None]))
        return frames

    def _allowed_at(self, charges: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Elements that take charges, [L, N, 98], but for those that the template leaves out."""
        base = self.template
        expected, _ = allowed_at(base.combinations, base.roles, self.table)
        left_out = (expected & ~base.allowed).any(axis=0)
        return allowed_at(charges, base.roles, self.table)[0] & ~left_out

    def _with_charges(self) -> Template:
        """The template with the combinations of charges asked for, mixed ones added."""
        base = self.template
        asked = [rule for rule in self.rules if isinstance(rule, Charged)]
        kept = [k for k, row in enumerate(base.combinations) if _obeys(row.astype(np.int64), asked)]
        known = {base.combinations[k].tobytes() for k in kept}
        rng = np.random.default_rng(0)  # which mixtures there are does not depend on the seed
        rows: list[NDArray[np.int8]] = []
        for _, frame in itertools.product(range(DRAWS), self._mixed_frames(asked)):
            drawn = self._decorate(frame, self.rules, rng)
            row = None if drawn is None else drawn.astype(np.int8)
            if row is not None and row.tobytes() not in known and len(rows) < MAX_MIXED:
                known.add(row.tobytes())
                rows.append(row)
        if not rows:
            return _with_rows(base, kept)
        charges = np.stack(rows)
        allowed, radii = allowed_at(charges, base.roles, self.table)
        allowed &= self._allowed_at(charges.astype(np.int64))
        names = combination_names(base.site_labels, charges)
        return replace(
            base,
            combinations=np.concatenate([base.combinations[kept], charges]),
            combination_names=(*(base.combination_names[k] for k in kept), *names),
            allowed=np.concatenate([base.allowed[kept], allowed]),
            radii=None
            if base.radii is None
            else np.concatenate([base.radii[kept], np.where(allowed, radii, 0.0)]),
        )

    def _refusal(self) -> InputError:
        """What to tell a user whose rules no decoration meets."""
        texts = list(dict.fromkeys(rule.text for rule in self.rules))
        clash = self._clash(texts)
        name = self.template.name
        mentioned = set(re.findall(r"[A-Z][a-z]?", " ".join(clash)))
        about = [text for symbol, text in self.states.items() if symbol in {"", *mentioned}]
        if len(clash) + len(about) > 1:
            return InputError(f"{blame([*clash, *about])} (template {name!r})")
        counts = Counter(self.template.site_labels)
        sites = ", ".join(f"{count} {label}" for label, count in counts.items())
        names = self.template.combination_names
        charges = " or ".join(
            names if len(names) <= MOST_NAMED else (*names[:MOST_NAMED], "others")
        )
        return InputError(
            f"{clash[0]} and template {name!r} exclude each other: its sites are {sites}, with the "
            f"charges {charges}"
        )

    def _clash(self, texts: Sequence[str]) -> Sequence[str]:
        """As few rules as it takes to leave no decoration, one or two if there are such."""

        def clashes(some: Sequence[str]) -> bool:
            return not self.is_possible([rule for rule in self.rules if rule.text in some])

        for size in (1, 2):
            for some in itertools.combinations(texts, size):
                if clashes(some):
                    return some
        needed = list(texts)
        for text in reversed(texts):
            rest = [other for other in needed if other != text]
            if clashes(rest):
                needed = rest
        return needed


def narrowed(
    template: Template,
    rules: Sequence[AnyRule],
    table: OxidationTable | None,
    states: Mapping[str, str],
) -> Template:
    """The template restricted so that all rules can be met; see `Request.narrowed`.

    Args:
        template: As built.
        rules: All of them are to hold, the most telling ones first.
        table: Oxidation numbers by element; None for the common table.
        states: What the user asked for about that table, by element or "" for all of it.

    Raises:
        InputError: Nothing meets all rules; those that clash are named.
    """
    sites = _of_sites(rules)
    if len(sites) == len(rules):
        return template.with_rules(sites)
    table = oxidation_table() if table is None else table
    return Request(template, rules, table, states).narrowed()


def still_possible(template: Template, rules: Sequence[ChemicalRule], cause: str) -> Template:
    """The template without combinations under which rules on the crystal can no longer be met.

    Args:
        template: Already restricted by the rules, and then further.
        rules: On its sites.
        cause: What restricted it further, for errors.

    Raises:
        InputError: No combination is left; a rule that clashes with the cause is named.
    """
    whole = crystal_rules(rules)
    if not whole or not cause:
        return template

    def kept(some: Sequence[CrystalRule]) -> list[int]:
        return [k for k in range(template.n_combinations) if has_variant(template, some, k)]

    rows = kept(whole)
    if not rows:
        single = next((rule.text for rule in whole if not kept([rule])), None)
        texts = [single] if single else list(dict.fromkeys(rule.text for rule in whole))
        raise InputError(f"{blame([*texts, cause])} (template {template.name!r})")
    return _with_rows(template, rows)


def _of_sites(rules: Sequence[AnyRule]) -> list[SiteRule]:
    return [rule for rule in rules if isinstance(rule, SiteRule)]


def _obeys(charges: NDArray[np.int64], asked: Sequence[Charged]) -> bool:
    """Whether the charges of the sites, [N], are those asked for."""
    return all(set(charges[list(rule.sites)].tolist()) <= rule.charges for rule in asked)


def _with_rows(template: Template, kept: Sequence[int]) -> Template:
    """The template with some of its combinations only."""
    if len(kept) == template.n_combinations:
        return template
    rows = list(kept)
    return replace(
        template,
        combinations=template.combinations[rows],
        combination_names=tuple(template.combination_names[k] for k in rows),
        allowed=template.allowed[rows],
        radii=None if template.radii is None else template.radii[rows],
    )
