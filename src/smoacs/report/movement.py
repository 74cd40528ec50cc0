"""How the batch moved: quantiles of each property over the steps."""

import numpy as np
import pandas as pd

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
MAX_POINTS = 400
"""Steps that are kept; more would not be seen."""


def movement(history: pd.DataFrame) -> dict[str, object]:
    """Reduce a history to what a chart shows.

    Args:
        history: A row for each step and candidate: `step`, `candidate` and the properties.

    Returns:
        `steps`, and for each property a row of `quantiles` (10, 25, 50, 75, 90 %) over the steps;
        None where no candidate had a finite value.
    """
    steps = np.unique(history["step"].to_numpy())
    if len(steps) > MAX_POINTS:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int))]
        history = history[history["step"].isin(steps)]
    quantiles = {}
    for name in history.columns.drop(["step", "candidate"]):
        values = history[name].where(np.isfinite(history[name]))
        groups = values.groupby(history["step"])
        quantiles[str(name)] = [
            [None if np.isnan(value) else float(f"{value:.5g}") for value in groups.quantile(share)]
            for share in QUANTILES
        ]
    return {"steps": steps.tolist(), "quantiles": quantiles}
