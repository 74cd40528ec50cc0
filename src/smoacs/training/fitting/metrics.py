"""Errors on held-out crystals, in numbers for a header and a report."""

import numpy as np
from numpy.typing import NDArray

from smoacs.predictors.network import Network
from smoacs.training.data.batches import Dataset
from smoacs.training.fitting.evaluation import log10

SIZES = ((1, 5), (6, 10), (11, 20), (21, 30), (31, 50), (51, 10_000))
"""Classes of crystals by their number of atoms."""

_HEADER_SIZES = (20, 30)


def header_metrics(
    network: Network, data: Dataset, predicted: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Mean absolute errors on relaxed crystals: all, those of at most 20 atoms, and of 30.

    Args:
        network: The ensemble.
        data: The test crystals.
        predicted: Its predictions for them, [n, properties].
    """
    result: dict[str, dict[str, float]] = {}
    for k, name in enumerate(network.properties):
        known = _known(data, k)
        error = np.abs(predicted[:, k] - data.labels[:, k])
        numbers: dict[str, float] = {"n": int(known.sum())}
        if known.any():
            numbers = {"mae": float(error[known].mean())} | numbers
            if name in network.log10:
                ratio = log10(predicted[known, k]) - log10(data.labels[known, k])
                numbers["mae_log10"] = float(np.abs(ratio).mean())
        for size in _HEADER_SIZES:
            small = known & (data.n_atoms <= size)
            if small.any():
                numbers[f"mae_up_to_{size}_atoms"] = float(error[small].mean())
        result[name] = numbers
    return result


def property_statistics(
    data: Dataset, predicted: NDArray[np.float64], column: int, middle: float
) -> dict[str, float]:
    """Errors of one property on relaxed crystals; empty if none has a label.

    Args:
        data: The test crystals.
        predicted: [n, properties].
        column: The property's place.
        middle: Median of the training labels, the guess to beat.
    """
    known = _known(data, column)
    if not known.any():
        return {}
    label = data.labels[known, column].astype(float)
    error = predicted[known, column] - label
    spread = float(((label - label.mean()) ** 2).sum())
    numbers = {
        "n": float(known.sum()),
        "mae": float(np.abs(error).mean()),
        "median_error": float(np.median(np.abs(error))),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "mae_of_median_guess": float(np.abs(label - middle).mean()),
    }
    if spread > 0:
        numbers["r2"] = 1 - float((error**2).sum()) / spread
    return numbers


def errors_by_size(
    data: Dataset, predicted: NDArray[np.float64], column: int
) -> list[dict[str, float]]:
    """Mean absolute error of each class of sizes that occurs."""
    known = _known(data, column)
    error = np.abs(predicted[:, column] - data.labels[:, column])
    rows = []
    for low, high in SIZES:
        use = known & (data.n_atoms >= low) & (data.n_atoms <= high)
        if use.any():
            mae = float(error[use].mean())
            rows.append({"from": low, "to": high, "n": int(use.sum()), "mae": mae})
    return rows


def _known(data: Dataset, column: int) -> NDArray[np.bool_]:
    """Relaxed crystals with a label."""
    known: NDArray[np.bool_] = np.isfinite(data.labels[:, column]) & ~data.off_equilibrium
    return known
