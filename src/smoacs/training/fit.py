"""Fitting the built-in network: one member per process, on a time or epoch budget."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from smoacs.predictors.properties import property_scale
from smoacs.training.data import Batch, Dataset, Noise, make_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from smoacs.predictors.network import Network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossTerm:
    """How one property is fitted.

    Attributes:
        scale: Errors are divided by this, in the property's unit.
        off_equilibrium: Weight of labels of crystals that are not relaxed.
        keep_on_noise: Whether the label holds for a slightly deformed crystal.
        censored: Labels of zero only ask for a prediction of zero or less (a metal's gap).
    """

    scale: float
    off_equilibrium: float = 1.0
    keep_on_noise: bool = False
    censored: bool = False


LOSS_TERMS = {
    "formation_energy": LossTerm(scale=0.3, off_equilibrium=0.4),
    "band_gap": LossTerm(scale=0.8, keep_on_noise=True, censored=True),
    "energy_above_hull": LossTerm(scale=0.1, off_equilibrium=0.1),
}

HUBER_DELTA = 0.1


def loss_terms(properties: tuple[str, ...]) -> list[LossTerm]:
    """How each property is fitted; one unknown here counts errors in its own scale."""
    return [LOSS_TERMS.get(p, LossTerm(scale=property_scale(p))) for p in properties]


@dataclass(frozen=True)
class FitSettings:
    """Budget and optimiser of one fit."""

    seconds: float
    batch_size: int = 32
    off_equilibrium_share: float = 0.3
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_seconds: float = 30.0
    ema: float = 0.999
    gradient_clip: float = 1.0
    seed: int = 0
    noise: Noise = field(default_factory=Noise)
    validate_every: float = 240.0


def loss_of(prediction: Tensor, batch: Batch, off: Tensor, terms: list[LossTerm]) -> Tensor:
    """Weighted Huber loss of one member's predictions [B, properties]; a scalar."""
    scale = prediction.new_tensor([t.scale for t in terms])
    censored = torch.tensor([t.censored for t in terms])
    off_weight = prediction.new_tensor([t.off_equilibrium for t in terms])
    error = (prediction - batch.labels) / scale
    error = torch.where(censored & (batch.labels <= 0), torch.relu(error), error)
    weight = batch.weights * torch.where(off[:, None], off_weight, torch.ones_like(off_weight))
    huber = torch.nn.functional.huber_loss(
        error, torch.zeros_like(error), reduction="none", delta=HUBER_DELTA
    )
    return (huber / HUBER_DELTA * weight).sum() / len(error)


def start_from_composition(network: Network, data: Dataset, terms: list[LossTerm]) -> None:
    """Set output scales, and the elements' shifts of each property, by a ridge fit."""
    x = np.zeros((len(data), network.embedding.shape[1]))
    system = np.repeat(np.arange(len(data)), data.n_atoms)
    np.add.at(x, (system, data.numbers.astype(int) - 1), 1.0)
    x /= data.n_atoms[:, None]
    with torch.no_grad():
        for k, _ in enumerate(terms):
            y = data.labels[:, k].astype(float)
            keep = np.isfinite(y) & ~data.off_equilibrium
            a = x[keep]
            shift = np.linalg.solve(a.T @ a + 1.0 * np.eye(a.shape[1]), a.T @ y[keep])
            network.element_shift[:, :, k] = torch.as_tensor(shift, dtype=torch.float32)
            network.scale[k] = float(np.std(y[keep] - a @ shift))


def epoch_batches(
    data: Dataset, settings: FitSettings, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Random batches: every relaxed crystal once, off-equilibrium ones in their share."""
    relaxed = rng.permutation(np.flatnonzero(~data.off_equilibrium))
    off = np.flatnonzero(data.off_equilibrium)
    share = settings.off_equilibrium_share if len(off) else 0.0
    per_batch = max(1, round(settings.batch_size * (1 - share)))
    for start in range(0, len(relaxed) - per_batch + 1, per_batch):
        part = relaxed[start : start + per_batch]
        extra = rng.choice(off, settings.batch_size - per_batch) if share else off[:0]
        yield np.concatenate([part, extra])


def fit(
    network: Network,
    train: Dataset,
    validation: Dataset,
    *,
    settings: FitSettings,
    checkpoint: Path,
) -> dict[str, float]:
    """Fits a one-member network in place (to its averaged weights) within the time budget.

    Validation errors go to the log and, one JSON object a line, to `checkpoint` with the suffix
    `.log`; the averaged weights to `checkpoint` at each validation. Returns the last errors.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    terms = loss_terms(network.properties)
    keep = tuple(t.keep_on_noise for t in terms)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema)
    )
    averaged = copy.deepcopy(network)
    begin = last = time.monotonic()
    errors: dict[str, float] = {}
    step = epoch = 0
    done = False
    while not done:
        for index in epoch_batches(train, settings, rng):
            elapsed = time.monotonic() - begin
            progress = elapsed / settings.seconds
            done = progress >= 1
            if done or time.monotonic() - last > settings.validate_every:
                last = time.monotonic()
                averaged.load_state_dict(average.module.state_dict())
                errors = evaluate(averaged, validation)
                _save(averaged, checkpoint, errors, epoch=epoch, step=step, seconds=elapsed)
            if done:
                break
            rate = (
                min(1.0, elapsed / settings.warmup_seconds)
                * 0.5
                * (1 + math.cos(math.pi * progress))
            )
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * max(rate, 1e-3)
            batch = make_batch(
                train,
                index,
                network.settings.cutoff,
                noise=settings.noise,
                keep_on_noise=keep,
                rng=rng,
            )
            off = torch.from_numpy(train.off_equilibrium[index])
            loss = loss_of(network(batch.crystals, batch.neighbors)[0], batch, off, terms)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            optimiser.step()
            average.update_parameters(network)
            step += 1
        epoch += 1
    network.load_state_dict(average.module.state_dict())
    return errors


def evaluate(network: Network, data: Dataset, batch_size: int = 128) -> dict[str, float]:
    """Mean absolute errors per property over relaxed and over off-equilibrium crystals."""
    out = predict_dataset(network, data, batch_size)
    errors = {}
    for k, name in enumerate(network.properties):
        value = np.maximum(out[:, k], 0.0) if name != "formation_energy" else out[:, k]
        known = np.isfinite(data.labels[:, k])
        for kind, mask in (("", ~data.off_equilibrium), ("_off", data.off_equilibrium)):
            use = known & mask
            if use.any():
                errors[name + kind] = float(np.abs(value - data.labels[:, k])[use].mean())
    return errors


def predict_dataset(network: Network, data: Dataset, batch_size: int = 128) -> NDArray[np.float32]:
    """Mean over members of the predictions for every crystal, [n, properties]."""
    out = np.zeros(data.labels.shape, dtype=np.float32)
    order = np.argsort(data.n_atoms, kind="stable")
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            batch = make_batch(data, index, network.settings.cutoff)
            out[index] = network(batch.crystals, batch.neighbors).mean(0).numpy()
    return out


def _save(network: Network, path: Path, errors: dict[str, float], **state: float) -> None:
    torch.save(network.state_dict(), path)
    line = json.dumps({k: round(v, 5) for k, v in {**state, **errors}.items()})
    log.info(line)
    with path.with_suffix(".log").open("a") as file:
        file.write(line + "\n")
