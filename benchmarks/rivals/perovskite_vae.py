"""A conditional variational autoencoder of ABX3 perovskites, trained on Perov-5.

D. P. Kingma and M. Welling, arXiv:1312.6114; conditions as in K. Sohn et al., NeurIPS 28 (2015).
Structures: Castelli et al., 10.1039/c2ee22341d, as split by CDVAE. The conditions are properties
that the predictor of the contest gives the training crystals, each hidden half of the time, so that
one network serves any choice of targets.
"""

import copy
import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, neutral_assignment, oxidation_table
from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import Predictor

CONDITIONS = ("band_gap", "formation_energy", "energy_above_hull", "bulk_modulus")

SITES = np.array([(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
"""A, B and the three X, as in the template."""

N_SITES = 5
ANIONS = slice(2, N_SITES)

BOX = 0.15
"""A crystal whose coordinates are farther off the template's is no perovskite any more."""

LATENT = 16
HIDDEN = 256
BATCH = 256
LEARNING_RATE = 1e-3
PATIENCE = 15
"""Epochs without a better validation loss after which training ends."""

MOST_EPOCHS = 400
SAMPLES = 1000
"""Drawn after the training, to tell how many are valid."""

CLOSEST = 0.5
"""Å; no two atoms of a crystal are closer (the judge's rule)."""

KL_WEIGHT = 0.2
LENGTH_SPREAD = 0.05
"""Å; standard deviation that the decoder grants a length."""

SHIFT_SPREAD = 0.02
"""Of the cell's edges; likewise, of a coordinate."""


@dataclass(frozen=True)
class Perovskites:
    """n cubic crystals on the template's sites.

    Attributes:
        elements: Index (Z - 1) on each site, [n, 5].
        lengths: Å, [n].
        shifts: Fractional displacements from the template's sites, B's are 0, [n, 5, 3].
    """

    elements: Tensor
    lengths: Tensor
    shifts: Tensor

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.lengths)

    def select(self, rows: Tensor) -> "Perovskites":
        """Some of them."""
        return Perovskites(self.elements[rows], self.lengths[rows], self.shifts[rows])

    def turned(self, axes: Sequence[int]) -> "Perovskites":
        """The same crystals with their axes in another order, so the X in another order, too."""
        # X number k lies where the coordinate 2 - k is 0
        sites = [0, 1, *(2 + (2 - axes[2 - k]) for k in range(3))]
        return Perovskites(
            self.elements[:, sites], self.lengths, self.shifts[:, sites][:, :, list(axes)]
        )

    def crystals(self) -> Crystals:
        """The crystals as predictors see them."""
        n = len(self)
        frac = torch.as_tensor(SITES).float() + self.shifts
        return Crystals(
            species_probs=nn.functional.one_hot(self.elements, N_ELEMENTS).float().flatten(0, 1),
            frac_coords=frac.flatten(0, 1),
            cell=self.lengths[:, None, None] * torch.eye(3),
            system_idx=torch.arange(n).repeat_interleave(N_SITES),
        )

    @property
    def kept(self) -> Tensor:
        """Which are perovskites, [n]."""
        return (self.shifts.abs() <= BOX).flatten(1).all(1)

    @property
    def neutral(self) -> Tensor:
        """Which can be charge neutral by the common table, [n]."""
        table = oxidation_table()
        verdicts = []
        for row in self.elements.tolist():
            names, counts = np.unique([ELEMENTS[k] for k in row], return_counts=True)
            formula = dict(zip(names.tolist(), counts.tolist(), strict=True))
            verdicts.append(neutral_assignment(formula, table) is not None)
        return torch.tensor(verdicts)


def read_perovskites(path: Path, split: str) -> Perovskites:
    """Crystals of one split of perov5.parquet, moved onto the template's sites."""
    rows = pd.read_parquet(path, columns=["numbers", "frac_coords", "lattice", "split"])
    rows = rows[rows["split"] == split]
    numbers = np.stack(rows["numbers"].to_list()).astype(np.int64)
    frac = np.stack(rows["frac_coords"].to_list()).astype(float).reshape(-1, N_SITES, 3)
    lengths = np.stack(rows["lattice"].to_list())[:, 0]
    # B is the metal that the X are nearer to
    gaps = [_wrapped(frac[:, ANIONS] - frac[:, [k]]) for k in (0, 1)]
    octahedral = np.argmin([np.linalg.norm(gap, axis=2).mean(1) for gap in gaps], axis=0)
    metals = np.stack([1 - octahedral, octahedral], 1)
    order = np.concatenate([metals, np.tile([2, 3, 4], (len(frac), 1))], 1)
    numbers = np.take_along_axis(numbers, order, 1)
    frac = np.take_along_axis(frac, order[:, :, None], 1)
    frac = frac - frac[:, [1]] + SITES[1]
    orders = np.array([(0, 1, *p) for p in itertools.permutations((2, 3, 4))])
    shifts = np.stack([_wrapped(frac[:, o] - SITES) for o in orders], 1)
    best = np.square(shifts).sum((2, 3)).argmin(1)
    return Perovskites(
        torch.as_tensor(np.take_along_axis(numbers, orders[best], 1) - 1),
        torch.as_tensor(lengths).float(),
        torch.as_tensor(shifts[np.arange(len(best)), best]).float(),
    )


def _wrapped(shift: np.ndarray) -> np.ndarray:
    return shift - np.round(shift)


@dataclass(frozen=True)
class Soft:
    """What the decoder says of n crystals.

    Attributes:
        logits: Of the elements on each site, [n, 5, 98].
        lengths: Å, [n].
        shifts: [n, 5, 3].
    """

    logits: Tensor
    lengths: Tensor
    shifts: Tensor

    def hardened(self) -> Perovskites:
        """The most probable elements."""
        return Perovskites(self.logits.argmax(2), self.lengths, self.shifts)


class Vae(nn.Module):
    """Encoder and decoder, both with the conditions as further inputs."""

    def __init__(self, properties: Sequence[str]) -> None:
        """Take the names of the conditions."""
        super().__init__()
        self.properties = tuple(properties)
        n = len(self.properties)
        seen = N_SITES * N_ELEMENTS + 1 + 3 * N_SITES + 2 * n
        self.encoder = _perceptron(seen, 2 * LATENT)
        self.decoder = _perceptron(LATENT + 2 * n, N_SITES * N_ELEMENTS + 1 + 3 * N_SITES)
        self.middle = nn.Buffer(torch.zeros(n + 1))
        self.spread = nn.Buffer(torch.ones(n + 1))
        self.unseen = nn.Buffer(torch.zeros(N_SITES, N_ELEMENTS, dtype=torch.bool))

    def condition(self, values: Tensor, known: Tensor) -> Tensor:
        """Inputs for the conditions: scaled values, 0 where hidden, and what is known, [n, 2C]."""
        scaled = (values - self.middle[1:]) / self.spread[1:]
        return torch.cat([torch.where(known, scaled, 0.0), known.float()], 1)

    def encode(self, crystals: Perovskites, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of the latent, each [n, LATENT]."""
        one_hot = nn.functional.one_hot(crystals.elements, N_ELEMENTS).float().flatten(1)
        length = (crystals.lengths - self.middle[0]) / self.spread[0]
        shifts = crystals.shifts.flatten(1) / SHIFT_SPREAD
        means: Tensor
        means, log_var = self.encoder(
            torch.cat([one_hot, length[:, None], shifts, condition], 1)
        ).chunk(2, 1)
        return means, log_var.clamp(-10, 10)

    def decode(self, latent: Tensor, condition: Tensor) -> Soft:
        """Decode latents, [n, LATENT]; what no training crystal has at a site gets no weight."""
        out = self.decoder(torch.cat([latent, condition], 1))
        logits = out[:, : N_SITES * N_ELEMENTS].view(-1, N_SITES, N_ELEMENTS)
        shifts = SHIFT_SPREAD * out[:, -3 * N_SITES :].view(-1, N_SITES, 3)
        moving = torch.ones(N_SITES, 1)
        moving[1] = 0.0
        return Soft(
            logits.masked_fill(self.unseen, -torch.inf),
            self.middle[0] + self.spread[0] * out[:, N_SITES * N_ELEMENTS],
            shifts * moving,
        )

    def loss(self, crystals: Perovskites, condition: Tensor, noise: Tensor) -> Tensor:
        """Negative evidence lower bound with a weighted divergence, [n]."""
        means, log_var = self.encode(crystals, condition)
        soft = self.decode(means + noise * (0.5 * log_var).exp(), condition)
        entropy = nn.functional.cross_entropy(
            soft.logits.flatten(0, 1), crystals.elements.flatten(), reduction="none"
        )
        length = ((soft.lengths - crystals.lengths) / LENGTH_SPREAD).square()
        shifts = ((soft.shifts - crystals.shifts) / SHIFT_SPREAD).square().flatten(1).sum(1)
        divergence = 0.5 * (means.square() + log_var.exp() - 1 - log_var).sum(1)
        fit = entropy.view(-1, N_SITES).sum(1) + 0.5 * (length + shifts)
        return fit + KL_WEIGHT * divergence


def _perceptron(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, n_out),
    )


@dataclass(frozen=True)
class Generator:
    """A trained autoencoder, and what it was trained on.

    Attributes:
        vae: Its weights are those of the lowest validation loss.
        labels: Conditions of the training crystals, [n, C].
        report: How the training went, and how many of 1,000 samples are valid.
    """

    vae: Vae
    labels: Tensor
    report: dict[str, float]


def trained_generator(
    path: Path, predictor: Predictor, *, seed: int, cache: Path | None = None
) -> Generator:
    """Train on perov5.parquet until the validation loss stops falling; the same seed repeats.

    Args:
        path: Of perov5.parquet.
        predictor: Its properties are the conditions.
        seed: Of the weights, the order of the batches and all noise.
        cache: Folder that keeps the weights, so that an interrupted benchmark goes on with them.
    """
    begin = time.perf_counter()
    train, val = (_usable(read_perovskites(path, name), predictor) for name in ("train", "val"))
    names = [name for name in CONDITIONS if name in predictor.properties]
    labels = [_labels(part, predictor, names) for part in (train, val)]
    kept = None if cache is None else cache / f"vae-{_key(train, labels[0], seed)}.pt"
    if kept is not None and kept.is_file():
        state = torch.load(kept, weights_only=True)
        vae = Vae(names)
        vae.load_state_dict(state["weights"])
        return Generator(vae.requires_grad_(requires_grad=False), labels[0], state["report"])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = Vae(names)
    _prepare(vae, train, labels[0])
    epochs, loss = _fit(vae, (train, labels[0]), (val, labels[1]), generator)
    some = torch.randperm(len(train), generator=generator)[:SAMPLES]
    report = {
        "training_crystals": float(len(train)),
        "training_neutral": _mean(train.select(some).neutral),
        "epochs": float(epochs),
        "validation_loss": round(loss, 3),
        "training_seconds": round(time.perf_counter() - begin, 1),
        **validity(vae, labels[0], (val, labels[1]), generator),
    }
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".part")
        torch.save({"weights": vae.state_dict(), "report": report}, draft)
        draft.replace(kept)
    return Generator(vae, labels[0], report)


def _key(train: Perovskites, labels: Tensor, seed: int) -> str:
    """Changes with the crystals, the predictor and the settings that weights depend on."""
    settings = (seed, LATENT, HIDDEN, BATCH, LEARNING_RATE, PATIENCE, MOST_EPOCHS, KL_WEIGHT)
    digest = hashlib.sha256(repr(settings).encode())
    for tensor in (train.elements, train.shifts, labels):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _usable(crystals: Perovskites, predictor: Predictor) -> Perovskites:
    known = torch.tensor([symbol in predictor.elements for symbol in ELEMENTS])
    return crystals.select(torch.nonzero(known[crystals.elements].all(1)).flatten())


def _labels(crystals: Perovskites, predictor: Predictor, names: Sequence[str]) -> Tensor:
    if not names:
        return torch.zeros(len(crystals), 0)
    values = evaluate(predictor, crystals.crystals())
    return torch.stack([torch.as_tensor(values[name]).float() for name in names], 1).nan_to_num()


def _prepare(vae: Vae, train: Perovskites, labels: Tensor) -> None:
    """Set the scales, and which elements the training crystals have at each site."""
    columns = torch.cat([train.lengths[:, None], labels], 1)
    vae.middle.copy_(columns.mean(0))
    vae.spread.copy_(columns.std(0).clamp(min=1e-6))
    unseen = torch.ones_like(vae.unseen)
    for site in range(N_SITES):
        # the X trade places when the axes do
        sites = ANIONS if site in range(N_SITES)[ANIONS] else slice(site, site + 1)
        unseen[site, train.elements[:, sites].unique()] = False
    vae.unseen.copy_(unseen)


def _fit(
    vae: Vae,
    train: tuple[Perovskites, Tensor],
    val: tuple[Perovskites, Tensor],
    generator: torch.Generator,
) -> tuple[int, float]:
    """Train; return the epoch of the lowest validation loss, and that loss."""
    crystals, labels = train
    turns = list(itertools.permutations(range(3)))
    fixed = torch.Generator().manual_seed(0)
    noise = torch.randn(len(val[0]), LATENT, generator=fixed)
    hidden = torch.rand(val[1].shape, generator=fixed) < 0.5
    adam = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE)
    best, best_epoch, best_state = torch.inf, 0, copy.deepcopy(vae.state_dict())
    for epoch in range(1, MOST_EPOCHS + 1):
        order = torch.randperm(len(crystals), generator=generator)
        for rows in order.split(BATCH):
            turn = turns[int(torch.randint(len(turns), (1,), generator=generator))]
            part = crystals.select(rows).turned(turn)
            known = torch.rand(len(rows), labels.shape[1], generator=generator) < 0.5
            drawn = torch.randn(len(rows), LATENT, generator=generator)
            adam.zero_grad()
            vae.loss(part, vae.condition(labels[rows], known), drawn).mean().backward()
            adam.step()
        with torch.no_grad():
            loss = float(vae.loss(val[0], vae.condition(val[1], ~hidden), noise).mean())
        if loss < best:
            best, best_epoch, best_state = loss, epoch, copy.deepcopy(vae.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    vae.load_state_dict(best_state)
    vae.requires_grad_(requires_grad=False)
    return best_epoch, best


def validity(
    vae: Vae, labels: Tensor, val: tuple[Perovskites, Tensor], generator: torch.Generator
) -> dict[str, float]:
    """Shares of samples, not optimised, that are valid; and of validation crystals rebuilt.

    Returns:
        `decodable` (finite, no atoms closer than 0.5 Å), `neutral`, `perovskite`, `valid` (all
        three), `distinct` decorations, and `rebuilt` (all five elements).
    """
    rows = torch.randint(len(labels), (SAMPLES,), generator=generator)
    known = torch.ones(SAMPLES, labels.shape[1], dtype=torch.bool)
    latent = torch.randn(SAMPLES, LATENT, generator=generator)
    drawn = vae.decode(latent, vae.condition(labels[rows], known)).hardened()
    decodable, neutral, kept = _apart(drawn), drawn.neutral, drawn.kept
    condition = vae.condition(val[1], torch.ones_like(val[1], dtype=torch.bool))
    rebuilt = vae.decode(vae.encode(val[0], condition)[0], condition).hardened()
    return {
        "decodable": _mean(decodable),
        "neutral": _mean(neutral),
        "perovskite": _mean(kept),
        "valid": _mean(decodable & neutral & kept),
        "distinct": round(len(drawn.elements.unique(dim=0)) / SAMPLES, 3),
        "rebuilt": _mean((rebuilt.elements == val[0].elements).all(1)),
    }


def _apart(crystals: Perovskites) -> Tensor:
    """Which have no two atoms closer than 0.5 Å, nearest images, [n]."""
    frac = torch.as_tensor(SITES).float() + crystals.shifts
    i, j = torch.triu_indices(N_SITES, N_SITES, offset=1)
    gaps = frac[:, i] - frac[:, j]
    distances = (gaps - gaps.round()).norm(dim=2) * crystals.lengths[:, None]
    shortest = torch.minimum(distances.amin(1), crystals.lengths)
    return shortest.isfinite() & (shortest > CLOSEST)


def _mean(flags: Tensor) -> float:
    return round(float(flags.float().mean()), 3)
