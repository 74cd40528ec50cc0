"""Rules on the elements of sites, and which of them exclude each other."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, element_index
from smoacs.errors import InputError

_KEY = re.compile(r"(?P<kind>[^\[\]\s]+)\s*(?:\[\s*(?P<first>\d+)\s*(?P<end>:\s*\d+\s*)?\])?")


@dataclass(frozen=True)
class SiteRule:
    """Elements that some sites may hold.

    Attributes:
        text: What asks for it, such as "sites.A = K Rb"; errors quote it.
        elements: The only elements to use there.
        sites: Indices of the sites; None is all sites.
    """

    text: str
    elements: AbstractSet[str]
    sites: tuple[int, ...] | None = None

    def mask(self, n_sites: int) -> NDArray[np.bool_]:
        """Elements that each site may hold, [N, 98].

        Raises:
            InputError: An element is unknown.
        """
        usable = np.zeros(N_ELEMENTS, dtype=np.bool_)
        usable[[element_index(symbol) for symbol in self.elements]] = True
        mask = np.ones((n_sites, N_ELEMENTS), dtype=np.bool_)
        mask[slice(None) if self.sites is None else list(self.sites)] = usable
        return mask


def site_indices(
    name: str, labels: Sequence[str], key: str, setting: str = "sites"
) -> tuple[int, ...]:
    """Sites that a key names: a kind of site, "X", or some of its sites, "X[0]" or "X[0:2]".

    Args:
        name: Name of the template, for errors.
        labels: Kind of each site.
        key: What the user wrote; sites of a kind count from 0, and the end of a range is not in it.
        setting: Where the user wrote it, for errors.

    Raises:
        InputError: The template has no such kind of site, or too few of it.
    """
    match = _KEY.fullmatch(key.strip())
    kind = match["kind"] if match else key
    counts = Counter(labels)
    if match is None or kind not in counts:
        kinds = ", ".join(f"{label} ({count})" for label, count in counts.items())
        msg = (
            f"{setting}.{key}: template {name!r} has no site kind {kind!r}; its kinds, and how "
            f"many sites each has, are {kinds}"
        )
        raise InputError(msg)
    sites = [site for site, label in enumerate(labels) if label == kind]
    if match["first"] is not None:
        first = int(match["first"])
        end = first + 1 if match["end"] is None else int(match["end"].strip(": "))
        if not first < end <= len(sites):
            msg = (
                f"{setting}.{key}: template {name!r} has {len(sites)} sites {kind}, "
                f"which count from {kind}[0] to {kind}[{len(sites) - 1}]"
            )
            raise InputError(msg)
        sites = sites[first:end]
    return tuple(sites)


def combined(rules: Sequence[SiteRule], n_sites: int) -> NDArray[np.bool_]:
    """Elements that each site may hold under all rules, [N, 98]."""
    mask = np.ones((n_sites, N_ELEMENTS), dtype=np.bool_)
    for rule in rules:
        mask &= rule.mask(n_sites)
    return mask


def fillable(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which combinations, [K], have an element for every site; `allowed` is [K, N, 98]."""
    return np.asarray(np.all(np.any(allowed, axis=2), axis=1))


def conflict(allowed: NDArray[np.bool_], rules: Sequence[SiteRule]) -> tuple[SiteRule, ...]:
    """As few rules as it takes to leave no combination that has an element for every site.

    One rule or two if there are such; else a set of which none can be left out.

    Args:
        allowed: Elements that a site may hold under a combination, [K, N, 98].
        rules: Rules that together leave no combination, the more telling ones first.
    """

    def exclude_each_other(some: Sequence[SiteRule]) -> bool:
        return not fillable(allowed & combined(some, allowed.shape[1])).any()

    for size in (1, 2):
        for some in itertools.combinations(rules, size):
            if exclude_each_other(some):
                return some
    needed = list(rules)
    for rule in reversed(rules):
        rest = [other for other in needed if other is not rule]
        if exclude_each_other(rest):
            needed = rest
    return tuple(needed)


def blame(texts: Sequence[str]) -> str:
    """Say that these rules, in the user's words, leave nothing."""
    if len(texts) == 1:
        return f"{texts[0]} leaves none"
    if len(texts) == 2:  # noqa: PLR2004
        return f"{texts[0]} and {texts[1]} exclude each other"
    return f"{', '.join(texts[:-1])} and {texts[-1]} together leave none"


def unfilled(
    allowed: NDArray[np.bool_],
    possible: NDArray[np.bool_],
    labels: Sequence[str],
    charges: NDArray[np.int8],
) -> str:
    """Name the first site of each combination that is left without an element.

    Args:
        allowed: Elements that a site may hold under a combination, [K, N, 98].
        possible: Whether it has any element left, [K, N].
        labels: Kind of each site.
        charges: Oxidation numbers of the sites, [K, N].
    """
    sites = []
    for k, site in enumerate(np.argmin(possible, axis=1)):
        options = " ".join(ELEMENTS[index] for index in np.flatnonzero(allowed[k, site]))
        sites.append(f"{labels[site]}{charges[k, site]:+d} (one of {options})")
    return " or ".join(dict.fromkeys(sites))
