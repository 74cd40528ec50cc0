"""Calibration of the spread, and what the training covers, for a trained ensemble.

`smoacs train` does this at its end, `smoacs.training.calibrate` to weights that are there. The
parameters of `SpreadHead` maximise the likelihood of the ensemble's errors under a Student
distribution (4 degrees of freedom), with a ridge. Training crystals help to find the shape where
the validation says so; the size comes from validation crystals alone: the interval mean ± 1.645
std covers 90 % of them, each by parameters that were fitted without its fold. These say as well
whether σ may depend on all features, or, where labels are few, on values and their doubt alone.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import torch
from ase.geometry import cellpar_to_cell
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from smoacs.chemistry import ELEMENTS, is_unbalanced
from smoacs.errors import InputError
from smoacs.predictors.builtin import formula_hash
from smoacs.predictors.domain import TrainingDomain, geometry_of, training_domain
from smoacs.predictors.network import Network
from smoacs.predictors.network.spread import (
    SpreadHead,
    member_spread,
    slope_of_power,
    summary_count,
)
from smoacs.predictors.properties import PROPERTIES
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.training.data.batches import Dataset, build_dataset, make_batch
from smoacs.training.fitting.loss import SMALLEST
from smoacs.training.layout import RELAXED
from smoacs.training.spread.widths import COVERAGE, INTERVAL, widen

log = logging.getLogger(__name__)

CRYSTALS = {"train": 16_000, "val": 4_000}
"""At most so many crystals with each property are evaluated."""

LEAST_CRYSTALS = 20
"""A property with fewer validation labels keeps the members' spread."""

LEAST_MEMBER_FACTOR = 0.3
"""The members' spread always counts: away from the data, it is all that can grow."""

_FOLDS = 3
_RIDGES = (0.01, 0.05, 0.25)
_FLOOR = 0.01
"""Least standard deviation in units of the mean error."""

_FREEDOM = 4.0
_LEAST_WIDTH = 1e-2
_MOST_LOGARITHM = 20.0
"""Largest logarithm of σ while a fit tries its steps; a too long one must not overflow."""

_EDGE = 0.002
_MARGIN = 0.7
"""σ may leave its range on the validation crystals by this factor's exponential."""

_BATCH = 64
_ITERATIONS = 120


@dataclass(frozen=True)
class Evaluated:
    """What the ensemble says of n labelled crystals.

    Attributes:
        features: What σ is a function of, [n, features].
        members: The members' spread of the raw outputs, [n, P].
        raw: Mean raw outputs, [n, P].
        predicted: Mean values in their units, as users see them, [n, P].
        labels: In their units, NaN where missing, [n, P].
        fold: Of the formula, from 0, [n].
    """

    features: Tensor
    members: Tensor
    raw: Tensor
    predicted: Tensor
    labels: Tensor
    fold: Tensor


@dataclass(frozen=True)
class _Labelled:
    """Crystals with a label of one property: features, members' spread, error, all raw, and fold.

    `trained` is 1 for training crystals, whose errors are smaller by a factor of their own.
    """

    features: Tensor
    members: Tensor
    error: Tensor
    trained: Tensor
    fold: Tensor

    def __len__(self) -> int:
        return len(self.error)

    def select(self, rows: Tensor) -> "_Labelled":
        """Some of the crystals."""
        return _Labelled(
            self.features[rows],
            self.members[rows],
            self.error[rows],
            self.trained[rows],
            self.fold[rows],
        )


@dataclass(frozen=True)
class _Parameters:
    """Parameters for one property; features are standardised by the caller."""

    weight: Tensor
    bias: Tensor
    member_factor: Tensor
    floor: Tensor

    def std(self, sample: _Labelled) -> Tensor:
        """Standard deviations of new crystals, [n]."""
        sigma = torch.exp(sample.features @ self.weight + self.bias)
        return torch.sqrt((self.member_factor * sample.members) ** 2 + sigma**2 + self.floor**2)


HeldOut = Mapping[int, Tensor]
"""Column of a property that is read out -> raw outputs by fits without the crystal's formula, NaN
for crystals that no fit knew, [n, M]."""


