"""Weights on disk: safetensors with a JSON header; nothing is ever unpickled.

The header's `smoacs` entry says what the file is: format version, sizes of the network, properties
and units, elements, training data and errors on held-out crystals.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.errors import InputError
from smoacs.predictors.domain import TrainingDomain
from smoacs.predictors.network import Network
from smoacs.predictors.readout import HALF, KernelReadout
from smoacs.predictors.settings import NetworkSettings
from smoacs.predictors.spread import SpreadHead, feature_count

log = logging.getLogger(__name__)

FORMAT = 1

_SPREAD = "spread."
"""Tensors of the calibrated spread begin with this."""

_READOUTS = "readouts."


@dataclass(frozen=True, kw_only=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes:
        name: Name of the predictor.
        settings: Sizes of the network.
        properties: Unit of each property, in the order of the network's outputs.
        elements: Symbols of the elements in the training data.
        training_data: Sources and licences, in words.
        metrics: Held-out errors: property -> {"mae": ..., "n": ...} in the property's unit.
        log10: Properties that the network holds as logarithms (see `Network`).
        domain: What the relaxed training crystals cover; None in older files.
        scales: Words for what the values of a property are, such as the functional of a band gap.
        readouts: Properties with a kernel readout in place of a head, and its form (`readout`).
    """

    name: str
    settings: NetworkSettings
    properties: Mapping[str, str]
    elements: tuple[str, ...]
    training_data: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    log10: Mapping[str, float] = field(default_factory=dict)
    domain: TrainingDomain | None = None
    scales: Mapping[str, str] = field(default_factory=dict)
    readouts: Mapping[str, str] = field(default_factory=dict)


def save_weights(path: Path, network: Network, header: WeightsHeader, formulas: Tensor) -> None:
    """Write a weights file, in one step so that no half file is ever seen.

    Args:
        path: Where to.
        network: Its parameters and buffers are written.
        header: What the file says about itself.
        formulas: Hashes of the reduced formulas in the training data, sorted, int64.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    halved = [key for key in tensors if key.startswith(_READOUTS) and key.endswith(HALF)]
    tensors |= {key: tensors[key].half() for key in halved}
    tensors["training_formulas"] = formulas
    meta = json.dumps({"format": FORMAT, **asdict(header)})
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(save(tensors, metadata={"smoacs": meta}))
    temporary.replace(path)


def read_weights(path: Path) -> tuple[Network, WeightsHeader, Tensor]:
    """Read a weights file.

    Returns:
        The network, its header, and the sorted hashes of the formulas in its training data.

    Raises:
        InputError: If the file is missing, is no safetensors file, was not written by smoacs, or
            does not fit the network that it describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = (file.metadata() or {}).get("smoacs")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        msg = f"there is no weights file {path}"
        raise InputError(msg) from error
    except (SafetensorError, OSError) as error:
        msg = f"{path} is not a readable safetensors file: {error}"
        raise InputError(msg) from error
    if meta is None:
        msg = f"{path} was not written by smoacs: its header has no `smoacs` entry"
        raise InputError(msg)
    try:
        header = _parse(json.loads(meta))
        formulas = tensors.pop("training_formulas")
        network = Network(header.settings, tuple(header.properties), header.log10)
        if f"{_SPREAD}weight" in tensors:
            shape = tuple(tensors[f"{_SPREAD}weight"].shape)
            if shape == _spread_shape(network):
                network.spread = SpreadHead(*shape)
            else:
                log.warning(
                    "the spread in %s is of an earlier version and left out, values hold: "
                    "calibrate it again by python -m smoacs.training.calibrate",
                    path,
                )
                tensors = {k: v for k, v in tensors.items() if not k.startswith(_SPREAD)}
        network.read_out = tuple(header.readouts)
        for k, form in enumerate(header.readouts.values()):
            shapes = (tensors[f"{_READOUTS}{k}.{x}"].shape for x in ("project", "described"))
            network.readouts.append(KernelReadout(form, *shapes))
        network.load_state_dict(tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        msg = f"the weights in {path} do not fit their header: {reason}"
        raise InputError(msg) from error
    return network, header, formulas


def _spread_shape(network: Network) -> tuple[int, int]:
    settings, properties = network.settings, len(network.properties)
    pooled = settings.channels + settings.attention_heads
    return feature_count(settings.members, pooled, N_ELEMENTS, properties), properties


def _parse(meta: dict[str, Any]) -> WeightsHeader:
    if meta.pop("format") != FORMAT:
        msg = f"unknown format, this version reads format {FORMAT}"
        raise ValueError(msg)
    meta["settings"] = NetworkSettings(**meta["settings"])
    meta["elements"] = tuple(meta["elements"])
    meta["training_data"] = tuple(meta["training_data"])
    domain = meta.pop("domain", None)
    meta["domain"] = None if domain is None else TrainingDomain.from_json(domain)
    return WeightsHeader(**meta)


def stack_members(networks: list[Network]) -> Network:
    """One network whose members are the given ones', without calibrated spread or readouts.

    Raises:
        InputError: If they differ in size, properties or output scales.
    """
    first = networks[0]
    if any((n.properties, n.log10) != (first.properties, first.log10) for n in networks):
        msg = "members of an ensemble must have the same properties"
        raise InputError(msg)
    members = sum(n.settings.members for n in networks)
    settings = NetworkSettings(**{**asdict(first.settings), "members": members})
    if any(asdict(n.settings) | {"members": members} != asdict(settings) for n in networks):
        msg = "members of an ensemble must have the same sizes"
        raise InputError(msg)
    if any(not torch.allclose(n.scale, first.scale, rtol=1e-3) for n in networks):
        msg = "members of an ensemble must have the same output scales: train them on the same data"
        raise InputError(msg)
    stacked = Network(settings, first.properties, first.log10)
    parameters = {name for name, _ in first.named_parameters()}
    states = [n.state_dict() for n in networks]
    stacked.load_state_dict(
        {
            key: torch.cat([s[key] for s in states]) if key in parameters else value
            for key, value in states[0].items()
            if not key.startswith((_SPREAD, _READOUTS))
        }
    )
    return stacked
