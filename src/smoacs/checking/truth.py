"""Designs against density-functional theory: the columns that labels give."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from smoacs.dft import DftLabel
from smoacs.targets import Target

GAP: Final = "band_gap"

GAP_TOLERANCE: Final = 0.5
"""eV that a calculated gap may be off its target and still confirm it."""


def dft_table(
    labels: Sequence[DftLabel], targets: Sequence[Target], *, tolerance: float = GAP_TOLERANCE
) -> pd.DataFrame:
    """Write labels as columns, and say which designs they confirm.

    A design is confirmed if its calculated gap is within `tolerance` of the middle of the target's
    window, or of a bound on one side or beyond it. Without a target of that kind for the band gap
    there is no column `confirmed`. A failed calculation confirms nothing and has no values.

    Args:
        labels: One for each design.
        targets: What was wanted.
        tolerance: eV.

    Returns:
        A row for each label: `dft_band_gap`, `dft_band_gap_direct` (eV), `dft_pressure` (GPa),
        `dft_max_force` (eV/Å), `dft_energy` (eV/atom, the engine's own), `dft_status` ("ok", or why
        there are no values), `dft_engine`, and `confirmed`.
    """
    results = [label.results for label in labels]
    nan = math.nan
    columns: dict[str, list[float | None]] = {
        "dft_band_gap": [nan if r is None else r.band_gap for r in results],
        "dft_band_gap_direct": [nan if r is None else r.band_gap_direct for r in results],
        "dft_pressure": [nan if r is None else r.pressure for r in results],
        "dft_max_force": [nan if r is None else r.max_force for r in results],
        "dft_energy": [nan if r is None else r.energy_per_atom for r in results],
    }
    table = pd.DataFrame(columns, dtype=float)
    table["dft_status"] = [label.failure or "ok" for label in labels]
    table["dft_engine"] = ["" if r is None else r.engine for r in results]
    gap_targets = confirmable(targets)
    if gap_targets:
        gaps = table["dft_band_gap"].to_numpy()
        table["confirmed"] = np.all([confirms(gaps, t, tolerance) for t in gap_targets], axis=0)
    return table


def confirmable(targets: Sequence[Target]) -> list[Target]:
    """The targets that a calculated gap can confirm: windows and bounds of the band gap."""
    return [target for target in targets if target.property == GAP and not target.direction]


def confirms(
    gaps: np.ndarray[tuple[int], np.dtype[np.float64]], target: Target, tolerance: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether gaps (eV) are within the tolerance of a target, [B]; NaN is not."""
    middle = (target.low + target.high) / 2
    low, high = (middle, middle) if math.isfinite(middle) else (target.low, target.high)
    return (gaps >= low - tolerance) & (gaps <= high + tolerance)
