"""Predicted properties of any list of structures, NaN where a prediction would mean nothing."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate, single_thread
from smoacs.judging.criteria import element_counts, is_crystal, reduced_formula
from smoacs.judging.known import is_known_formula
from smoacs.judging.matching import Match
from smoacs.predictors import CombinedPredictor, NetworkPredictor, Predictor


def evaluate_structures(
    structures: Sequence[Structure],
    predictor: Predictor,
    *,
    matches: Sequence[Match | None] | None = None,
    usable: Sequence[int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Evaluate all properties of a predictor on B structures, in batches.

    A structure that is no crystal (not finite, atoms on one spot) or that holds an element unknown
    to the predictor gets NaN.

    Args:
        structures: In any order, of any sizes.
        predictor: Its properties are evaluated.
        matches: Where each structure sits on its template, if known. The roles and ionic radii
            of the sites, and so the tolerance factor, come from there.
        usable: Which of them can be evaluated (see `usable_structures`), if that is known.

    Returns:
        For each property its values in the property's unit, shape [B].
    """
    table = {name: np.full(len(structures), np.nan) for name in predictor.properties}
    if usable is None:
        usable = usable_structures(structures, predictor)
    if not usable:
        return table
    crystals = Crystals.from_structures([structures[index] for index in usable])
    if matches is not None and any(matches[index] is not None for index in usable):
        found = [(matches[index], len(structures[index])) for index in usable]
        crystals = crystals.replace(
            ionic_radii=torch.as_tensor(np.concatenate([_radii(*pair) for pair in found])),
            site_roles=torch.as_tensor(np.concatenate([_roles(*pair) for pair in found])),
        )
    for name, values in evaluate(predictor, crystals).items():
        if name in table:
            table[name][usable] = values
    return table


def usable_structures(
    structures: Sequence[Structure],
    predictor: Predictor,
    solid: Sequence[bool] | NDArray[np.bool_] | None = None,
) -> list[int]:
    """Which structures are crystals made of elements that the predictor knows.

    Args:
        structures: In any order, of any sizes.
        predictor: Knows some elements.
        solid: Whether each is a crystal (see `is_crystal`), if that is known.
    """
    if solid is None:
        solid = [is_crystal(structure) for structure in structures]
    return [
        index
        for index, structure in enumerate(structures)
        if solid[index] and predictor.elements.issuperset(element_counts(structure))
    ]


def evaluate_domain(
    structures: Sequence[Structure],
    predictor: Predictor,
    *,
    usable: Sequence[int] | None = None,
) -> tuple[NDArray[np.bool_], list[str]] | None:
    """Whether the predictor's training data speak for each structure, and why not.

    Args:
        structures: In any order, of any sizes.
        predictor: Whose training data.
        usable: As for `evaluate_structures`.

    Returns:
        [B] and B texts, empty for those inside; None if no part of the predictor can tell.
    """
    network = _network(predictor)
    if network is None or network.header.domain is None:
        return None
    inside = np.zeros(len(structures), dtype=bool)
    reasons = ["no crystal, or unknown elements"] * len(structures)
    if usable is None:
        usable = usable_structures(structures, predictor)
    if usable:
        with single_thread():
            crystals = Crystals.from_structures([structures[k] for k in usable])
            found = network.applicability(crystals)
        if found is not None:
            inside[usable] = found.in_domain
            for index, reason in zip(usable, found.reasons, strict=True):
                reasons[index] = reason
    return inside, reasons


def predicted(structures: Sequence[Structure], predictor: Predictor) -> pd.DataFrame:
    """Formula, all properties and the domain of each structure, a row for each."""
    usable = usable_structures(structures, predictor)
    table = pd.DataFrame(
        {
            "formula": [reduced_formula(structure) for structure in structures],
            **evaluate_structures(structures, predictor, usable=usable),
        }
    )
    domain = evaluate_domain(structures, predictor, usable=usable)
    if domain is not None:
        table["in_domain"], table["domain_warning"] = domain
    return table


def domain_note(reasons: Sequence[str]) -> str | None:
    """One line on the structures outside what the training covers; None if there are none."""
    outside = [reason for reason in reasons if reason]
    if not outside:
        return None
    common = Counter(reason.split(";")[0] for reason in outside).most_common(1)[0][0]
    return (
        f"{len(outside)} of {len(reasons)} structures lie outside what the predictor was trained "
        f"on (for example: {common}); its values mean little there"
    )


def _network(predictor: Predictor) -> NetworkPredictor | None:
    """The part of a predictor that is a built-in network."""
    parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
    return next((part for part in parts if isinstance(part, NetworkPredictor)), None)


def known_formulas(predictor: Predictor) -> Callable[[str], bool] | None:
    """Whether a reduced formula is known: to the training, or to `smoacs.judging.known`.

    None if no part of the predictor knows what it was trained on.
    """
    network = _network(predictor)
    if network is None:
        return None
    return lambda formula: network.knows_formula(formula) or is_known_formula(formula)


def _radii(match: Match | None, n_atoms: int) -> NDArray[np.float64]:
    return np.full(n_atoms, np.nan) if match is None else match.radii


def _roles(match: Match | None, n_atoms: int) -> NDArray[np.int64]:
    return np.full(n_atoms, -1) if match is None else match.roles
