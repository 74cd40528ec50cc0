"""Fitting one network: steps, averaged weights, validation, early stop, checkpoints."""

import copy
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.errors import SmoacsError
from smoacs.files import write_file
from smoacs.predictors import ENERGY
from smoacs.predictors.network import Network
from smoacs.predictors.network.edges import TRAINING_WALL, WALL
from smoacs.training.checkpoint import load_state, save_state
from smoacs.training.data.batches import Dataset, Noise, make_batch
from smoacs.training.data.sampling import epoch_batches, make_pools
from smoacs.training.fitting.evaluation import evaluate, score
from smoacs.training.fitting.loss import (
    LossTerm,
    derivative_loss,
    energy_derivatives,
    loss_of,
    with_scales,
)
from smoacs.training.fitting.mixtures import MAX_ATOMS, mixture_batch, mixture_loss

log = logging.getLogger(__name__)

MAX_BAD_STEPS = 20
"""Steps in a row without a finite gradient before the training gives up."""

_TRUNK = ("embedding", "interactions.")
_ORDER_STREAM, _NOISE_STREAM = 0, 1


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Budget (seconds or epochs, one of them) and optimiser of one fit.

    Attributes:
        seconds: Time to train for; the learning rate falls with the time.
        epochs: Passes to train for; the learning rate falls with the steps.
        batch_size: Crystals per step.
        off_equilibrium_share: Share of a batch that is away from equilibrium.
        property_shares: Share of a batch drawn for each property; empty for none.
        source_shares: Share of a batch drawn from each table; empty for none.
        learning_rate: The largest.
        trunk_rate: The trunk's share of it; 0 freezes the trunk.
        weight_decay: Of AdamW.
        warmup: Share of the budget over which the learning rate rises.
        ema: Decay of the averaged weights in the long run.
        gradient_clip: Largest norm of a gradient.
        force_weight: Weight of forces in the loss.
        stress_weight: Weight of stresses in the loss.
        rest_share: Share of a batch's small relaxed crystals that are taught to be at rest: forces
            and stress of zero.
        mixtures: Crystals per step whose blends with other decorations are bounded (`mixtures`).
        mixture_weight: Weight of that in the loss.
        compiled: Whether `torch.compile` makes the steps faster (needs a C++ compiler).
        seed: Of order and noise.
        noise: Deformation of relaxed crystals.
        validations: How often in the whole budget.
        patience: Validations without a better score before the fit stops with the best weights;
            None to go on to the end with the last.
        checkpoint_seconds: A checkpoint is written at each validation, and this often.
    """

    seconds: float | None = None
    epochs: int | None = None
    batch_size: int = 32
    off_equilibrium_share: float = 0.3
    property_shares: tuple[float, ...] = ()
    source_shares: tuple[float, ...] = ()
    learning_rate: float = 2e-3
    trunk_rate: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.01
    ema: float = 0.999
    gradient_clip: float = 1.0
    force_weight: float = 0.2
    stress_weight: float = 0.2
    rest_share: float = 0.0
    mixtures: int = 0
    mixture_weight: float = 0.3
    compiled: bool = False
    seed: int = 0
    noise: Noise = field(default_factory=Noise)
    validations: int = 15
    patience: int | None = None
    checkpoint_seconds: float = 60.0


def fit(
    network: Network,
    train: Dataset,
    validation: Dataset,
    *,
    terms: Sequence[LossTerm],
    settings: FitSettings,
    checkpoint: Path,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Fit a one-member network in place, to its averaged weights.

    If the checkpoint file is there, the fit goes on from it, and an epoch budget then ends in the
    very same weights as without the break. Validation errors go, one JSON object a line, to the
    same file name with the suffix `.log`.

    Args:
        network: On the device to use.
        train: What to fit.
        validation: What the errors are measured on.
        terms: How each property counts.
        settings: Budget and optimiser.
        checkpoint: The checkpoint file; it stays when the fit has ended.
        on_progress: Called after each step with the share of the budget that is used up.

    Returns:
        The last validation errors.

    Raises:
        SmoacsError: If the loss stays without a finite gradient.
        InputError: If the checkpoint is damaged.
    """
    return _Fit(network, train, terms, settings).run(validation, checkpoint, on_progress)


