"""Is a crystal at rest: residual pressure and forces on the predictor's own energy."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate_residuals, is_at_rest
from smoacs.judging.prediction import usable_structures
from smoacs.predictors import Predictor


def evaluate_rest(
    structures: Sequence[Structure],
    predictor: Predictor,
    fixed: Sequence[NDArray[np.bool_]] | None = None,
    *,
    usable: Sequence[int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Evaluate what still acts on each of B structures, in batches.

    Args:
        structures: In any order, of any sizes.
        predictor: One that gives the formation energy.
        fixed: Of each structure the atoms that were asked not to move, [N]; None if all may. The
            forces on them are not counted: they are what holds them.
        usable: Which structures can be evaluated (see `usable_structures`), if that is known.

    Returns:
        `pressure` (GPa; positive if the crystal wants to expand) and `max_force` (eV/Å), each
        [B]; NaN for a structure that is no crystal or holds an unknown element.
    """
    table = {name: np.full(len(structures), np.nan) for name in ("pressure", "max_force")}
    if usable is None:
        usable = usable_structures(structures, predictor)
    if usable:
        crystals = Crystals.from_structures([structures[index] for index in usable])
        still = None
        if fixed is not None:
            still = torch.as_tensor(np.concatenate([fixed[index] for index in usable]))
        found = evaluate_residuals(predictor, crystals, still)
        for name, values in zip(table, found, strict=True):
            table[name][usable] = values.double().cpu().numpy()
    return table


def at_rest(residuals: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Whether each structure is at rest, [B], from what `evaluate_rest` gives."""
    verdict: NDArray[np.bool_] = is_at_rest(
        torch.as_tensor(residuals["pressure"]), torch.as_tensor(residuals["max_force"])
    ).numpy()
    return verdict