def calibrate(
    network: Network,
    train: Dataset,
    validation: Dataset,
    held_out: tuple[HeldOut, HeldOut] | None = None,
) -> SpreadHead:
    """Find the spread of a trained ensemble.

    Args:
        network: The ensemble.
        train: Crystals that it was trained on; only relaxed ones count, here and below.
        validation: Crystals that it was not trained on.
        held_out: What takes the place of fitted outputs, for both sets.

    Returns:
        The spread, for `network.spread`.
    """
    of_train, of_validation = held_out or ({}, {})
    held = evaluate_ensemble(network, validation, of_validation)
    seen = evaluate_ensemble(network, train, of_train)
    center = held.features.mean(0)
    width = held.features.std(0, correction=0) + _LEAST_WIDTH
    head = SpreadHead(held.features.shape[1], len(network.properties))
    head.center, head.width = center, width
    factor = torch.ones(len(network.properties))
    for k, name in enumerate(network.properties):
        sample, known = _sample(held, network, k, (center, width), trained=False)
        extra, _ = _sample(seen, network, k, (center, width), trained=True)
        if len(sample) < LEAST_CRYSTALS:
            log.info("%s: %d validation labels, not calibrated", name, len(sample))
            head.bias[k] = head.low[k] = head.high[k] = -30.0
            head.floor[k] = 0.0
            continue
        firsts = (0, len(center) - summary_count(len(network.properties)))
        fit, out_of_fold = _cross_fit(sample, extra, firsts)
        _store(head, k, fit, sample)
        unit = (
            slope_of_power(held.raw[known, k], network.log10[name]) if name in network.log10 else 1
        )
        ratio = (held.predicted - held.labels)[known, k].abs() / (out_of_fold * unit)
        factor[k] = float(torch.quantile(ratio, COVERAGE)) / INTERVAL
        log.info("%s: %d validation labels", name, len(sample))
    head.rescale(factor.clamp(min=1e-3))
    return head


def evaluate_ensemble(
    network: Network, data: Dataset, held_out: HeldOut | None = None
) -> Evaluated:
    """Evaluate the relaxed crystals of a set, small ones first."""
    index = np.flatnonzero(~data.off_equilibrium)
    index = index[np.argsort(data.n_atoms[index], kind="stable")]
    parts: list[list[Tensor]] = []
    with torch.no_grad():
        for start in range(0, len(index), _BATCH):
            part = index[start : start + _BATCH]
            batch = make_batch(data, part, network.settings.cutoff).to(network.embedding.device)
            raw, pooled = network.raw_and_pooled(batch.crystals, batch.neighbors)
            for column, known in (held_out or {}).items():
                honest = known[part].T.to(raw)
                fitted = raw[:, :, column]
                raw[:, :, column] = torch.where(honest.isfinite(), honest, fitted)
            features = network.features_of(raw, pooled, batch.crystals)
            values = network.in_units(raw).mean(0)
            found = (features, member_spread(raw), raw.mean(0), values)
            parts.append([x.cpu().float() for x in found])
    features, members, raw, values = (torch.cat(column) for column in zip(*parts, strict=True))
    for k, name in enumerate(network.properties):
        minimum = PROPERTIES[name].minimum if name in PROPERTIES else None
        if minimum is not None:
            values[:, k] = values[:, k].clamp(min=minimum)
    fold = [formula_hash(data.formulas[i]) % _FOLDS if data.formulas else i % _FOLDS for i in index]
    labels = torch.as_tensor(data.labels[index])
    return Evaluated(features, members, raw, values, labels, torch.tensor(fold))


def _sample(
    data: Evaluated,
    network: Network,
    column: int,
    standard: tuple[Tensor, Tensor],
    *,
    trained: bool,
) -> tuple[_Labelled, Tensor]:
    """The crystals with a label of one property, and which they are, [n]."""
    name = network.properties[column]
    known = data.labels[:, column].isfinite()
    label, value = data.labels[known, column], data.predicted[known, column]
    if name in network.log10:
        label, value = label.clamp(min=SMALLEST).log10(), data.raw[known, column]
    features = (data.features[known] - standard[0]) / standard[1]
    flag = torch.full_like(label, float(trained))
    members = data.members[known, column]
    return _Labelled(features, members, (value - label).abs(), flag, data.fold[known]), known


