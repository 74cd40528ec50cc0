"""Weights on disk: safetensors with a JSON header; nothing is ever unpickled.

The header's `smoacs` entry says what the file is (`smoacs.predictors.weights.header`). What it says
is held to the tensors before a network is built, and the tensors to their fingerprint.
"""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from smoacs.chemistry import N_ELEMENTS
from smoacs.errors import InputError
from smoacs.files import write_file
from smoacs.predictors.network.model import Network
from smoacs.predictors.network.readout import DESCRIPTORS, HALF, KernelReadout
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.network.spread import SpreadHead, feature_count
from smoacs.predictors.weights.header import WeightsHeader, header_text, parse_header

log = logging.getLogger(__name__)

_SPREAD = "spread."
"""Tensors of the calibrated spread begin with this."""

_READOUTS = "readouts."

_SIZES = ("project", "described")
"""Tensors that the sizes of a readout are taken from."""

_FORMULAS = "training_formulas"

Tensors = dict[str, Tensor]


def save_weights(path: Path, network: Network, header: WeightsHeader, formulas: Tensor) -> None:
    """Write a weights file, in one step so that no half file is ever seen.

    The fingerprint of the tensors goes into the header.

    Args:
        path: Where to.
        network: Its parameters and buffers are written.
        header: What the file says about itself.
        formulas: Hashes of the reduced formulas in the training data, sorted, int64.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    halved = [key for key in tensors if key.startswith(_READOUTS) and key.endswith(HALF)]
    tensors |= {key: tensors[key].half() for key in halved}
    tensors[_FORMULAS] = formulas
    meta = header_text(header, fingerprint(tensors, header.decisive()))
    write_file(path, save(tensors, metadata={"smoacs": meta}))


def read_weights(path: Path) -> tuple[Network, WeightsHeader, Tensor]:
    """Read a weights file; nothing is built before header and tensors are found to agree.

    Returns:
        The network, its header, and the sorted hashes of the formulas in its training data.

    Raises:
        InputError: If the file is missing, is no safetensors file, was not written by smoacs, was
            changed since, or does not fit the network that it describes.
    """
    meta, tensors = _read_file(path)
    try:
        header, written = parse_header(meta)
        found = written and fingerprint(tensors, header.decisive())
        formulas = tensors.pop(_FORMULAS)
        tensors = _without_old_spread(tensors, header, path)
        _check_tensors(tensors, formulas, header)
        _check_fingerprint(written, found)
        network = _build(header, tensors)
        network.load_state_dict(tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise InputError(f"the weights in {path} do not fit their header: {reason}") from error
    return network, header, formulas


def _read_file(path: Path) -> tuple[str, Tensors]:
    try:
        with safe_open(path, framework="pt") as file:
            meta = (file.metadata() or {}).get("smoacs")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"there is no weights file {path}") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    if meta is None:
        raise InputError(f"{path} was not written by smoacs: its header has no `smoacs` entry")
    return meta, tensors


def _check_fingerprint(written: str | None, found: str | None) -> None:
    if written != found:
        raise ValueError("their fingerprint is another: the file was changed after it was written")


def _without_old_spread(tensors: Tensors, header: WeightsHeader, path: Path) -> Tensors:
    """Leave the spread out if it is one of an earlier version, which had other features."""
    weight = tensors.get(f"{_SPREAD}weight")
    if weight is None or tuple(weight.shape) == _spread_shape(header):
        return tensors
    log.warning(
        "the spread in %s is of an earlier version and left out, values hold: "
        "calibrate it again by python -m smoacs.training.calibrate",
        path,
    )
    return {k: v for k, v in tensors.items() if not k.startswith(_SPREAD)}


def _spread_shape(header: WeightsHeader) -> tuple[int, int]:
    settings, properties = header.settings, len(header.properties)
    pooled = settings.channels + settings.attention_heads
    return feature_count(settings.members, pooled, N_ELEMENTS, properties), properties


def _build(header: WeightsHeader, tensors: Mapping[str, Tensor]) -> Network:
    """The network that a header describes, with the spread and the readouts of its tensors."""
    network = Network(header.settings, tuple(header.properties), header.log10)
    if f"{_SPREAD}weight" in tensors:
        network.spread = SpreadHead(*_spread_shape(header))
    network.widening = header.widening
    network.read_out = tuple(header.readouts)
    for k, form in enumerate(header.readouts.values()):
        shapes = (tensors[f"{_READOUTS}{k}.{x}"].shape for x in _SIZES)
        network.readouts.append(KernelReadout(form, *shapes))
    return network.to(torch.float32)  # whatever the program around us has as its default


def _check_tensors(tensors: Tensors, formulas: Tensor, header: WeightsHeader) -> None:
    """Hold the tensors to the network of the header, which takes no memory here.

    Raises:
        ValueError: One is missing or has another shape, type or no finite numbers.
    """
    if formulas.dtype != torch.int64 or formulas.dim() != 1 or (formulas.diff() < 0).any():
        raise ValueError(f"{_FORMULAS} are not sorted whole numbers")
    for problem in _differences(tensors, header):
        raise ValueError(problem)


def _differences(tensors: Tensors, header: WeightsHeader) -> Iterator[str]:
    for k in range(len(header.readouts)):
        yield from _readout_differences(tensors, header, k)
    with torch.device("meta"), _NothingDrawn():
        wanted = _build(header, tensors).state_dict()
    missing, foreign = wanted.keys() - tensors.keys(), tensors.keys() - wanted.keys()
    if missing or foreign:
        yield f"{min(missing or foreign)} is {'missing' if missing else 'no part of the network'}"
    precision = tensors["embedding"].dtype
    if precision not in {torch.float32, torch.float64}:
        yield f"embedding is of type {precision}"
    for name, tensor in sorted(tensors.items()):
        if tensor.shape != wanted[name].shape:
            yield f"size of {name}: {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
        halved = name.startswith(_READOUTS) and name.endswith(HALF)
        if tensor.dtype != (torch.float16 if halved else precision):
            yield f"{name} is of type {tensor.dtype}"
        if not tensor.isfinite().all():
            yield f"{name} holds what is no finite number"
    last = float(tensors["geometry.centers"][-1])
    if not math.isclose(last, header.settings.cutoff, rel_tol=1e-5):
        yield f"cutoff = {header.settings.cutoff} but the radial functions end at {last:g} Å"


_KEEP_THE_SHAPE = {Tensor.uniform_, Tensor.mul, Tensor.__rsub__}


class _NothingDrawn(TorchFunctionMode):
    """Make tensors without memory, and without the imports that their numbers take.

    For a tensor on the device "meta" any calculation loads torch's compiler: two seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        if func in _KEEP_THE_SHAPE:
            return args[0]
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        if func is torch.linspace:
            return torch.empty(args[-1], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _readout_differences(tensors: Tensors, header: WeightsHeader, k: int) -> Iterator[str]:
    """What is wrong with the two tensors that the sizes of a readout are taken from."""
    settings = header.settings
    others = len(header.properties) - len(header.readouts)
    project, described = (tuple(tensors[f"{_READOUTS}{k}.{x}"].shape) for x in _SIZES)
    features = 2 * settings.channels * settings.layers
    if len(project) != 3 or project[:2] != (settings.members, features):  # noqa: PLR2004 - a matrix each
        yield f"size of {_READOUTS}{k}.project: {project}"
    if len(described) != 3 or described[::2] != (settings.members, DESCRIPTORS + others):  # noqa: PLR2004
        yield f"size of {_READOUTS}{k}.described: {described}"


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


def fingerprint(tensors: Mapping[str, Tensor], decisive: str) -> str:
    """SHA-256 of what the numbers of a predictor follow from, in hexadecimal.

    Args:
        tensors: All tensors of a weights file: their names, shapes, types and bytes count.
        decisive: What else decides (`WeightsHeader.decisive`).
    """
    digest = hashlib.sha256(decisive.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
