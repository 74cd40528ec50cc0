"""How well intervals cover each kind of chemistry, and how much wider they must be where they fail.

The calibration makes intervals cover what they promise on the average. Here the validation crystals
are taken kind by kind (`smoacs.predictors.widening`).
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.chemistry import ELEMENTS
from smoacs.predictors.network import Network
from smoacs.predictors.properties import physical
from smoacs.predictors.widening import KINDS, Widening, filled, kinds
from smoacs.training.data.batches import Dataset, make_batch

log = logging.getLogger(__name__)

COVERAGE = 0.9
INTERVAL = 1.645
"""Standard deviations on either side that hold this share of a normal distribution."""

LEAST_CRYSTALS = 100
"""A kind with fewer validation crystals is not told from chance."""

LEAST_SEMICONDUCTORS = 20
"""Fewer compounds of filled bands with a gap say too little."""

FILLED_COVERAGE = 0.8
"""Share of the compounds of filled bands with a gap whose interval is to cover it."""

GAP = "band_gap"
LEAST_GAP = 0.05
"""eV. What has less is a metal."""

MOST_ADDED = 1.0
"""eV. Largest standard deviation that is added for filled bands."""

_SHELLS: Mapping[str, str] = {
    "d metals": ("Sc Ti V Cr Mn Fe Co Ni Cu Y Zr Nb Mo Tc Ru Rh Pd Ag Hf Ta W Re Os Ir Pt Au"),
    "f metals": ("La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Ac Th Pa U Np Pu Am Cm Bk Cf"),
}
_BATCH = 64


@dataclass(frozen=True)
class Measured:
    """What an ensemble says of n relaxed crystals.

    Attributes:
        values: As users see them, [n, P].
        std: [n, P].
        labels: NaN where missing, [n, P].
        shares: Of each element, [n, E].
    """

    values: NDArray[np.float64]
    std: NDArray[np.float64]
    labels: NDArray[np.float64]
    shares: NDArray[np.float64]

    def select(self, rows: NDArray[np.bool_]) -> "Measured":
        """Some of the crystals."""
        return Measured(self.values[rows], self.std[rows], self.labels[rows], self.shares[rows])


def measure_spread(network: Network, data: Dataset) -> Measured:
    """Evaluate the relaxed crystals of a set."""
    index = np.flatnonzero(~data.off_equilibrium)
    index = index[np.argsort(data.n_atoms[index], kind="stable")]
    parts: list[list[NDArray[np.float64]]] = []
    with torch.no_grad():
        for start in range(0, len(index), _BATCH):
            batch = make_batch(data, index[start : start + _BATCH], network.settings.cutoff)
            batch = batch.to(network.embedding.device)
            mean, std = network.values_and_spread(batch.crystals, batch.neighbors)
            shares = network.shares(batch.crystals)
            parts.append([x.cpu().double().numpy() for x in (mean, std, shares)])
    values, *others = (np.concatenate(column) for column in zip(*parts, strict=True))
    for k, name in enumerate(network.properties):
        values[:, k] = physical(name, values[:, k])
    labels = data.labels[index].astype(float)
    return Measured(values, others[0], labels, others[1])


def widening_of(network: Network, validation: Measured, train: Measured) -> Widening:
    """By how much spreads must be wider; of a network whose spread is calibrated.

    Args:
        network: Whose properties these are.
        validation: What it says of validation crystals, not widened.
        train: The same for training crystals. Those of filled bands with a gap are few, and the
            network errs on them though it has seen them: they count as well.
    """
    member = kinds(torch.as_tensor(validation.shares)).numpy() > 0.5  # noqa: PLR2004
    factors: dict[str, dict[str, float]] = {}
    for k, name in enumerate(network.properties):
        known = np.isfinite(validation.labels[:, k])
        if name in network.read_out:
            continue  # the readout was fitted to the validation crystals as well
        ratio = _ratios(validation, k)
        for column, kind in enumerate(KINDS):
            own = known & member[:, column]
            if own.sum() < LEAST_CRYSTALS:
                continue
            factor = float(np.quantile(ratio[own], COVERAGE)) / INTERVAL
            log.info("%s, %s: %d crystals, factor %.3f", name, kind, own.sum(), factor)
            if factor > 1:
                factors.setdefault(name, {})[kind] = round(factor, 4)
    added = {}
    if GAP in network.properties:
        column = network.properties.index(GAP)
        added_std = _added_for_filled(column, (validation, train))
        added = {GAP: added_std} if added_std else {}
    return Widening(factors=factors, filled_bands=added)


def widen(network: Network, validation: Dataset, train: Dataset) -> Widening:
    """Find by how much the calibrated spread must be wider, and set it so.

    Args:
        network: Its spread is calibrated.
        validation: Crystals that it was not trained on.
        train: Crystals that it was trained on.
    """
    network.widening = None
    measured = [measure_spread(network, data) for data in (validation, train)]
    network.widening = widening_of(network, measured[0], measured[1])
    return network.widening


def coverage(network: Network, measured: Measured) -> dict[str, dict[str, tuple[int, float]]]:
    """For each property and kind of chemistry, how many crystals, and the share that is covered.

    Besides `KINDS`: d metals, f metals, and what has a gap, alone and by kind.
    """
    classes = dict(_classes(measured.shares))
    report: dict[str, dict[str, tuple[int, float]]] = {}
    for k, name in enumerate(network.properties):
        known = np.isfinite(measured.labels[:, k])
        inside = _ratios(measured, k) <= INTERVAL
        chosen = {label: own & known for label, own in classes.items()}
        if name == GAP:
            gapped = measured.labels[:, k] > LEAST_GAP
            chosen |= {f"{label} with a gap": own & gapped for label, own in chosen.items()}
        report[name] = {
            label: (int(own.sum()), float(inside[own].mean()))
            for label, own in chosen.items()
            if own.any()
        }
    return report


def _classes(shares: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    member = kinds(torch.as_tensor(shares)).numpy() > 0.5  # noqa: PLR2004
    yield "all", np.ones(len(shares), dtype=bool)
    yield from ((kind, member[:, column]) for column, kind in enumerate(KINDS))
    for label, symbols in _SHELLS.items():
        columns = [ELEMENTS.index(symbol) for symbol in symbols.split()]
        yield label, shares[:, columns].sum(1) > 0
    yield "filled bands", _is_filled(shares)


def _is_filled(shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = filled(torch.as_tensor(shares)).numpy() > 0.9  # noqa: PLR2004
    return found


def _added_for_filled(column: int, sets: tuple[Measured, ...]) -> float:
    """Least standard deviation that makes enough of the filled compounds with a gap covered."""
    ratios = []
    for measured in sets:
        gapped = (measured.labels[:, column] > LEAST_GAP) & _is_filled(measured.shares)
        own = measured.select(gapped)
        error = np.abs(own.values - own.labels)[:, column]
        missing = (error / INTERVAL) ** 2 - own.std[:, column] ** 2
        ratios.append(np.sqrt(np.maximum(missing, 0.0)))
    needed = np.concatenate(ratios)
    if len(needed) < LEAST_SEMICONDUCTORS:
        return 0.0
    return round(min(float(np.quantile(needed, FILLED_COVERAGE)), MOST_ADDED), 4)


def _ratios(measured: Measured, column: int) -> NDArray[np.float64]:
    """Errors in standard deviations, [n]."""
    error = np.abs(measured.values - measured.labels)[:, column]
    found: NDArray[np.float64] = error / measured.std[:, column]
    return found
