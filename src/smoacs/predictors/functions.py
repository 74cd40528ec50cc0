"""Properties that a user's Python function gives, beside those of a predictor."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError
from smoacs.predictors.base import CombinedPredictor, Predictor
from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX

PropertyFunction = (
    Callable[[dict[str, Tensor]], Tensor] | Callable[[Crystals, NeighborList], Tensor]
)
"""Gives a number for each of B crystals, [B], from their predicted properties (each [B], with the
values that users see), or from the crystals and their neighbours; by torch operations, so that
gradients flow."""

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
    """A predictor, and properties that functions give from its values or from the crystals.

    A function of values that have a spread has one, too: the first-order propagation of
    independent errors, sqrt(sum_p (df/dp std_p)^2) (JCGM 100:2008, equation 10).
    """

    def __init__(self, predictor: Predictor, functions: Mapping[str, FunctionProperty]) -> None:
        """Take both.

        Raises:
            InputError: A function gives a property that the predictor has, or takes a wrong number
                of arguments.
        """
        parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
        super().__init__(parts)
        for name in functions:
            if name in self.properties:
                raise InputError(
                    f"the function {name!r} has the name of a property of the predictor: choose "
                    "another name"
                )
        self._functions = {
            name: (item, n_arguments(name, item)) for name, item in functions.items()
        }
        self.cutoff = max([self.cutoff, *(item.cutoff for item in functions.values())])
        self._own = tuple(self.properties)
        self._doubtful = tuple(name for name in self._own if name + SPREAD_SUFFIX in self._own)
        for name, (item, arguments) in self._functions.items():
            self.properties[name] = item.unit
            if self._doubtful and arguments == FROM_VALUES:
                self.properties[name + SPREAD_SUFFIX] = item.unit

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return all properties, each [B]."""
        out: dict[str, Tensor] = {}
        for part in reversed(self.parts):
            out.update(part(crystals, neighbors))
        out = {name: out[name] for name in self._own}
        given = {name: _as_seen(name, value) for name, value in out.items()}
        for name, (item, arguments) in self._functions.items():
            if arguments == FROM_VALUES:
                out |= self._of_values(name, item, given, crystals)
            else:
                call: Callable[..., object] = item.function
                out[name] = _checked(name, call(crystals, neighbors), crystals)
        return out

    def _of_values(
        self, name: str, item: FunctionProperty, given: Mapping[str, Tensor], crystals: Crystals
    ) -> dict[str, Tensor]:
        """A function's values and, where what it is given has a spread, theirs."""
        call: Callable[..., object] = item.function
        doubtful = self._doubtful
        if not doubtful:
            return {name: _checked(name, call(dict(given)), crystals)}
        differentiated = torch.is_grad_enabled()
        with torch.enable_grad():
            if not differentiated:
                given = {key: value.detach().requires_grad_() for key, value in given.items()}
            value = _checked(name, call(dict(given)), crystals)
            spread = _propagated(value, [(given[x], given[x + SPREAD_SUFFIX]) for x in doubtful])
        out = {name: value, name + SPREAD_SUFFIX: spread}
        return out if differentiated else {key: x.detach() for key, x in out.items()}


def _as_seen(name: str, value: Tensor) -> Tensor:
    """Lift a value to its property's physical minimum, as users see it; the slope stays.

    So a function gives the optimiser what it gives the table, and a band gap that is predicted
    slightly below 0 is still pulled up.
    """
    minimum = PROPERTIES[name].minimum if name in PROPERTIES else None
    below = 0.0 if minimum is None else (minimum - value).clamp(min=0).detach()
    return value + below  # a tensor of its own, whatever else is computed from the value


def _propagated(value: Tensor, given: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Spread of a function's value, [B], from the means and spreads that it was given, each [B].

    Its own slope at 0 is 0, not infinite.
    """
    known = [pair for pair in given if pair[0].requires_grad and value.requires_grad]
    if not known:
        return torch.zeros_like(value)
    slopes = torch.autograd.grad(
        value.sum(),
        [mean for mean, _ in known],
        create_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    variance = torch.stack(
        [(slope * spread).square() for slope, (_, spread) in zip(slopes, known, strict=True)]
    ).sum(0)
    positive = variance > 0
    return torch.where(positive, variance.where(positive, 1.0).sqrt(), 0.0)


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
