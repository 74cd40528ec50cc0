"""A user's Python function as a target of a design."""

import math
from collections.abc import Iterable

from smoacs.errors import InputError
from smoacs.predictors import Predictor
from smoacs.predictors.functions import (
    FunctionPredictor,
    FunctionProperty,
    PropertyFunction,
    n_arguments,
)
from smoacs.targets.target import Target


class FunctionTarget(Target):
    """A wish for what a function gives: a window, a bound on one side, or an extreme."""

    def __init__(  # noqa: PLR0913 - the ends of a window, and what a function needs
        self,
        name: str,
        function: PropertyFunction,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        direction: int = 0,
        weight: float = 1.0,
        unit: str = "1",
        cutoff: float = 0.0,
    ) -> None:
        """Take a function and what it should reach.

        Args:
            name: Of the property that the function gives; a column of the results.
            function: Takes a dictionary of predicted values, each [B], or crystals and neighbours;
                returns a tensor [B], made by torch operations.
            low: Lower bound; -inf if there is none.
            high: Upper bound; inf if there is none.
            direction: +1 to maximise, -1 to minimise, 0 for a window or bound.
            weight: Factor of the loss, which is the distance to the window.
            unit: Of the values.
            cutoff: Distance, Å, up to which the function needs neighbours.

        Raises:
            InputError: The name is no name, the numbers make no target, or the function takes
                another number of arguments.
        """
        if not name.isidentifier():
            raise InputError(
                f"{name!r} is no name for a function's property; right would be 'my_score'"
            )
        gives = FunctionProperty(function, unit, cutoff)
        n_arguments(name, gives)
        super().__init__(
            property=name, low=low, high=high, direction=direction, weight=weight, function=gives
        )


def with_functions(predictor: Predictor, targets: Iterable[Target]) -> Predictor:
    """The predictor with the properties of those targets that bring a function.

    Raises:
        InputError: Two functions have one name, or one that a property of the predictor has.
    """
    functions: dict[str, FunctionProperty] = {}
    for target in targets:
        if target.function is None:
            continue
        known = functions.get(target.property)
        if known is not None and known.function is not target.function.function:
            raise InputError(f"two functions have the name {target.property!r}: rename one of them")
        functions[target.property] = target.function
    # A predictor that gives them already is made anew from its parts.
    return FunctionPredictor(predictor, functions) if functions else predictor
