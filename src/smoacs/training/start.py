"""The network that training starts from: a fresh one, or one that has learnt before."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch

from smoacs.errors import InputError
from smoacs.predictors.builtin import builtin_names
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights
from smoacs.training.config import TrainConfig
from smoacs.training.data.batches import Dataset
from smoacs.training.fitting.loss import DEFAULT_TERM, LOSS_TERMS, LossTerm

_HEADROOM = 0.5
"""A logarithm's straight part starts this many decades above the largest label."""

_RIDGE = 1.0
_SMALLEST_SPREAD = 1e-3
_HEAD_PARAMETERS = (
    "site_head.second.weight",
    "site_head.second.bias",
    "pool_head.second.weight",
    "pool_head.second.bias",
    "element_shift",
    "scale",
)
"""Their last axis is the properties; everything else is shared by all."""


@dataclass(frozen=True)
class Start:
    """Weights to start from: what `read_weights` returns."""

    network: Network
    header: WeightsHeader
    formulas: torch.Tensor


def load_start(config: TrainConfig) -> Start | None:
    """The weights to start from, if the config names any.

    Raises:
        InputError: If there are none of that name, the file is not one of ours, its sizes are not
            those that the config asks for, or it holds a property in another unit or form.
    """
    if config.start is None:
        return None
    start = Start(*_read(config.start))
    start.network.spread = None  # it and readouts belong to the finished ensemble
    start.network.readouts, start.network.read_out = torch.nn.ModuleList(), ()
    header = start.header
    if "network" in config.model_fields_set:
        for field in fields(NetworkSettings):
            have, wanted = (getattr(s, field.name) for s in (header.settings, config.network))
            if field.name != "members" and have != wanted:
                raise InputError(
                    f"start = {config.start!r} has network.{field.name} = {have}, the settings say "
                    f"{wanted}: leave [network] out to take the sizes of the start"
                )
    for name in set(config.properties) & set(header.properties):
        if config.unit(name) != header.properties[name]:
            raise InputError(
                f"start = {config.start!r} has {name} in {header.properties[name]}, "
                f"the settings say {config.unit(name)}"
            )
        chosen = config.head(name).log10
        if chosen is not None and chosen != (name in header.log10):
            raise InputError(
                f"start = {config.start!r} has heads.{name}.log10 = "
                f"{str(name in header.log10).lower()}: leave it out"
            )
    return start


def _read(name_or_path: str) -> tuple[Network, WeightsHeader, torch.Tensor]:
    if name_or_path in builtin_names():
        resource = files("smoacs.predictors") / "weights" / f"{name_or_path}.safetensors"
        with as_file(resource) as path:
            return read_weights(path)
    if not Path(name_or_path).is_file():
        raise InputError(
            f"start = {name_or_path!r} is neither a weights file nor one of "
            f"{', '.join(builtin_names())}"
        )
    return read_weights(Path(name_or_path))


def network_settings(config: TrainConfig, start: Start | None) -> NetworkSettings:
    """Sizes of one member."""
    return config.network if start is None else replace(start.header.settings, members=1)


def loss_terms(config: TrainConfig, start: Start | None = None) -> list[LossTerm]:
    """How each property of the config is fitted."""
    kept = {} if start is None else start.header.properties
    terms = []
    for name in config.properties:
        log10 = config.uses_log10(name)
        if start is not None and name in kept:
            log10 = name in start.header.log10
        head = config.head(name)
        weight = 0.0 if head.readout == "kernel" else head.weight
        term = replace(LOSS_TERMS.get(name, DEFAULT_TERM), weight=weight)
        terms.append(term if term.log10 == log10 else replace(term, log10=log10, scale=None))
    return terms


def log10_limits(
    config: TrainConfig, terms: Sequence[LossTerm], train: Dataset, start: Start | None
) -> dict[str, float]:
    """The `log10` of the network (see `Network`): the start's, or from the largest label."""
    limits = {}
    for k, (name, term) in enumerate(zip(config.properties, terms, strict=True)):
        if term.log10:
            largest = float(np.log10(np.nanmax(train.labels[:, k])))
            limits[name] = round(largest + _HEADROOM, 3)
            if start is not None and name in start.header.log10:
                limits[name] = start.header.log10[name]
    return limits


def initial_network(
    config: TrainConfig, member: int, train: Dataset, start: Start | None
) -> Network:
    """The network of one member before its first step.

    From weights, member k takes the k-th network of their ensemble (counted around); heads of
    properties that they have are kept, others are new.
    """
    terms = loss_terms(config, start)
    settings = network_settings(config, start)
    network = Network(settings, config.properties, log10_limits(config, terms, train, start))
    known = [] if start is None else list(start.header.properties)
    fresh = [k for k, name in enumerate(config.properties) if name not in known]
    if start is not None:
        place = member % start.header.settings.members
        _copy(start.network, network, place, known)
        with torch.no_grad():  # new heads begin with what the composition says
            for head in (network.site_head, network.pool_head):
                head.second.weight[..., fresh] = 0.0
    start_from_composition(network, train, terms, fresh)
    return network


def _copy(source: Network, target: Network, member: int, known: list[str]) -> None:
    """Copy one member's trunk, and the heads of properties that both have."""
    old, new = source.state_dict(), target.state_dict()
    members = {name for name, _ in source.named_parameters()}
    pairs = [(k, known.index(p)) for k, p in enumerate(target.properties) if p in known]
    for key, value in old.items():
        part = value[member : member + 1] if key in members else value
        if key in _HEAD_PARAMETERS:
            for k, j in pairs:
                new[key][..., k] = part[..., j]
        else:
            new[key] = part
    target.load_state_dict(new)


def start_from_composition(
    network: Network,
    data: Dataset,
    terms: Sequence[LossTerm],
    columns: Sequence[int] | None = None,
) -> None:
    """Set output scales, and the elements' shifts of each property, by a ridge fit.

    Args:
        network: Changed in place.
        data: Its relaxed crystals are fitted.
        terms: Of each property.
        columns: Places of the properties to set; None for all.
    """
    x = np.zeros((len(data), network.embedding.shape[1]))
    system = np.repeat(np.arange(len(data)), data.n_atoms)
    np.add.at(x, (system, data.numbers.astype(int) - 1), 1.0)
    x /= data.n_atoms[:, None]
    with torch.no_grad():
        for k in range(len(terms)) if columns is None else columns:
            y = data.labels[:, k].astype(float)
            keep = np.isfinite(y) & ~data.off_equilibrium
            a, b = x[keep], np.log10(y[keep]) if terms[k].log10 else y[keep]
            middle = b.mean()
            shift = middle + np.linalg.solve(
                a.T @ a + _RIDGE * np.eye(a.shape[1]), a.T @ (b - middle)
            )
            network.element_shift[:, :, k] = torch.as_tensor(shift, dtype=torch.float32)
            spread = float(np.std(b - a @ shift))
            network.scale[k] = spread if spread > _SMALLEST_SPREAD * np.abs(b).max() else 1.0
