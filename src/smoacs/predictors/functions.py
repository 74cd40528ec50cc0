"""Properties that a user's Python function gives, beside those of a predictor."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError
from smoacs.predictors.base import CombinedPredictor, Predictor

PropertyFunction = (
    Callable[[dict[str, Tensor]], Tensor] | Callable[[Crystals, NeighborList], Tensor]
)
"""Gives a number for each of B crystals, [B], from their predicted properties (raw values, each
[B]), or from the crystals and their neighbours; by torch operations, so that gradients flow."""

FROM_VALUES = 1
FROM_CRYSTALS = 2
"""How many arguments a function takes."""


@dataclass(frozen=True, eq=False)
class FunctionProperty:
    """A property and the function that gives it.

    Attributes:
        function: See `PropertyFunction`.
        unit: Of its values; "1" if they have none.
        cutoff: Distance, Å, up to which the function needs neighbours.
    """

    function: PropertyFunction
    unit: str = "1"
    cutoff: float = 0.0


class FunctionPredictor(CombinedPredictor):
    """A predictor, and properties that functions give from its values or from the crystals."""

    def __init__(self, predictor: Predictor, functions: Mapping[str, FunctionProperty]) -> None:
        """Take both.

        Raises:
            InputError: A function gives a property that the predictor has, or takes a wrong number
                of arguments.
        """
        parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
        super().__init__(parts)
        for name, item in functions.items():
            if name in self.properties:
                raise InputError(
                    f"the function {name!r} has the name of a property of the predictor: choose "
                    "another name"
                )
            self.properties[name] = item.unit
        self._functions = {
            name: (item, n_arguments(name, item)) for name, item in functions.items()
        }
        self.cutoff = max([self.cutoff, *(item.cutoff for item in functions.values())])
        self._own = tuple(name for name in self.properties if name not in functions)

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return all properties, each [B]."""
        out: dict[str, Tensor] = {}
        for part in reversed(self.parts):
            out.update(part(crystals, neighbors))
        out = {name: out[name] for name in self._own}
        given = dict(out)
        for name, (item, arguments) in self._functions.items():
            call: Callable[..., object] = item.function
            value = call(dict(given)) if arguments == FROM_VALUES else call(crystals, neighbors)
            out[name] = _checked(name, value, crystals)
        return out


def n_arguments(name: str, item: FunctionProperty) -> int:
    """How many arguments a function takes, 1 or 2.

    Raises:
        InputError: It takes neither.
    """
    signature = inspect.signature(item.function)
    for count in (FROM_CRYSTALS, FROM_VALUES):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    raise InputError(
        f"the function {name!r} must take the predicted values, or the crystals and their "
        f"neighbours; its arguments are {signature}"
    )


def _checked(name: str, value: object, crystals: Crystals) -> Tensor:
    """Check what a function gave: one number for each crystal, with a gradient where needed."""
    n = crystals.n_systems
    if not isinstance(value, Tensor) or value.shape != (n,):
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(
            f"the function {name!r} must give a tensor with a number for each of the {n} crystals, "
            f"shape ({n},); it gave {got}"
        )
    needed = torch.is_grad_enabled() and crystals.species_probs.requires_grad
    if needed and value.is_floating_point() and not value.requires_grad:
        raise InputError(
            f"the function {name!r} has no gradient: let it use torch operations on what it is "
            "given, without .detach(), .item() or numpy"
        )
    return value
