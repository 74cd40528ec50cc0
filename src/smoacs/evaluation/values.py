"""Values of many crystals as users see them."""

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.crystals import ATOMS_AT_ONCE, Crystals, chunk_systems, neighbor_list
from smoacs.evaluation.threads import single_thread
from smoacs.predictors import Predictor, physical


@single_thread()
def evaluate(predictor: Predictor, crystals: Crystals) -> dict[str, NDArray[np.float64]]:
    """Evaluate crystals in chunks, without gradients, as users see the values.

    Returns:
        For each property its values in its unit, shape [B]; NaN for a crystal that is not finite.
    """
    results: dict[str, list[NDArray[np.float64]]] = {name: [] for name in predictor.properties}
    for systems in chunk_systems(crystals.counts, ATOMS_AT_ONCE):
        part = crystals.select(systems)
        with torch.no_grad():
            out = predictor(part, neighbor_list(part, predictor.cutoff))
        for name, values in results.items():
            sound = out[name].double().cpu().where(part.finite.cpu(), torch.nan)
            values.append(physical(name, sound.numpy()))
    return {name: np.concatenate(values) for name, values in results.items()}
