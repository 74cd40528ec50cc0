"""`smoacs train`: from a TOML file to a weights file with measured errors, and a report."""

import json
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from smoacs.errors import InputError
from smoacs.files import write_file
from smoacs.predictors.builtin import formula_hash
from smoacs.predictors.network import Network
from smoacs.predictors.registry import resolve_device
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights, stack_members
from smoacs.torch_modes import own_modes
from smoacs.training.checkpoint import load_state
from smoacs.training.config import TrainConfig
from smoacs.training.data.batches import Dataset, element_symbols
from smoacs.training.fitting.evaluation import predict_dataset
from smoacs.training.fitting.metrics import header_metrics
from smoacs.training.members import TABLE_FILE, member_file, run_members, split_dataset
from smoacs.training.report import REPORT_FILE, Result, write_report
from smoacs.training.sources import load_table
from smoacs.training.spread.calibration import finish_ensemble
from smoacs.training.spread.readout import fit_readouts, form_of, with_formulas
from smoacs.training.start import Start, load_start, log10_limits, loss_terms, network_settings

FOLDER_SUFFIX = ".training"
"""Checkpoints, logs and the report lie in a folder beside the weights: their name with this."""

_SETTINGS_FILE = "settings.json"


@own_modes()
def train_from_config(path: str | Path) -> Path:
    """Train the ensemble that a TOML file describes, or go on where a training was cut off.

    Members run side by side, one process each (on the CPU with one thread each). Beside the weights
    comes a folder with the report, the log of validation errors and the checkpoints.

    Args:
        path: A `TrainConfig` as TOML.

    Returns:
        The weights file.

    Raises:
        InputError: If the settings, the data or the weights to start from are wrong, or the folder
            holds another training.
        SmoacsError: If a member's process fails.
    """
    config = TrainConfig.from_toml(path)
    resolve_device(config.device)
    start = load_start(config)
    folder = open_folder(config)
    run_members(config, folder)
    return collect_members(config, folder, start)


def open_folder(config: TrainConfig) -> Path:
    """Make the training's folder with its settings and data, or open the one that is there.

    Raises:
        InputError: If the data are wrong, or the folder holds another training or a finished one.
    """
    folder = config.out.with_suffix(FOLDER_SUFFIX)
    settings = config.model_dump(mode="json")
    if (folder / _SETTINGS_FILE).is_file():
        before = json.loads((folder / _SETTINGS_FILE).read_text(encoding="utf-8"))
        other = [key for key in settings if before.get(key) != settings[key]]
        if other:
            raise InputError(
                f"{folder} holds a training with another {other[0]!r}: "
                "delete that folder to start afresh, or choose another 'out'"
            )
        if (folder / REPORT_FILE).is_file() and config.out.is_file():
            raise InputError(f"{config.out} is trained already: delete {folder} to train it afresh")
        return folder
    if folder.is_file() or (folder.is_dir() and any(folder.glob("member*"))):
        raise InputError(
            f"{folder} holds checkpoints without their settings: delete it, or choose another 'out'"
        )
    table = load_table(config)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TABLE_FILE}.part"
    table.to_parquet(temporary)
    temporary.replace(folder / TABLE_FILE)
    write_file(folder / _SETTINGS_FILE, json.dumps(settings, indent=1))
    return folder


def collect_members(config: TrainConfig, folder: Path, start: Start | None) -> Path:
    """Stack the members, fit readouts, calibrate and measure, write weights and report.

    Args:
        config: The settings.
        folder: With the data and the members' checkpoints.
        start: The weights that the training started from, if any.

    Returns:
        The weights file.
    """
    table = pd.read_parquet(folder / TABLE_FILE)
    settings = network_settings(config, start)
    train, test = (split_dataset(table, config, s, settings.cutoff) for s in ("train", "test"))
    limits = log10_limits(config, loss_terms(config, start), train, start)
    networks, histories = [], []
    for member in range(config.members):
        state = load_state(member_file(folder, member))
        network = Network(settings, config.properties, limits)
        network.load_state_dict(state["best"] or state["average"])
        networks.append(network)
        histories.append(state["history"])
    ensemble = stack_members(networks).to(resolve_device(config.device))
    held_out = fit_readouts(ensemble, table, config.readouts)
    predicted = predict_dataset(ensemble, test)
    header = WeightsHeader(
        name=config.name,
        settings=ensemble.settings,
        properties={p: config.unit(p) for p in config.properties},
        elements=element_symbols(train),
        training_data=_sources(config, start),
        metrics=header_metrics(ensemble, test, predicted),
        log10=limits,
        scales=_scales(config, start),
        readouts={name: form_of(name, limits) for name in config.readouts},
    )
    header = finish_ensemble(ensemble, header, table, held_out)
    formulas = with_formulas(_formulas(train, start), table, held_out)
    save_weights(config.out, ensemble, header, formulas)
    write_report(folder, header, Result(ensemble, table, test, predicted, tuple(histories)))
    return config.out


def _sources(config: TrainConfig, start: Start | None) -> tuple[str, ...]:
    """Sources of the data in words, those of the start included."""
    if start is None:
        return config.sources
    before = start.header.training_data or ("unknown data",)
    name = start.header.name
    return config.sources + tuple(f"{name}, which this started from: {text}" for text in before)


def _scales(config: TrainConfig, start: Start | None) -> dict[str, str]:
    """What the values of a property are, in words, as far as that is said."""
    before = {} if start is None else start.header.scales
    chosen = {name: config.head(name).scale or before.get(name) for name in config.properties}
    return {name: scale for name, scale in chosen.items() if scale}


def _formulas(train: Dataset, start: Start | None) -> Tensor:
    """Hashes of the formulas of all relaxed crystals ever trained on, sorted."""
    hashes = {
        formula_hash(formula)
        for formula, off in zip(train.formulas, train.off_equilibrium, strict=True)
        if not off
    }
    if start is not None:
        hashes |= set(start.formulas.tolist())
    return torch.tensor(sorted(hashes), dtype=torch.int64)
