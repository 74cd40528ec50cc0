"""Finding predictors by name: built-in weights, weights files, and plug-ins (entry points).

A package adds a predictor by an entry point in the group `smoacs.predictors` that names a callable
taking the device (`"cpu"`, `"cuda"`) and returning a `Predictor`. A user who writes `name:argument`
instead of `name` hands the part after the colon to that callable, as its second argument.
"""

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import torch

from smoacs.errors import InputError, short
from smoacs.predictors.base import CombinedPredictor, Predictor
from smoacs.predictors.builtin import (
    BUILTIN,
    NetworkPredictor,
    builtin_names,
    load_network,
    settling_network,
)
from smoacs.predictors.descriptors import Density, ToleranceFactor
from smoacs.predictors.properties import ENERGY
from smoacs.torch_modes import own_modes

GROUP = "smoacs.predictors"


def installed_predictors() -> list[str]:
    """Names that `load_predictor` knows: built-in weights first, then plug-ins."""
    return [*builtin_names(), *sorted(p.name for p in _plugins())]


@own_modes()
def load_predictor(name_or_path: str | None = None, device: str = "auto") -> CombinedPredictor:
    """Load a predictor by name or weights file, together with the descriptors.

    Args:
        name_or_path: Name of built-in weights or of a plug-in (`name` or `name:argument`), or a
            weights file; None for the built-in default.
        device: A torch device, or "auto".

    Raises:
        InputError: If there is no such predictor, it wants no argument or another, or there is no
            such device.
    """
    name = BUILTIN if name_or_path is None else name_or_path
    place = resolve_device(device)
    plugin = next((p for p in _plugins() if p.name == name.partition(":")[0]), None)
    main: Predictor
    if plugin is not None:
        main = _make(plugin.load(), name, str(place))
    elif name not in builtin_names() and not Path(name).is_file():
        raise InputError(
            f"there is no predictor {name!r}: name a weights file, or one of "
            f"{', '.join(installed_predictors())}"
        )
    else:
        main = load_network(name)
        main.network.to(place)
    return CombinedPredictor([main, ToleranceFactor(), Density()])


def load_settling_predictor(predictor: Predictor) -> Predictor:
    """The energy on which the designs of a predictor settle.

    The built-in predictor has weights of their own for it, where they are in the package: they know
    distorted crystals better, and soft mixtures of elements not at all. Every other predictor is
    its own.

    Args:
        predictor: Of a design; it stays the one for targets and all that is reported.
    """
    parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
    for part in parts:
        if ENERGY in part.properties:
            if not isinstance(part, NetworkPredictor) or part.name != BUILTIN:
                return predictor
            own = settling_network()
            if own is None:
                return predictor
            own.network.to(part.network.embedding.device)
            return own
    return predictor


def resolve_device(device: str) -> torch.device:
    """The torch device of a name; "auto" takes a GPU if there is one.

    Raises:
        InputError: If the name is no device, or the device is not there.
    """
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.ones(1, device=place).item()  # names of devices without memory are names, too
    except Exception as error:
        raise InputError(
            f'device "{short(device)}" is not here: give "auto", "cpu" or a GPU'
        ) from error
    return place


def _make(factory: Callable[..., Predictor], name: str, device: str) -> Predictor:
    """Call a plug-in's callable with the device, and with what follows the colon in `name`."""
    plugin, colon, argument = name.partition(":")
    given = (device, argument) if colon else (device,)
    try:
        inspect.signature(factory).bind(*given)
    except TypeError as error:
        wanted = "no argument" if colon else "an argument"
        msg = f"the predictor {plugin} wants {wanted} after a colon, but got {name!r}"
        raise InputError(msg) from error
    return factory(*given)


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))
