"""Values of many crystals as users see them, and how far crystals are from rest."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.crystals import Crystals
from smoacs.evaluation.derivatives import residuals
from smoacs.evaluation.evaluator import Evaluator
from smoacs.predictors import Predictor, physical
from smoacs.torch_modes import own_modes


@own_modes()
def evaluate(predictor: Predictor, crystals: Crystals) -> dict[str, NDArray[np.float64]]:
    """Evaluate crystals, without gradients, as users see the values.

    Returns:
        For each property its values in its unit, shape [B]; NaN for a crystal that is not finite.
    """
    with Evaluator(predictor, tuple(predictor.properties)) as evaluator:
        found = evaluator.values(crystals).values
    finite = crystals.finite.cpu()
    sound = {name: x.double().cpu().where(finite, torch.nan) for name, x in found.items()}
    return {name: physical(name, value.numpy()) for name, value in sound.items()}


def evaluate_residuals(
    predictor: Predictor, crystals: Crystals, fixed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pressure (GPa) and largest force (eV/Å) of each crystal, each [B].

    Args:
        predictor: One that gives the formation energy.
        crystals: Real crystals.
        fixed: Atoms that must not move, [N], whose forces are not counted; None if all may.
    """
    with Evaluator(predictor, ()) as evaluator:
        slopes = evaluator.energy_slopes(crystals)
    return residuals(slopes.frac_grad, slopes.cell_grad, crystals, fixed)