class _Fit:
    """A network on its way, with everything that a checkpoint holds."""

    def __init__(
        self,
        network: Network,
        train: Dataset,
        terms: Sequence[LossTerm],
        settings: FitSettings,
    ) -> None:
        self.network, self.train, self.settings = network, train, settings
        network.geometry.wall = TRAINING_WALL
        self.terms = with_scales(terms, network)
        self.pools = make_pools(
            train,
            settings.batch_size,
            settings.off_equilibrium_share,
            settings.property_shares,
            source_shares=settings.source_shares,
        )
        self.optimiser = _optimiser(network, settings)
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.best: dict[str, Tensor] | None = None
        self.best_score, self.stale = math.inf, 0
        self.history: list[dict[str, float]] = []
        self.epoch = self.position = self.step = self.marks = self.bad_steps = 0
        self.seconds_before, self.begin = 0.0, time.monotonic()
        learns_energy = ENERGY in network.properties
        weighs = settings.force_weight + settings.stress_weight > 0
        self.energy = network.properties.index(ENERGY) if learns_energy and weighs else None
        terms_of = zip(network.properties, terms, strict=True)
        self.unlearnt = frozenset(name for name, term in terms_of if term.weight == 0)
        self.elements = np.unique(train.numbers)
        self.small = train.n_atoms <= MAX_ATOMS
        if settings.compiled:
            for interaction in network.interactions:
                interaction.compile(dynamic=True)

    @property
    def seconds(self) -> float:
        """Time spent, over all sittings."""
        return self.seconds_before + time.monotonic() - self.begin

    @property
    def progress(self) -> float:
        """Share of the budget that is used up."""
        if self.settings.epochs is not None:
            return self.step / (self.settings.epochs * self.pools.n_batches)
        return self.seconds / (self.settings.seconds or math.inf)

    def run(
        self,
        validation: Dataset,
        checkpoint: Path,
        on_progress: Callable[[float], None] | None,
    ) -> dict[str, float]:
        """Train to the end of the budget or of patience."""
        if checkpoint.is_file():
            self._restore(load_state(checkpoint))
        saved = time.monotonic()
        while not self._ended():
            order = np.random.default_rng([self.settings.seed, _ORDER_STREAM, self.epoch])
            batches = epoch_batches(self.pools, order)
            for index in itertools.islice(batches, self.position, None):
                self._one_step(index, self.progress)
                if on_progress is not None:
                    on_progress(self.progress)
                if self._validation_is_due():
                    self._validate(validation, checkpoint)
                    saved = time.monotonic()
                elif time.monotonic() - saved > self.settings.checkpoint_seconds:
                    save_state(checkpoint, self._state())
                    saved = time.monotonic()
                if self._ended():
                    break
            else:
                self.epoch, self.position = self.epoch + 1, 0
        if not self.history or self.history[-1]["step"] != self.step:
            self._validate(validation, checkpoint)
        self.network.load_state_dict(self.best or self.average.state_dict())
        self.network.geometry.wall = WALL
        return self.history[-1]

    def _validation_is_due(self) -> bool:
        """Whether another of the evenly spaced marks of the budget was passed."""
        return int(self.progress * self.settings.validations) > self.marks

    def _ended(self) -> bool:
        impatient = self.settings.patience is not None and self.stale >= self.settings.patience
        return impatient or self.progress >= 1

    def _one_step(self, index: NDArray[np.int64], progress: float) -> None:
        """One step of the optimiser and of the averaged weights."""
        s = self.settings
        for group in self.optimiser.param_groups:
            rate = min(1.0, progress / s.warmup) * 0.5 * (1 + math.cos(math.pi * progress))
            group["lr"] = s.learning_rate * group["factor"] * max(rate, 1e-3)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(index)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), s.gradient_clip)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self.bad_steps = 0
        else:
            self.bad_steps += 1
            if self.bad_steps == MAX_BAD_STEPS:
                raise SmoacsError(
                    f"no finite gradient since step {self.step - MAX_BAD_STEPS + 1}: "
                    "try a smaller learning_rate, and look for labels that are far off"
                )
        self.step += 1
        self.position += 1
        decay = min(s.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def _loss(self, index: NDArray[np.int64]) -> Tensor:
        """Loss of a batch; crystals with forces or stress go apart, the others cost one pass."""
        rng = np.random.default_rng([self.settings.seed, _NOISE_STREAM, self.step])
        derived = np.zeros(len(index), dtype=bool)
        if self.energy is not None:
            derived = self.train.has_derivatives[index]
            if self.settings.rest_share > 0:
                small = self.small[index] & ~self.train.off_equilibrium[index]
                derived |= small & (rng.random(len(index)) < self.settings.rest_share)
        loss = torch.zeros((), device=self.network.embedding.device)
        for part, value in (
            (index[~derived], self._plain_loss),
            (index[derived], self._derivative_loss),
        ):
            if len(part) > 0:
                loss = loss + value(part, rng) * (len(part) / len(index))
        relaxed = index[self.small[index] & ~self.train.off_equilibrium[index]]
        blends = relaxed[: self.settings.mixtures]
        if len(blends) > 0:
            loss = loss + self.settings.mixture_weight * self._mixture_loss(blends, rng)
        return loss

    def _plain_loss(self, index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        batch = make_batch(
            self.train,
            index,
            self.network.settings.cutoff,
            noise=self.settings.noise,
            keep_on_noise=tuple(t.keep_on_noise for t in self.terms),
            rng=rng,
        ).to(self.network.embedding.device)
        raw = self.network.raw(batch.crystals, batch.neighbors)[0]
        return loss_of(raw, batch, self.terms)

    def _derivative_loss(self, index: NDArray[np.int64], _: np.random.Generator) -> Tensor:
        at_rest = self.settings.rest_share > 0
        batch = make_batch(self.train, index, self.network.settings.cutoff, at_rest=at_rest)
        batch = batch.to(self.network.embedding.device)
        with torch.compiler.set_stance("force_eager"):  # compiled steps have no second derivative
            raw, forces, stress = energy_derivatives(self.network, batch, self.energy or 0)
        return loss_of(raw, batch, self.terms) + derivative_loss(
            forces,
            stress,
            batch,
            force_weight=self.settings.force_weight,
            stress_weight=self.settings.stress_weight,
        )

    def _mixture_loss(self, index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        cutoff = self.network.settings.cutoff
        batch = mixture_batch(self.train, index, cutoff, elements=self.elements, rng=rng)
        batch = batch.to(self.network.embedding.device)
        raw = self.network.raw(batch.crystals, batch.neighbors)[0]
        return mixture_loss(raw, self.network.properties, self.terms)

    def _validate(self, data: Dataset, checkpoint: Path) -> None:
        """Measure the averaged weights, note the best, write log and checkpoint."""
        errors = evaluate(self.average, data, leave_out=self.unlearnt)
        value = score(errors, self.network.properties, self.terms)
        if value < self.best_score:
            self.best_score, self.stale = value, 0
            if self.settings.patience is not None:
                self.best = {k: v.clone() for k, v in self.average.state_dict().items()}
        else:
            self.stale += 1
        place = {"epoch": self.epoch, "step": self.step, "seconds": self.seconds}
        self.history.append({k: round(v, 5) for k, v in {**place, **errors}.items()})
        log.info(json.dumps(self.history[-1]))
        self.marks = int(self.progress * self.settings.validations)
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        save_state(checkpoint, self._state())
        write_file(checkpoint.with_suffix(".log"), lines)

    def _state(self) -> dict[str, Any]:
        counters = ("epoch", "position", "step", "marks", "bad_steps", "best_score", "stale")
        return {
            **{name: getattr(self, name) for name in counters},
            "history": self.history,
            "best": self.best,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state.pop("network"))
        self.average.load_state_dict(state.pop("average"))
        self.optimiser.load_state_dict(state.pop("optimiser"))
        self.seconds_before, self.begin = state.pop("seconds"), time.monotonic()
        for name, value in state.items():
            setattr(self, name, value)


def _optimiser(network: Network, settings: FitSettings) -> torch.optim.AdamW:
    """AdamW, the trunk at its own rate."""
    groups: list[dict[str, Any]] = [
        {"params": [], "factor": settings.trunk_rate},
        {"params": [], "factor": 1.0},
    ]
    for name, parameter in network.named_parameters():
        trunk = name.startswith(_TRUNK)
        parameter.requires_grad_(not trunk or settings.trunk_rate > 0)
        if parameter.requires_grad:
            groups[0 if trunk else 1]["params"].append(parameter)
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
