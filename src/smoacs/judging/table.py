"""One row of verdicts for each structure."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.judging.criteria import (
    is_crystal,
    is_neutral,
    min_distance,
    oxidation_text,
    reduced_formula,
    space_group,
)
from smoacs.judging.matching import Match, angles_kept, match_template
from smoacs.judging.properties import evaluate_structures
from smoacs.judging.rest import at_rest, evaluate_rest
from smoacs.predictors import ENERGY, Predictor
from smoacs.targets import Target
from smoacs.templates import Template


def judge(
    structures: Sequence[Structure],
    targets: Sequence[Target],
    *,
    predictor: Predictor,
    template: Template | None = None,
    known_formulas: Callable[[str], bool] | None = None,
    must_rest: bool = False,
) -> pd.DataFrame:
    """Judge real crystals, from any source, criterion by criterion.

    A crystal succeeds if it is one (finite, no two atoms closer than 0.5 Å), meets every target,
    is charge neutral and, with a template, has kept it (arXiv:2410.08562, the criteria A to E of
    "SC rate"). A structure that is no crystal gets a failed row, never an exception.

    Args:
        structures: Ordered structures; oxidation states that they carry are judged, too.
        targets: What is wanted of them.
        predictor: Gives the values of the targets' properties.
        template: The kind of crystal to be kept.
        known_formulas: Whether a reduced formula is already known; adds the column `novel`.
        must_rest: Whether a crystal only succeeds at rest: no more than 3 GPa of pressure and
            0.1 eV/Å of force on the predictor's own energy. Adds the column `at_rest`.

    Returns:
        A row for each structure, in their order, with the columns of `results.csv` that do not
        depend on a run. `unique` is True for the first success of each reduced formula.

    Raises:
        InputError: A target's property is not among the predictor's, or `must_rest` is asked of
            one without a formation energy.
    """
    _check_properties(targets, predictor)
    if must_rest and ENERGY not in predictor.properties:
        raise InputError(f"rest needs a predictor of {ENERGY}; this one has none")
    solid = [is_crystal(structure) for structure in structures]
    matches: list[Match | None] = [
        match_template(structure, template) if template is not None and ok else None
        for structure, ok in zip(structures, solid, strict=True)
    ]
    values = evaluate_structures(structures, predictor, matches=matches)
    verdicts = {f"{name}_met": met for name, met in _met(targets, values).items()}
    verdicts["neutral"] = np.array([is_neutral(structure) for structure in structures], dtype=bool)
    if template is not None:
        verdicts["template_kept"] = np.array(
            [
                match is not None and angles_kept(structure, template)
                for structure, match in zip(structures, matches, strict=True)
            ],
            dtype=bool,
        )
    if ENERGY in predictor.properties:
        residuals = evaluate_rest(structures, predictor)
        values |= residuals
        if must_rest:
            verdicts["at_rest"] = at_rest(residuals)
    success = np.array(solid, dtype=bool)
    for met in verdicts.values():
        success &= met
    formulas = [reduced_formula(structure) for structure in structures]
    table = pd.DataFrame(
        {
            "success": success,
            "formula": pd.Series(formulas, dtype=object),
            "n_atoms": np.array([len(structure) for structure in structures], dtype=np.int64),
            **values,
            **verdicts,
            "min_distance": np.array([min_distance(s) for s in structures], dtype=float),
            "space_group": pd.Series(
                [space_group(s) if ok else "" for s, ok in zip(structures, solid, strict=True)],
                dtype=object,
            ),
            **_lattices(structures),
            "oxidation_states": pd.Series([oxidation_text(s) for s in structures], dtype=object),
        }
    )
    table["unique"] = first_successes(table)
    if known_formulas is not None:
        table["novel"] = np.array([not known_formulas(f) for f in formulas], dtype=bool)
    return table


def first_successes(table: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the first success of each reduced formula, from the top of the table."""
    success = table["success"]
    return success & ~table["formula"].where(success).duplicated()


def _check_properties(targets: Sequence[Target], predictor: Predictor) -> None:
    for target in targets:
        if target.property not in predictor.properties:
            raise InputError(
                f'target "{target}": the predictor has no property {target.property!r}; '
                f"it has {', '.join(predictor.properties)}"
            )


def _met(
    targets: Sequence[Target], values: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """For each property with a target, which structures meet all targets on it."""
    met: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    for target in targets:
        verdict = target.met(torch.as_tensor(values[target.property])).numpy()
        met[target.property] = verdict & met.get(target.property, True)
    return met


def _lattices(
    structures: Sequence[Structure],
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Lattice lengths (Å) and angles (degrees); NaN where the lattice is not finite or flat."""
    rows = np.full((len(structures), 6), np.nan)
    with np.errstate(all="ignore"):
        for row, structure in zip(rows, structures, strict=True):
            row[:] = structure.lattice.parameters
    return {name: rows[:, i] for i, name in enumerate(("a", "b", "c", "alpha", "beta", "gamma"))}