def _cross_fit(
    sample: _Labelled, extra: _Labelled, firsts: Sequence[int] = (0,)
) -> tuple[_Parameters, Tensor]:
    """Choose ridge, features, use of the training crystals by folds of the validation crystals.

    Args:
        sample: Validation crystals.
        extra: Training crystals.
        firsts: Features from one of these on may count.

    Returns:
        The fit to all, and for each validation crystal the standard deviation by the fit without
        its fold.
    """
    fold = sample.fold
    if min(int((fold == f).sum()) for f in range(_FOLDS)) == 0:
        fold = torch.arange(len(sample)) % _FOLDS
    chances = [False, True] if len(extra) else [False]
    best: tuple[float, tuple[float, int, bool], Tensor] | None = None
    for ridge, first, with_training in product(_RIDGES, firsts, chances):
        std = torch.zeros_like(sample.error)
        for f in range(_FOLDS):
            others = sample.select(fold != f)
            fit = _fit([others, extra] if with_training else [others], ridge, first)
            std[fold == f] = fit.std(sample.select(fold == f))
        loss = float(_loss(sample.error, std).mean())
        if math.isfinite(loss) and (best is None or loss < best[0]):
            best = (loss, (ridge, first, with_training), std)
    if best is None:
        raise InputError(
            "no spread can be fitted to these data: every fit gave numbers that are not finite; "
            "look for predictions or labels that are not"
        )
    _, (ridge, first, with_training), std = best
    return _fit([sample, extra] if with_training else [sample], ridge, first), std


def _fit(samples: Sequence[_Labelled], ridge: float, first: int = 0) -> _Parameters:
    """Maximise the likelihood of the errors, less the ridge on the standardised weights.

    Features before the `first` have no weight.
    """
    features = torch.cat([s.features for s in samples])[:, first:]
    members = torch.cat([s.members for s in samples])
    error = torch.cat([s.error for s in samples])
    trained = torch.cat([s.trained for s in samples])
    typical = max(float(samples[0].error.mean()), SMALLEST)
    floor = _FLOOR * typical
    weight = torch.zeros(features.shape[1], dtype=features.dtype, requires_grad=True)
    start = [float(np.log(typical)), 0.0, 0.0]  # bias, that of training crystals, members' factor
    scalars = torch.tensor(start, dtype=features.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, scalars], max_iter=_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimiser.zero_grad()
        logarithm = features @ weight + scalars[0] + scalars[1] * trained
        sigma = torch.exp(logarithm.clamp(max=_MOST_LOGARITHM))
        factor = LEAST_MEMBER_FACTOR + F.softplus(scalars[2])
        std = torch.sqrt((factor * members) ** 2 + sigma**2 + floor**2)
        loss = _loss(error, std).mean() + ridge * (weight**2).sum()
        loss.backward()
        return float(loss.detach())

    optimiser.step(closure)
    factor = LEAST_MEMBER_FACTOR + F.softplus(scalars[2].detach())
    weight = F.pad(weight.detach(), (first, 0))
    return _Parameters(weight, scalars[0].detach(), factor, torch.tensor(floor))


def _loss(error: Tensor, std: Tensor) -> Tensor:
    """Negative logarithm of Student's density, up to a constant."""
    heavy = (_FREEDOM + 1) / 2 * torch.log1p((error / std) ** 2 / _FREEDOM)
    return torch.log(std) + heavy


def _store(head: SpreadHead, column: int, fit: _Parameters, sample: _Labelled) -> None:
    """Put the fit into the head; σ is held near its range on the validation crystals."""
    logarithm = sample.features @ fit.weight + fit.bias
    low, high = torch.quantile(logarithm, torch.tensor([_EDGE, 1 - _EDGE], dtype=logarithm.dtype))
    head.weight[:, column] = fit.weight
    head.bias[column] = fit.bias
    head.low[column], head.high[column] = low - _MARGIN, high + _MARGIN
    head.member_factor[column], head.floor[column] = fit.member_factor, fit.floor


