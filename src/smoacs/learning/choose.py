"""Which designs of a round are worth a calculation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Composition

from smoacs.learning.settings import BEST, DIFFERENT, UNCERTAIN, LearnSettings

_PLACES = 104
"""Mendeleev numbers go from 1 to 103."""


def choose(candidates: pd.DataFrame, known: Sequence[str], settings: LearnSettings) -> pd.DataFrame:
    """Choose designs with formulas that were never labelled.

    Args:
        candidates: Distinct successes, best first: `id`, `formula` and, if the predictor has it,
            `band_gap.std`.
        known: Reduced formulas that were labelled before.
        settings: How many, and for which reasons.

    Returns:
        `id`, `formula` and `chosen_for` ("best", "uncertain" or "different") of at most
        `settings.per_round` designs; all of them where there are no more.
    """
    left = candidates[~candidates["formula"].isin(set(known))].reset_index(drop=True)
    wanted = settings.counts()
    spread = left.get("band_gap.std", pd.Series(np.nan, index=left.index)).to_numpy(dtype=float)
    if not np.isfinite(spread).any():
        wanted[BEST] += wanted.pop(UNCERTAIN)
    reasons: dict[int, str] = dict.fromkeys(range(min(wanted[BEST], len(left))), BEST)
    doubtful = [int(k) for k in np.argsort(-np.nan_to_num(spread, nan=-1.0), kind="stable")]
    free = [k for k in doubtful if k not in reasons]
    reasons |= dict.fromkeys(free[: wanted.get(UNCERTAIN, 0)], UNCERTAIN)
    formulas = left["formula"].tolist()
    far = _furthest(formulas, list(known), list(reasons), wanted[DIFFERENT])
    reasons |= dict.fromkeys(far, DIFFERENT)
    chosen = left.loc[list(reasons), ["id", "formula"]]
    return chosen.assign(chosen_for=list(reasons.values())).reset_index(drop=True)


def composition_distances(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
    """Distances between n and m compositions, [n, m].

    How far elements must move along the Mendeleev numbers to turn one composition into the other,
    on average over the atoms: the earth mover's distance of C. J. Hargreaves et al., Chem. Mater.
    32, 10610 (2020), here with Pettifor's numbers.
    """
    a, b = _cumulative(first), _cumulative(second)
    rows = [np.abs(row - b).sum(axis=1) for row in a]
    return np.array(rows, dtype=np.float64).reshape(len(a), len(b))


def _cumulative(formulas: Sequence[str]) -> NDArray[np.float64]:
    """Share of atoms up to each Mendeleev number, [n, places]."""
    shares = np.zeros((len(formulas), _PLACES))
    for k, formula in enumerate(formulas):
        composition: Any = Composition(formula).fractional_composition
        for element, share in composition.items():
            shares[k, int(element.mendeleev_no)] += share
    return shares.cumsum(axis=1)


def _furthest(
    formulas: Sequence[str], known: Sequence[str], taken: Sequence[int], number: int
) -> list[int]:
    """Add one by one the formula that is the furthest from the nearest known or taken one."""
    there = [*known, *(formulas[k] for k in taken)]
    nearest = np.full(len(formulas), np.inf)
    if there:
        nearest = composition_distances(formulas, there).min(axis=1)
    nearest[list(taken)] = -np.inf
    found: list[int] = []
    while len(found) < min(number, len(formulas) - len(taken)):
        next_one = int(nearest.argmax())
        found.append(next_one)
        nearest = np.minimum(nearest, composition_distances(formulas, [formulas[next_one]])[:, 0])
        nearest[next_one] = -np.inf
    return found
