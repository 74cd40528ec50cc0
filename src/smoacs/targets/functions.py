"""A user's Python function as a target of a design."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from smoacs.errors import InputError
from smoacs.predictors import Predictor
from smoacs.predictors.functions import (
    FunctionPredictor,
    FunctionProperty,
    PropertyFunction,
    n_arguments,
)
from smoacs.targets.target import Target


@dataclass(frozen=True, eq=False)
class FunctionTarget:
    """A wish for what a function gives: a window, a bound on one side, or an extreme.

    Attributes:
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
        InputError: The name is no name, the numbers make no target, or the function takes another
            number of arguments.
    """

    name: str
    function: PropertyFunction
    _: KW_ONLY
    low: float = -math.inf
    high: float = math.inf
    direction: int = 0
    weight: float = 1.0
    unit: str = "1"
    cutoff: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can not be a target."""
        if not self.name.isidentifier():
            raise InputError(
                f"{self.name!r} is no name for a function's property; right would be 'my_score'"
            )
        n_arguments(self.name, self.property)
        Target.parse(str(self))

    def __str__(self) -> str:
        """Write the target as a line of text, which names the function's property."""
        return str(
            Target(
                property=self.name,
                low=self.low,
                high=self.high,
                direction=self.direction,
                weight=self.weight,
            )
        )

    @property
    def property(self) -> FunctionProperty:
        """The property that the function gives."""
        return FunctionProperty(self.function, self.unit, self.cutoff)


def with_functions(
    predictor: Predictor, targets: Sequence[str | Target | FunctionTarget]
) -> Predictor:
    """The predictor with the properties of those targets that bring a function.

    Raises:
        InputError: Two functions have one name, or one that a property of the predictor has.
    """
    functions: dict[str, FunctionProperty] = {}
    for target in targets:
        if not isinstance(target, FunctionTarget):
            continue
        known = functions.get(target.name)
        if known is not None and known.function is not target.function:
            raise InputError(f"two functions have the name {target.name!r}: rename one of them")
        functions[target.name] = target.property
    return FunctionPredictor(predictor, functions) if functions else predictor
