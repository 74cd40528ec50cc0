"""Fit the energy by which crystals settle: one network, real elements, labels of distortions.

    python scripts/teacher/fit_energy.py data/teacher_labels --data megnet_mp2018.parquet \
        --out runs/settle.safetensors --minutes 60

It begins as the first member of the built-in weights. What it learns are differences of energy
within one composition, forces and stresses; the zero of each composition is that of the network it
began as, at the parent (perovskites and other types), or the label of the relaxed crystal
(database). Families marked test are never read. Killed at any time, the same command goes on.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.predictors.network import Network
from smoacs.predictors.network.edges import TRAINING_WALL, WALL
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights, save_weights
from smoacs.training.checkpoint import load_state, save_state
from smoacs.training.data.batches import Batch, Dataset, build_dataset, make_batch
from smoacs.training.fitting.loss import energy_derivatives, huber

log = logging.getLogger("fit_energy")

ENERGY: Final = "formation_energy"
STREAMS: Final = ("perovskites", "types", "database")
REFERENCE_KINDS: Final = ("parent", "relaxed", "stored")
"""Frames that may be a family's zero, the first that there is."""

ENERGY_SCALE: Final = 0.01
"""eV/atom, of differences within a family."""

ABSOLUTE_SCALE: Final = 0.1
"""eV/atom, of the zero of a family, and of relaxed crystals of the database."""

FORCE_SCALE: Final = 0.1
"""eV/Å."""

STRESS_SCALE: Final = 2.0
"""GPa."""

CALM: Final = 0.3
"""eV/Å, mean force of a frame that counts half."""

FAMILIES: Final = 6
FRAMES: Final = 6
REPLAYED: Final = 8
"""Families of a step, frames of each, and relaxed crystals of the database beside them."""

MOST_ATOMS: Final = 42
"""Of a frame."""

SMALL: Final = 16
MOST_RELAXED: Final = 12_000
"""Atoms of the relaxed crystals, and how many of them."""

SAVE_EVERY: Final = 60.0
"""Seconds between checkpoints."""

VALIDATIONS: Final = 15
SOURCE: Final = (
    "distorted crystals labelled by Nequix nequix-oam-1-pft (data/teacher_labels), MIT, "
    "arXiv:2508.16067, arXiv:2601.07742"
)
EMA: Final = 0.999
CLIP: Final = 1.0


@dataclass(frozen=True)
class Frames:
    """Labelled crystals, ordered by family.

    Attributes:
        data: Geometry, forces, stresses and energies on the network's zero.
        starts: First frame of each family, and the end of the last, [families + 1].
        of_validation: Whether a family is for validation, [families].
        of_database: Whether a family is a crystal of the database, [families].
    """

    data: Dataset
    starts: NDArray[np.int64]
    of_validation: NDArray[np.bool_]
    of_database: NDArray[np.bool_]


def read_frames(folders: list[Path], network: Network, labels: dict[str, float]) -> Frames:
    """Read all shards, leave the test part out, and put each family on the network's zero."""
    parts = []
    for stream in STREAMS:
        for folder in folders:
            parts += [pd.read_parquet(p) for p in sorted(folder.glob(f"{stream}-frames-*.parquet"))]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[(rows["split"] != "test") & (rows["n_atoms"] <= MOST_ATOMS)]
    rank = rows["kind"].map({kind: k for k, kind in enumerate(REFERENCE_KINDS)}).fillna(9)
    rows = rows.assign(rank=rank).sort_values(["family", "rank"], kind="stable")
    first = rows.groupby("family", sort=False).first()
    first = first[first["rank"] < 9].reset_index()
    zero = predicted(network, first)
    zero = np.array(
        [
            labels.get(f, z) if f.startswith("mp-") else z
            for f, z in zip(first.family, zero, strict=True)
        ]
    )
    offset = dict(zip(first.family, zero - first.energy_per_atom.to_numpy(float), strict=True))
    rows = rows[rows["family"].isin(offset)]
    energies = rows["energy_per_atom"].astype(float) + rows["family"].map(offset)
    rows = rows.assign(**{ENERGY: energies}).drop(columns=["kind"]).assign(kind="labelled")
    names, starts = np.unique(rows["family"].to_numpy(), return_index=True)
    order = np.argsort(starts)
    split = rows["split"].to_numpy()[starts[order]]
    log.info("%d frames of %d families", len(rows), len(names))
    return Frames(
        build_dataset(rows, (ENERGY,), network.settings.cutoff),
        np.append(starts[order], len(rows)),
        split == "val",
        np.array([name.startswith("mp-") for name in rows["family"].to_numpy()[starts[order]]]),
    )


