"""Fitting kernel readouts (`smoacs.predictors.network.readout`) on a finished ensemble.

All relaxed training and validation crystals with the label take part; what the spread is calibrated
on are predictions for each of them by fits without its formula. Lengths and ridge are those whose
predictions of that kind have the least mean absolute error.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smoacs.errors import InputError
from smoacs.predictors.builtin import formula_hash
from smoacs.predictors.network import Network
from smoacs.predictors.network.readout import LINEAR, SQRT, KernelReadout, kernel_of, squared
from smoacs.predictors.properties import PROPERTIES
from smoacs.training.data.batches import build_dataset, make_batch
from smoacs.training.fitting.loss import SMALLEST
from smoacs.training.layout import RELAXED

log = logging.getLogger(__name__)

LEAST_CRYSTALS = 20
"""Fewer labels are too few for a readout."""

MOST_CRYSTALS = 1500
"""Of more labels so many are drawn, so that weights stay small and a pass cheap."""

COMPONENTS = 128
"""Principal components of the layers' summaries that are kept."""

_LENGTHS = (0.4, 0.6, 0.9)
"""Of the layers' part of the kernel, in medians of the distances."""

_DESCRIPTOR_LENGTH = 1.0
_RIDGES = (0.03, 0.1, 0.3)
_FOLDS = 10
_BATCH = 64
_LEAST_WIDTH = 1e-3
_BEYOND = 1.15
"""Values may exceed the largest label by the square of this (`SQRT`)."""

_MARGIN = 0.5
"""Values may leave the labels' range by so many of their standard deviations (`LINEAR`)."""


@dataclass(frozen=True)
class _Inputs:
    """n labelled crystals: inputs [M, n, f] and [M, n, d], labels [n], folds [n]; all double."""

    summary: Tensor
    descriptors: Tensor
    labels: Tensor
    fold: Tensor


@dataclass(frozen=True)
class _Space:
    """Both squared distances between all crystals, [M, n, n], in squares of their medians."""

    layers: Tensor
    described: Tensor


