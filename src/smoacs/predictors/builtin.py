"""The built-in predictor: a network with its weights, as a `Predictor`."""

import copy
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from torch import Tensor

from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError
from smoacs.predictors.domain import Applicability, applicability
from smoacs.predictors.network.model import Network
from smoacs.predictors.properties import SPREAD_SUFFIX
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import read_weights

BUILTIN = "mp2018"
"""Name of the weights in the package that are used unless others are asked for."""

SETTLING = "settle"
"""Name of the weights in the package on whose energy designs of the built-in predictor settle. They
are no predictor of their own: all that is reported is the built-in's."""

_MATERIALS_PROJECT = "PBE and PBE+U (Materials Project, June 2018)"
_SCALES = {
    "mp2018": {
        "formation_energy": _MATERIALS_PROJECT,
        "energy_above_hull": _MATERIALS_PROJECT,
        "bulk_modulus": "PBE, Voigt-Reuss-Hill mean (Materials Project)",
        "shear_modulus": "PBE, Voigt-Reuss-Hill mean (Materials Project)",
        "critical_temperature": "McMillan-Allen-Dynes (JARVIS-SuperconDB)",
    }
}
"""What the values of weights in the package are where their own header does not tell."""


class NetworkPredictor:
    """Mean of an ensemble of networks, and its spread as `name.std`.

    The spread is calibrated where the weights say how (see `smoacs.predictors.network.spread`), and
    that of the members otherwise.
    """

    def __init__(
        self, network: Network, header: WeightsHeader, formulas: Tensor, *, name: str = ""
    ) -> None:
        """Take what `read_weights` returns, and the name of weights in the package."""
        self.name = name
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.header = header
        self.cutoff = header.settings.cutoff
        self.elements = frozenset(header.elements)
        self.properties: Mapping[str, str] = dict(header.properties)
        self.scales: Mapping[str, str] = header.scales
        if header.settings.members > 1 or network.spread is not None:
            spreads = {name + SPREAD_SUFFIX: unit for name, unit in header.properties.items()}
            self.properties = {**header.properties, **spreads}
        self._formulas = formulas.numpy()

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return every property, each [B], in the weights' precision."""
        weight = self.network.embedding
        if neighbors.edge_index.device != weight.device:
            neighbors = neighbors.to(weight.device)
        crystals = crystals.to(weight.device, weight.dtype)
        if not any(name.endswith(SPREAD_SUFFIX) for name in self.properties):
            return self.network.values(crystals, neighbors, self.properties.keys())
        mean, spread = self.network.values_and_spread(crystals, neighbors)
        out = dict(zip(self.network.properties, mean.unbind(1), strict=True))
        names = (name + SPREAD_SUFFIX for name in self.network.properties)
        return out | dict(zip(names, spread.unbind(1), strict=True))

    def for_properties(self, names: Collection[str]) -> "NetworkPredictor":
        """Leave out all others, unless a spread is wanted."""
        if any(name.endswith(SPREAD_SUFFIX) for name in names):
            return self  # a spread is a function of all values
        light = copy.copy(self)
        light.properties = {
            name: unit for name, unit in self.header.properties.items() if name in names
        }
        return light

    def applicability(self, crystals: Crystals) -> Applicability | None:
        """Which real crystals the training data speak for; None if the weights do not say.

        Args:
            crystals: One-hot crystals.
        """
        if self.header.domain is None:
            return None
        return applicability(crystals, self.header.domain, self.elements, self.cutoff)

    def knows_formula(self, reduced_formula: str) -> bool:
        """Whether the training data hold a crystal of this reduced formula."""
        key = formula_hash(reduced_formula)
        place = int(np.searchsorted(self._formulas, key))
        return place < len(self._formulas) and int(self._formulas[place]) == key


def formula_hash(reduced_formula: str) -> int:
    """A stable 63-bit hash of a reduced formula (blake2b)."""
    digest = hashlib.blake2b(reduced_formula.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def builtin_names() -> list[str]:
    """Names of the predictors inside the package."""
    return sorted(_packaged() - {SETTLING})


def settling_network() -> NetworkPredictor | None:
    """The energy in the package on which designs of the built-in predictor settle, if it is there.

    It gives the formation energy of real crystals.
    """
    return _of_package(SETTLING) if SETTLING in _packaged() else None


def _packaged() -> set[str]:
    """Names of all weights inside the package."""
    folder = files("smoacs.predictors") / "weights"
    names = [f.name for f in folder.iterdir() if f.name.endswith(".safetensors")]
    return {name.removesuffix(".safetensors") for name in names}


def _of_package(name: str) -> NetworkPredictor:
    """Weights inside the package."""
    resource = files("smoacs.predictors") / "weights" / f"{name}.safetensors"
    with as_file(resource) as path:
        network, header, formulas = read_weights(path)
    scales = {**_SCALES.get(name, {}), **header.scales}
    return NetworkPredictor(network, replace(header, scales=scales), formulas, name=name)


def load_network(name_or_path: str) -> NetworkPredictor:
    """Load weights by the name of built-in ones, or from a file.

    Raises:
        InputError: If there is neither, or the file is not one of ours.
    """
    if name_or_path in builtin_names():
        return _of_package(name_or_path)
    if not Path(name_or_path).is_file():
        msg = (
            f"there is no predictor {name_or_path!r}: name a weights file, or one of "
            f"{', '.join(builtin_names())}"
        )
        raise InputError(msg)
    return NetworkPredictor(*read_weights(Path(name_or_path)))
