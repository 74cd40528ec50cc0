"""What a predictor is: named properties of a batch of crystals, differentiable in everything."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError


@runtime_checkable
class Predictor(Protocol):
    """Maps crystals to properties.

    A descriptor (tolerance factor, density) is the same thing without weights and with cutoff 0.
    """

    @property
    def properties(self) -> Mapping[str, str]:
        """Unit of each property, by name."""
        ...

    @property
    def cutoff(self) -> float:
        """Distance (Å) up to which neighbours are needed."""
        ...

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of the elements it can judge."""
        ...

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return each property's raw value for each crystal, shape [B].

        Must be differentiable in species_probs, frac_coords and cell. Raw means before the limits
        of `smoacs.predictors.properties.physical`.

        Args:
            crystals: Any number of crystals of any sizes, real or soft.
            neighbors: Complete up to `cutoff`.
        """
        ...


class CombinedPredictor:
    """Several predictors as one; each property comes from the first that has it."""

    def __init__(self, parts: Sequence[Predictor]) -> None:
        """Take the predictors in order of preference.

        Raises:
            InputError: If two of them give one property in different units.
        """
        self.parts = tuple(parts)
        self.properties: dict[str, str] = {}
        for part in self.parts:
            for name, unit in part.properties.items():
                if self.properties.setdefault(name, unit) != unit:
                    msg = f"two predictors give {name}, in {self.properties[name]} and in {unit}"
                    raise InputError(msg)
        self.cutoff = max(part.cutoff for part in self.parts)
        self.elements = frozenset.intersection(*(part.elements for part in self.parts))
        self.scales = {
            name: scale
            for name in self.properties
            if (scale := property_scales(self._part_of(name)).get(name))
        }

    def _part_of(self, name: str) -> Predictor:
        return next(part for part in self.parts if name in part.properties)

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return all properties, each [B]."""
        out: dict[str, Tensor] = {}
        for part in reversed(self.parts):
            out.update(part(crystals, neighbors))
        return {name: out[name] for name in self.properties}


def hangs_on_geometry(predictor: Predictor, name: str) -> bool:
    """Whether a property changes when atoms or lattice move; else composition and sites give it.

    Parts of a predictor say so by an attribute `needs_geometry` that is False.
    """
    if isinstance(predictor, CombinedPredictor):
        predictor = next(part for part in predictor.parts if name in part.properties)
    return bool(getattr(predictor, "needs_geometry", True))


def property_scales(predictor: Predictor) -> dict[str, str]:
    """What the values of its properties are, such as the functional of a band gap.

    Empty for predictors that do not tell: they tell by an attribute `scales`, words by property.
    """
    return dict(getattr(predictor, "scales", {}))


@runtime_checkable
class Narrowing(Protocol):
    """A predictor that can leave out what only some of its properties need."""

    def for_properties(self, names: Collection[str]) -> Predictor:
        """Return a predictor that gives these properties, and may not give the others."""
        ...


def for_properties(predictor: Predictor, names: Collection[str]) -> Predictor:
    """A predictor that gives some properties as this one does, at less cost where it can.

    Args:
        predictor: Any; it stays as it is.
        names: Properties that are wanted; others may be left out.
    """
    if type(predictor) is CombinedPredictor:  # what a class made from it does beside is not known
        parts = [p for p in predictor.parts if not p.properties.keys().isdisjoint(names)]
        return CombinedPredictor([for_properties(part, names) for part in parts or predictor.parts])
    return predictor.for_properties(names) if isinstance(predictor, Narrowing) else predictor
