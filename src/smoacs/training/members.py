"""The ensemble's members: each trained in a process of its own, all watched by one bar."""

import errno
import json
import multiprocessing
import signal
import sys
import time
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from smoacs.errors import ResourceError, SmoacsError
from smoacs.predictors.registry import resolve_device
from smoacs.training.config import TrainConfig
from smoacs.training.data.batches import Dataset, build_dataset
from smoacs.training.fitting.fit import FitSettings, fit
from smoacs.training.layout import RELAXED
from smoacs.training.start import initial_network, load_start, loss_terms, network_settings

TABLE_FILE = "data.parquet"
"""The checked and split data, in the training's folder."""

VALIDATION_CRYSTALS = 1500
"""Crystals of each property, and of those away from equilibrium, to validate on."""

_POLL_SECONDS = 0.5
_NO_RESOURCES = 3
_COUNTERS = ("epoch", "step", "seconds")


def member_file(folder: Path, member: int) -> Path:
    """Checkpoint of one member; its log has the same name with the suffix `.log`."""
    return folder / f"member{member}.pt"


def split_dataset(table: pd.DataFrame, config: TrainConfig, split: str, cutoff: float) -> Dataset:
    """The crystals of one split: all to test on, up to `max_atoms` to train on, some to validate.

    Args:
        table: What `load_table` gives.
        config: The settings.
        split: train, val or test.
        cutoff: The network's.
    """
    rows = table[table["split"] == split]
    if split != "test":
        rows = rows[rows["numbers"].map(len) <= config.max_atoms]
    if split == "val":
        shuffled = rows.sample(frac=1.0, random_state=config.split_seed)
        relaxed = shuffled[shuffled["kind"] == RELAXED]
        parts = [relaxed[relaxed[p].notna()][:VALIDATION_CRYSTALS] for p in config.properties]
        parts.append(shuffled[shuffled["kind"] != RELAXED][:VALIDATION_CRYSTALS])
        rows = rows.loc[sorted({label for part in parts for label in part.index})]
    return build_dataset(rows, config.properties, cutoff)


def fit_settings(config: TrainConfig, member: int) -> FitSettings:
    """Settings of one member's fit."""
    return FitSettings(
        seconds=None if config.minutes is None else config.minutes * 60,
        epochs=config.epochs,
        batch_size=config.batch_size,
        off_equilibrium_share=config.off_equilibrium_share,
        property_shares=tuple(config.head(p).share for p in config.properties),
        source_shares=tuple(source.share for source in config.data),
        learning_rate=config.learning_rate,
        trunk_rate=config.trunk_rate,
        force_weight=config.force_weight,
        stress_weight=config.stress_weight,
        rest_share=config.rest_share,
        mixtures=config.mixtures,
        mixture_weight=config.mixture_weight,
        compiled=config.compiled,
        seed=config.seed + member,
        noise=config.noise,
        validations=config.validations,
        patience=config.patience,
    )


def train_member(
    config: TrainConfig, folder: Path, member: int, shared: "Synchronized[float] | None" = None
) -> None:
    """Train one member, or go on from its checkpoint.

    Args:
        config: The settings.
        folder: Where the data are and the checkpoint goes.
        member: Its number.
        shared: Set to the share of the budget that is used up, for whoever watches.
    """
    torch.manual_seed(config.seed + member)
    start = load_start(config)
    table = pd.read_parquet(folder / TABLE_FILE)
    cutoff = network_settings(config, start).cutoff
    train, validation = (split_dataset(table, config, s, cutoff) for s in ("train", "val"))
    network = initial_network(config, member, train, start).to(resolve_device(config.device))
    parent = multiprocessing.parent_process()

    def on_progress(progress: float) -> None:
        if shared is not None:
            shared.value = progress
        if parent is not None and not parent.is_alive():
            sys.exit("the training was ended from outside")  # its next run writes the same files

    fit(
        network,
        train,
        validation,
        terms=loss_terms(config, start),
        settings=fit_settings(config, member),
        checkpoint=member_file(folder, member),
        on_progress=on_progress,
    )


def _member_process(
    config: TrainConfig, folder: Path, member: int, shared: "Synchronized[float]"
) -> None:
    """One member in its own process; the parent ends it when interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        train_member(config, folder, member, shared)
    except SmoacsError as error:
        sys.exit(f"member {member}: {error}")
    except (MemoryError, torch.OutOfMemoryError):
        sys.exit(_NO_RESOURCES)
    except OSError as error:
        sys.exit(_NO_RESOURCES if error.errno in {errno.ENOSPC, errno.EDQUOT} else str(error))


def run_members(config: TrainConfig, folder: Path) -> None:
    """Run all members' processes to their end, with a progress bar.

    Raises:
        SmoacsError: If one fails; the others are stopped.
        ResourceError: If one runs out of memory or disk.
    """
    context = multiprocessing.get_context("spawn")
    shared = [context.Value("d", 0.0) for _ in range(config.members)]
    workers = [
        context.Process(target=_member_process, args=(config, folder, k, shared[k]), daemon=True)
        for k in range(config.members)
    ]
    for worker in workers:
        worker.start()
    try:
        _watch(workers, shared, member_file(folder, 0).with_suffix(".log"))
        codes = {worker.exitcode for worker in workers}
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    if codes & {_NO_RESOURCES, -signal.SIGKILL}:
        raise ResourceError(
            f"a member's training ran out of memory or disk, or was killed; {folder} keeps its "
            "state, and the same command goes on from there"
        )
    if any(codes):
        raise SmoacsError(f"a member's training failed, see above; what there was is in {folder}")


def _watch(
    workers: list[SpawnProcess], shared: "list[Synchronized[float]]", log_file: Path
) -> None:
    """Show progress and the first member's validation errors until all end or one fails."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.fields[errors]}"), TimeRemainingColumn())
    shown = ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=1.0, errors="")
        while any(w.is_alive() for w in workers) and not any(w.exitcode for w in workers):
            next(w for w in (*workers, workers[0]) if w.is_alive()).join(_POLL_SECONDS)
            errors = _last_errors(log_file)
            bar.update(task, completed=min(value.value for value in shared), errors=errors)
            if errors != shown and not console.is_terminal:
                console.print(
                    f"{time.strftime('%H:%M:%S')} {errors}", highlight=False, soft_wrap=True
                )
            shown = errors


def _last_errors(path: Path) -> str:
    """The last validation errors in short."""
    if not path.is_file():
        return ""
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    errors = " ".join(f"{k} {v:.3g}" for k, v in line.items() if k not in _COUNTERS)
    return f"epoch {line['epoch']:g}: {errors}"