def domain_of(rows: pd.DataFrame, sample: Dataset, cutoff: float) -> TrainingDomain:
    """What a training covers.

    Args:
        rows: The relaxed training crystals.
        sample: Some of them.
        cutoff: Within which neighbours are counted, Å.
    """
    occurs = np.zeros(len(ELEMENTS) + 1, dtype=int)
    for numbers in rows["numbers"]:
        occurs[np.unique(np.asarray(numbers, dtype=int))] += 1
    counts = {ELEMENTS[z - 1]: int(occurs[z]) for z in np.flatnonzero(occurs)}
    parts: list[dict[str, NDArray[np.float64]]] = []
    for part in np.array_split(np.arange(len(sample)), -(-len(sample) // _BATCH)):
        batch = make_batch(sample, part, cutoff)
        parts.append(geometry_of(batch.crystals, batch.neighbors, cutoff))
    geometry = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return replace(training_domain(counts, geometry), unbalanced=_share_unbalanced(rows))


def _share_unbalanced(rows: pd.DataFrame) -> float:
    """Share of the crystals, or of some of them, that no reported charges balance."""
    some = rows.sample(min(len(rows), CRYSTALS["train"]), random_state=0)
    columns = (some["numbers"], some["frac_coords"], some["lattice"])
    found = [
        is_unbalanced(
            [ELEMENTS[int(z) - 1] for z in numbers],
            np.reshape(np.asarray(coords, dtype=float), (-1, 3)),
            cellpar_to_cell(np.asarray(lattice, dtype=float)),
        )
        for numbers, coords, lattice in zip(*columns, strict=True)
    ]
    return float(f"{np.mean(found):.3g}")


def finish_ensemble(
    network: Network,
    header: WeightsHeader,
    table: pd.DataFrame,
    held_out: Mapping[str, pd.DataFrame] | None = None,
) -> WeightsHeader:
    """Calibrate an ensemble's spread in place.

    Args:
        network: The trained ensemble.
        header: What it says of itself so far.
        table: Its data, as `load_table` gives them.
        held_out: What `fit_readouts` gives, if properties are read out.

    Returns:
        The header with what the training covers.
    """
    relaxed = table[table["kind"] == RELAXED]
    properties, cutoff = network.properties, network.settings.cutoff
    sets = [some_of(relaxed, split, properties) for split in ("train", "val")]
    train, validation = (build_dataset(rows, properties, cutoff) for rows in sets)
    honest = [
        {
            properties.index(name): torch.from_numpy(
                frame.reindex(rows.index).to_numpy(float, copy=True)
            )
            for name, frame in (held_out or {}).items()
        }
        for rows in sets
    ]
    head = calibrate(network, train, validation, (honest[0], honest[1]))
    network.spread = head.to(network.embedding.device, network.embedding.dtype)
    rows = relaxed[relaxed["split"] == "train"]
    widening = widen(network, validation, train)
    return replace(header, domain=domain_of(rows, train, cutoff), widening=widening)


def widen_ensemble(network: Network, header: WeightsHeader, table: pd.DataFrame) -> WeightsHeader:
    """Find the widening of a calibrated spread, and which charges are rare; change no weight.

    Args:
        network: The calibrated ensemble.
        header: What it says of itself so far.
        table: Its data, as `load_table` gives them.

    Returns:
        The header with both.
    """
    relaxed = table[table["kind"] == RELAXED]
    properties, cutoff = network.properties, network.settings.cutoff
    train, validation = (
        build_dataset(some_of(relaxed, split, properties), properties, cutoff)
        for split in ("train", "val")
    )
    widening = widen(network, validation, train)
    rows = relaxed[relaxed["split"] == "train"]
    domain = header.domain or domain_of(rows, train, cutoff)
    domain = replace(domain, unbalanced=_share_unbalanced(rows))
    return replace(header, domain=domain, widening=widening)


def some_of(relaxed: pd.DataFrame, split: str, properties: Sequence[str]) -> pd.DataFrame:
    """Of each property's crystals in one split up to `CRYSTALS`, drawn with a fixed seed."""
    rows = relaxed[relaxed["split"] == split].sample(frac=1.0, random_state=0)
    parts = [rows[rows[name].notna()][: CRYSTALS[split]] for name in properties]
    return rows.loc[sorted({label for part in parts for label in part.index})]
