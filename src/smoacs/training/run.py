"""`smoacs train`: from Parquet files to a weights file with measured errors in its header."""

import json
import logging
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from smoacs.errors import InputError, SmoacsError
from smoacs.predictors.builtin import formula_hash
from smoacs.predictors.network import Network
from smoacs.predictors.properties import PROPERTIES
from smoacs.predictors.storage import WeightsHeader, save_weights, stack_members
from smoacs.training.config import TrainConfig
from smoacs.training.data import Dataset, build_dataset, element_symbols, read_rows
from smoacs.training.fit import (
    FitSettings,
    fit,
    loss_terms,
    predict_dataset,
    start_from_composition,
)

log = logging.getLogger(__name__)

VALIDATION_MAX_ATOMS = 20
"""Validation during training uses crystals of at most this size, for speed."""


def train_from_config(path: str | Path) -> Path:
    """Train the ensemble that a TOML file describes.

    Members run side by side, one process and one thread each. Interim weights and a log of
    validation errors lie beside the output file until the end.

    Args:
        path: A `TrainConfig` as TOML.

    Returns:
        The weights file.

    Raises:
        InputError: If the settings or the data are wrong.
        SmoacsError: If a member's process fails.
    """
    config = TrainConfig.from_toml(path)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    load_split(config, "train")  # complains before any process starts
    context = multiprocessing.get_context("spawn")
    parts = [config.out.with_suffix(f".member{k}.pt") for k in range(config.members)]
    workers = [
        context.Process(target=_train_member, args=(config, config.seed + k, part))
        for k, part in enumerate(parts)
    ]
    for worker in workers:
        worker.start()
    _watch(workers, parts, config.minutes * 60)
    if any(worker.exitcode for worker in workers):
        raise SmoacsError("a member's training process failed; its message is above")
    return collect_members(config, parts)


def load_split(config: TrainConfig, split: str, max_atoms: int | None = None) -> Dataset:
    """All crystals of one split of the config's files, up to its largest size.

    Raises:
        InputError: If there are none.
    """
    tables = []
    for path in config.data:
        rows = read_rows(path, config.properties)
        if "kind" not in rows.columns:
            rows = rows.assign(kind="relaxed")
        sizes = rows["numbers"].map(len)
        tables.append(rows[(rows["split"] == split) & (sizes <= (max_atoms or config.max_atoms))])
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        raise InputError(f"no crystal of the split '{split}' has at most {config.max_atoms} atoms")
    return build_dataset(table, config.properties, config.network.cutoff)


def _train_member(config: TrainConfig, seed: int, checkpoint: Path) -> None:
    """One member, in its own process."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    train = load_split(config, "train")
    validation = load_split(config, "val", VALIDATION_MAX_ATOMS)
    network = Network(config.network, config.properties)
    start_from_composition(network, train, loss_terms(config.properties))
    settings = FitSettings(
        seconds=config.minutes * 60,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        noise=config.noise,
        seed=seed,
    )
    fit(network, train, validation, settings=settings, checkpoint=checkpoint)


def _watch(
    workers: list[multiprocessing.context.SpawnProcess], parts: list[Path], seconds: float
) -> None:
    """Show a progress bar with the first member's last validation errors until all have ended."""
    columns = (BarColumn(), TextColumn("{task.fields[errors]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=seconds, errors="")
        begin = time.monotonic()
        while any(worker.is_alive() for worker in workers):
            errors = _last_line(parts[0].with_suffix(".log"))
            bar.update(task, completed=time.monotonic() - begin, errors=errors)
            workers[0].join(timeout=1.0)
            if not workers[0].is_alive():
                for worker in workers:
                    worker.join(timeout=1.0)


def _last_line(path: Path) -> str:
    if not path.is_file():
        return ""
    numbers = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return " ".join(f"{k} {v:.3f}" for k, v in numbers.items() if k in PROPERTIES)


def collect_members(config: TrainConfig, parts: list[Path]) -> Path:
    """Stack the members, measure the ensemble on the test split, write the weights file."""
    networks = []
    for part in parts:
        network = Network(config.network, config.properties)
        network.load_state_dict(torch.load(part, weights_only=True))
        networks.append(network)
    ensemble = stack_members(networks)
    train = load_split(config, "train")
    header = WeightsHeader(
        name=config.name,
        settings=ensemble.settings,
        properties={p: PROPERTIES[p].unit if p in PROPERTIES else "1" for p in config.properties},
        elements=element_symbols(train),
        training_data=config.sources,
        metrics=held_out_errors(ensemble, load_split(config, "test", 10_000)),
    )
    hashes = sorted(
        {
            formula_hash(f)
            for f, off in zip(train.formulas, train.off_equilibrium, strict=True)
            if not off
        }
    )
    save_weights(config.out, ensemble, header, torch.tensor(hashes, dtype=torch.int64))
    return config.out


def held_out_errors(network: Network, data: Dataset) -> dict[str, dict[str, float]]:
    """Mean absolute errors on relaxed crystals: all, those of at most 20 atoms, and of 30."""
    predicted = predict_dataset(network, data)
    result: dict[str, dict[str, float]] = {}
    for k, name in enumerate(network.properties):
        info = PROPERTIES.get(name)
        value = predicted[:, k]
        if info is not None and info.minimum is not None:
            value = np.maximum(value, info.minimum)
        error = np.abs(value - data.labels[:, k])
        known = np.isfinite(error) & ~data.off_equilibrium
        result[name] = {"mae": float(error[known].mean()), "n": int(known.sum())}
        for size in (20, 30):
            small = known & (data.n_atoms <= size)
            result[name][f"mae_up_to_{size}_atoms"] = float(error[small].mean())
    return result