def fit_readouts(
    network: Network, table: pd.DataFrame, names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Give an ensemble readouts of some of its properties, in place of their heads.

    Args:
        network: The trained ensemble; changed in place.
        table: Its data, as `load_table` gives them.
        names: The properties.

    Returns:
        For each of them raw outputs of the members (columns) for the crystals (rows of the table)
        that it was fitted to, each by a fit without the crystal's formula.

    Raises:
        InputError: If a property is none of the network's, or has too few labels.
    """
    network.readouts = torch.nn.ModuleList()
    network.read_out = tuple(names)
    readouts, held_out = [], {}
    for name in names:
        if name not in network.properties:
            raise InputError(f"the weights have no property {name!r} to read out")
        rows = _labelled(table, name)
        sample = _sample(network, rows, name)
        readout, found = _fit(sample, form_of(name, network.log10))
        held_out[name] = pd.DataFrame(found.T.numpy(), index=rows.index)
        error = (found.mean(0) - sample.labels).abs()
        for split in ("train", "val"):
            mean = float(error[torch.tensor((rows["split"] == split).tolist())].mean())
            log.info("%s: error without the formula %.4g (%s)", name, mean, split)
        readouts.append(readout.to(network.embedding.device, network.embedding.dtype))
    network.readouts = torch.nn.ModuleList(readouts).requires_grad_(requires_grad=False)
    return held_out


def with_formulas(
    formulas: Tensor, table: pd.DataFrame, held_out: Mapping[str, pd.DataFrame]
) -> Tensor:
    """Hashes of formulas, sorted, joined by those of the crystals that readouts were fitted to.

    Args:
        formulas: Those that the training knew, int64.
        table: The data.
        held_out: What `fit_readouts` gave.
    """
    known = set(formulas.tolist())
    for frame in held_out.values():
        known |= {formula_hash(formula) for formula in table.loc[frame.index, "formula"]}
    return torch.tensor(sorted(known), dtype=torch.int64)


def form_of(name: str, log10: Mapping[str, float]) -> str:
    """The form of a property's readout: a square root if it cannot be negative."""
    known = PROPERTIES.get(name)
    positive = known is not None and known.minimum == 0 and name not in log10
    return SQRT if positive else LINEAR


def _labelled(table: pd.DataFrame, name: str) -> pd.DataFrame:
    chosen = (table["kind"] == RELAXED) & table["split"].isin(["train", "val"])
    rows = table[chosen & table[name].notna()]
    if len(rows) < LEAST_CRYSTALS:
        raise InputError(
            f"{name} has {len(rows)} labels of relaxed crystals to train and validate on; "
            f'readout = "kernel" needs at least {LEAST_CRYSTALS}'
        )
    if len(rows) > MOST_CRYSTALS:
        rows = rows.sample(MOST_CRYSTALS, random_state=0).sort_index()
    return rows


def _sample(network: Network, rows: pd.DataFrame, name: str) -> _Inputs:
    """Evaluate what the readout is a function of; small crystals go together."""
    data = build_dataset(rows, (name,), network.settings.cutoff)
    order = np.argsort(data.n_atoms, kind="stable")
    parts = []
    with torch.no_grad():
        for start in range(0, len(order), _BATCH):
            batch = make_batch(data, order[start : start + _BATCH], network.settings.cutoff)
            batch = batch.to(network.embedding.device)
            inputs = network.readout_inputs(batch.crystals, batch.neighbors)
            parts.append([x.cpu().double() for x in inputs])
    back = torch.from_numpy(np.argsort(order))
    summary, descriptors = (torch.cat(p, dim=1)[:, back] for p in zip(*parts, strict=True))
    labels = torch.from_numpy(data.labels[:, 0]).double()
    if name in network.log10:
        labels = labels.clamp(min=SMALLEST).log10()
    fold = [formula_hash(formula) % _FOLDS for formula in data.formulas]
    return _Inputs(summary, descriptors, labels, torch.tensor(fold))


def _fit(sample: _Inputs, form: str) -> tuple[KernelReadout, Tensor]:
    """The readout of a sample, and values of each crystal without its fold, [M, n]."""
    readout = _basis(sample, form)
    space = _space(readout, sample)
    latent = sample.labels / readout.unit
    latent = torch.sqrt(latent.clamp(min=0)) if form == SQRT else latent
    best: tuple[float, float, float, Tensor] | None = None
    for length, ridge in product(_LENGTHS, _RIDGES):
        kernel = kernel_of(space.layers / length**2, space.described / _DESCRIPTOR_LENGTH**2)
        found = readout.value(_without_fold(kernel, latent, sample.fold, ridge))
        error = float((found.mean(0) - sample.labels).abs().mean())
        if best is None or error < best[0]:
            best = (error, length, ridge, found)
    if best is None:
        raise InputError("no readout can be fitted to these data")
    _, length, ridge, found = best
    log.info("readout of %d crystals: length %g, ridge %g", len(latent), length, ridge)
    readout.project /= length
    _round_and_place(readout, sample)
    kernel = kernel_of(*_distances(readout, sample))
    readout.prior[:] = latent.mean()
    readout.weight[:] = _solve(kernel, latent - latent.mean(), ridge)
    return readout, found


def _basis(sample: _Inputs, form: str) -> KernelReadout:
    """A readout in which the median distance of two crystals is 1 in both parts, no weights yet."""
    members, n, features = sample.summary.shape
    components = min(COMPONENTS, n, features)
    shape = (members, n, sample.descriptors.shape[2])
    readout = KernelReadout(form, (members, features, components), shape).double()
    readout.center[:] = sample.summary.mean(1, keepdim=True)
    width = sample.summary.std(1, keepdim=True) + _LEAST_WIDTH
    standard = (sample.summary - readout.center) / width
    _, _, axes = torch.linalg.svd(standard, full_matrices=False)
    readout.project[:] = axes[:, :components].transpose(1, 2) / width.transpose(1, 2)
    readout.middle[:] = sample.descriptors.mean(1, keepdim=True)
    readout.width[:] = sample.descriptors.std(1, keepdim=True) + _LEAST_WIDTH
    labels = sample.labels
    readout.unit.fill_(float(labels.mean() if form == SQRT else labels.std()))
    readout.unit.clamp_(min=SMALLEST)
    scaled = labels / readout.unit
    if form == SQRT:
        readout.high.fill_(_BEYOND * float(scaled.max().clamp(min=0) ** 0.5))
    else:
        readout.low.fill_(float(scaled.min()) - _MARGIN)
        readout.high.fill_(float(scaled.max()) + _MARGIN)
    return readout


def _space(readout: KernelReadout, sample: _Inputs) -> _Space:
    """Distances in the basis, which is scaled to their medians on the way."""
    _round_and_place(readout, sample)
    layers, described = _distances(readout, sample)
    medians = [d.flatten(1).quantile(0.5, dim=1)[:, None, None] for d in (layers, described)]
    medians = [median.clamp(min=SMALLEST) for median in medians]
    readout.project /= medians[0].sqrt()
    readout.width *= _DESCRIPTOR_LENGTH * medians[1].sqrt()
    return _Space(layers / medians[0], described / medians[1])


def _distances(readout: KernelReadout, sample: _Inputs) -> tuple[Tensor, Tensor]:
    a = (sample.summary - readout.center) @ readout.project
    b = (sample.descriptors - readout.middle) / readout.width
    return squared(a, readout.points), squared(b, readout.described)


def _round_and_place(readout: KernelReadout, sample: _Inputs) -> None:
    """Round the basis to half precision and put the crystals in it, rounded as well."""
    readout.project[:] = readout.project.half().double()
    a = (sample.summary - readout.center) @ readout.project
    b = (sample.descriptors - readout.middle) / readout.width
    readout.points[:], readout.described[:] = a.half().double(), b.half().double()


def _without_fold(kernel: Tensor, latent: Tensor, fold: Tensor, ridge: float) -> Tensor:
    """Latent values of each crystal by fits to the other folds, [M, n]."""
    found = latent.mean().expand(len(kernel), len(latent)).clone()
    for f in fold.unique():
        held, kept = (torch.nonzero(m).squeeze(1) for m in (fold == f, fold != f))
        if len(kept) == 0:
            continue
        prior = latent[kept].mean()
        weight = _solve(kernel[:, kept][:, :, kept], latent[kept] - prior, ridge)
        found[:, held] = prior + (kernel[:, held][:, :, kept] @ weight).squeeze(2)
    return found


def _solve(kernel: Tensor, latent: Tensor, ridge: float) -> Tensor:
    """Weights of kernel ridge regression, [M, n, 1]."""
    factor = torch.linalg.cholesky(kernel + ridge * torch.eye(len(latent), dtype=kernel.dtype))
    target = latent[:, None].repeat(len(kernel), 1, 1)
    return torch.cholesky_solve(target, factor)