@torch.no_grad()
def predicted(network: Network, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Formation energies (eV/atom) of rows in the training layout, [n]."""
    data = build_dataset(rows, (), network.settings.cutoff)
    found = []
    for start in range(0, len(rows), 64):
        index = np.arange(start, min(start + 64, len(rows)))
        batch = make_batch(data, index, network.settings.cutoff)
        found.append(network.raw(batch.crystals, batch.neighbors)[0, :, 0].numpy())
    return np.concatenate(found).astype(float)


def first_member(name: str) -> tuple[Network, WeightsHeader, Tensor]:
    """The first network of an ensemble, with its energy alone; header and formulas."""
    with as_file(files("smoacs.predictors") / "weights" / f"{name}.safetensors") as path:
        source, header, formulas = read_weights(path)
    network = Network(replace(header.settings, members=1), (ENERGY,))
    column = source.properties.index(ENERGY)
    given, state = source.state_dict(), {}
    for key, value in network.state_dict().items():
        tensor = given[key]
        if key != "scale" and tensor.shape[0] != value.shape[0]:
            tensor = tensor[:1]
        if tensor.shape != value.shape:
            tensor = tensor[..., column : column + 1]
        state[key] = tensor
    network.load_state_dict(state)
    return network, header, formulas


def family_loss(network: Network, batch: Batch, family: Tensor) -> Tensor:
    """Loss on energies within families and their zeros, forces and stresses.

    Args:
        network: One member, the energy its only property.
        batch: Frames.
        family: Number of the family of each, from 0, [B].
    """
    raw, forces, stress = energy_derivatives(network, batch, 0)
    error = raw[:, 0] - batch.labels[:, 0]
    calm = calmness(batch)
    members = error.new_zeros(int(family.max()) + 1).index_add(0, family, calm)
    mean = torch.zeros_like(members).index_add(0, family, calm * error) / members
    within = (calm * huber((error - mean[family]) / ENERGY_SCALE)).mean()
    zero = huber(mean / ABSOLUTE_SCALE).mean()
    pull = (calm * of_crystals(huber((forces - batch.forces) / FORCE_SCALE).mean(1), batch)).mean()
    press = (calm * huber((stress - batch.stress) / STRESS_SCALE).mean((1, 2))).mean()
    return 0.5 * within + 0.2 * zero + pull + 0.5 * press


def calmness(batch: Batch) -> Tensor:
    """Weights of frames, [B]: less where forces are large, which settling soon leaves behind."""
    return 1.0 / (1.0 + of_crystals(batch.forces.norm(dim=1), batch) / CALM)


def of_crystals(atoms: Tensor, batch: Batch) -> Tensor:
    """Mean of atoms' values, [N], over each crystal, [B]."""
    crystals = batch.crystals
    total = atoms.new_zeros(crystals.n_systems).index_add(0, crystals.system_idx, atoms)
    mean: Tensor = total / crystals.counts
    return mean


def replay_loss(network: Network, batch: Batch) -> Tensor:
    """Loss on formation energies of relaxed crystals of the database."""
    raw = network.raw(batch.crystals, batch.neighbors)[0]
    return huber((raw[:, 0] - batch.labels[:, 0]) / ABSOLUTE_SCALE).mean()


class Fit:
    """A network on its way."""

    def __init__(self, network: Network, rate: float, minutes: float) -> None:
        """Begin with a network."""
        self.network = network
        self.average = {k: v.clone() for k, v in network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
        self.rate, self.budget = rate, minutes * 60
        self.step, self.seconds = 0, 0.0

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds."""
        return {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def one_step(self, loss: Tensor) -> None:
        """Move downhill by the gradient of a loss."""
        share = min(1.0, self.seconds / self.budget)
        rate = min(1.0, self.step / 200) * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * max(rate, 1e-3)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - decay)

    def errors(self, frames: Frames) -> dict[str, float]:
        """Validation errors of the averaged weights."""
        now = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        found = validate(self.network, frames)
        self.network.load_state_dict(now)
        return found


def batches(frames: Frames, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Frames of a few families at a time, without end; every other one is of the database."""
    pools = [
        drawn(np.flatnonzero(~frames.of_validation & (frames.of_database == kind)), rng)
        for kind in (False, True)
    ]
    while True:
        index, family = [], []
        for number in range(FAMILIES):
            f = next(pools[number % 2])
            chosen = rng.permutation(np.arange(frames.starts[f], frames.starts[f + 1]))[:FRAMES]
            index.append(chosen)
            family += [number] * len(chosen)
        yield np.concatenate(index), torch.tensor(family)


def drawn(families: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    """Families in random order, again and again."""
    while True:
        yield from rng.permutation(families).tolist()


def validate(network: Network, frames: Frames) -> dict[str, float]:
    """Mean errors on the validation families, calm frames counting more.

    Energies within a family (meV/atom), forces (eV/Å), stress (GPa).
    """
    errors: dict[str, list[float]] = {}
    for f in np.flatnonzero(frames.of_validation)[
        :: max(1, int(frames.of_validation.sum()) // 120)
    ]:
        kind = "database" if frames.of_database[f] else "distorted"
        index = np.arange(frames.starts[f], frames.starts[f + 1])
        batch = make_batch(frames.data, index, network.settings.cutoff)
        raw, forces, stress = (x.detach() for x in energy_derivatives(network, batch, 0))
        error = raw[:, 0] - batch.labels[:, 0]
        calm = calmness(batch) / calmness(batch).sum()
        error = (error - (calm * error).sum()).abs() * 1000
        errors.setdefault(f"{kind} within", []).append(float((calm * error).sum()))
        pull = of_crystals((forces - batch.forces).abs().mean(1), batch)
        errors.setdefault(f"{kind} forces", []).append(float((calm * pull).sum()))
        errors.setdefault(f"{kind} stress", []).append(
            float((calm * (stress - batch.stress).abs().mean((1, 2))).sum())
        )
    return {name: round(float(np.mean(values)), 4) for name, values in errors.items()}


def told(header: WeightsHeader, network: Network) -> WeightsHeader:
    """What the weights say about themselves."""
    return replace(
        header,
        name="settle",
        settings=network.settings,
        properties={ENERGY: header.properties[ENERGY]},
        training_data=(*header.training_data, SOURCE),
        scales={},
        log10={},
        readouts={},
        widening=None,
        metrics={},
    )


def relaxed_crystals(table: pd.DataFrame, cutoff: float, seed: int) -> Dataset:
    """Small training crystals of the database, with their formation energies."""
    small = table[(table["split"] == "train") & (table["n_atoms"] <= SMALL)]
    small = small.sample(min(len(small), MOST_RELAXED), random_state=seed)
    return build_dataset(small, (ENERGY,), cutoff)


def run(fit: Fit, frames: Frames, relaxed: Dataset, checkpoint: Path, *, seed: int) -> None:
    """Fit to the end of the budget, with a checkpoint every minute."""
    network, cutoff = fit.network, fit.network.settings.cutoff
    rng = np.random.default_rng([seed, fit.step])
    saved, looked = time.monotonic(), fit.seconds
    for index, family in batches(frames, rng):
        if fit.seconds >= fit.budget:
            break
        begin = time.monotonic()
        batch = make_batch(frames.data, index, cutoff)
        kept = rng.choice(len(relaxed), min(REPLAYED, len(relaxed)), replace=False)
        beside = make_batch(relaxed, kept, cutoff)
        fit.one_step(family_loss(network, batch, family) + 0.3 * replay_loss(network, beside))
        fit.seconds += time.monotonic() - begin
        if time.monotonic() - saved > SAVE_EVERY:
            save_state(checkpoint, fit.state())
            saved = time.monotonic()
        if fit.seconds - looked > fit.budget / VALIDATIONS:
            looked = fit.seconds
            log.info("%d steps, %.0f s: %s", fit.step, fit.seconds, json.dumps(fit.errors(frames)))
    save_state(checkpoint, fit.state())


def main() -> None:
    """Fit until the time is used up, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("labels", type=Path, nargs="+", help="folders of shards")
    parser.add_argument("--data", type=Path, required=True, help="megnet_mp2018.parquet")
    parser.add_argument("--start", default="mp2018")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    network, header, formulas = first_member(args.start)
    table = pd.read_parquet(args.data)
    energies = table["formation_energy_per_atom"].astype(float)
    labels = dict(zip(table["material_id"], energies, strict=True))
    frames = read_frames(args.labels, network, labels)
    relaxed = relaxed_crystals(table, network.settings.cutoff, args.seed)
    network.geometry.wall = TRAINING_WALL
    fit = Fit(network, args.rate, args.minutes)
    checkpoint = args.out.with_suffix(".checkpoint")
    if checkpoint.is_file():
        fit.restore(load_state(checkpoint))
    else:
        log.info("start %s", json.dumps(fit.errors(frames)))
    run(fit, frames, relaxed, checkpoint, seed=args.seed)
    log.info("end %s", json.dumps(fit.errors(frames)))
    network.load_state_dict(fit.average)
    network.geometry.wall = WALL
    save_weights(args.out, network, told(header, network), formulas)
    log.info("wrote %s", args.out)


if __name__ == "__main__":
    main()
