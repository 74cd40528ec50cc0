"""All that a design should reach at once, cautiously if asked to."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from smoacs.errors import InputError
from smoacs.predictors import SPREAD_SUFFIX, physical
from smoacs.targets.target import Target

Values = Mapping[str, Tensor]
"""Properties of B crystals, each [B]; those that end in `SPREAD_SUFFIX` are standard deviations."""


@dataclass(frozen=True)
class Targets(Sequence[Target]):
    """Several targets that must hold together.

    Attributes:
        each: The targets, in the order given.
        conservative: Standard deviations by which every target must hold on the worse side, where a
            property comes with a spread.
    """

    each: tuple[Target, ...]
    conservative: float = 0.0

    @staticmethod
    def of(targets: "Iterable[Target | str]", conservative: float = 0.0) -> "Targets":
        """Targets, some of which may be text (see `Target.parse`)."""
        each = (Target.parse(t) if isinstance(t, str) else t for t in targets)
        return Targets(tuple(each), conservative)

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Target, ...]: ...
    def __getitem__(self, index: int | slice) -> Target | tuple[Target, ...]:
        """One of the targets, or some."""
        return self.each[index]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.each)

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """What they are about, each once."""
        return tuple(dict.fromkeys(target.property for target in self.each))

    @cached_property
    def extremes(self) -> tuple[Target, ...]:
        """Those to maximise or minimise, so that nobody is ever done."""
        return tuple(target for target in self.each if target.direction)

    @property
    def n_bounds(self) -> int:
        """Ends of windows, S: what there are shortfalls of."""
        return sum(math.isfinite(end) for target in self.each for end in (target.low, target.high))

    def to_predict(self, known: Collection[str]) -> list[str]:
        """Properties to predict: those of the targets and, if cautious, their spreads.

        Args:
            known: What the predictor gives.
        """
        spreads = [name + SPREAD_SUFFIX for name in self.properties if self.conservative]
        return [name for name in (*self.properties, *spreads) if name in known]

    def check(self, known: Collection[str]) -> None:
        """Refuse what a predictor can not tell.

        Args:
            known: Properties that it gives.

        Raises:
            InputError: It lacks one of them, or gives a spread for none where they are to hold
                cautiously.
        """
        for target in self.each:
            Target.parse(str(target), known)
        names = [name for name in self.properties if name + SPREAD_SUFFIX in known]
        if self.conservative and not names:
            asked = ", ".join(self.properties) or "the target that is missing"
            raise InputError(
                "conservative needs a predictor that says how far it may be off; "
                f"this one gives no spread for {asked}"
            )

    def margins(self, values: Values) -> dict[str, Tensor]:
        """How far values may be off, each [B]; of the properties with a spread only."""
        spreads = {name: values.get(name + SPREAD_SUFFIX) for name in self.properties}
        if not self.conservative:
            return {}
        return {name: self.conservative * x for name, x in spreads.items() if x is not None}

    def cautious(self, values: Values) -> list[Target]:
        """The targets as they must hold for values with these spreads."""
        margins = self.margins(values)
        return [
            target.against(margins[target.property]) if target.property in margins else target
            for target in self.each
        ]

    def losses(self, values: Values, loss: Callable[[Target, Tensor], Tensor]) -> list[Tensor]:
        """Loss of each target, [B].

        Args:
            values: Of their properties.
            loss: Of one target, for the values of its property.
        """
        return [loss(target, values[target.property]) for target in self.cautious(values)]

    def met(self, values: Values) -> Tensor:
        """Which crystals meet all of them, [B]."""
        verdicts = [target.met(values[target.property]) for target in self.cautious(values)]
        return torch.stack(verdicts).all(0)

    def verdict(self, values: Values) -> tuple[Tensor, Tensor]:
        """Losses (infinite if not finite) and whether all are met, each [B], as users see values.

        Args:
            values: Raw values.
        """
        seen = as_users_see(values)
        loss = torch.stack(self.losses(seen, lambda target, value: target.loss(value))).sum(0)
        return loss.nan_to_num(nan=torch.inf), self.met(seen)

    def shortfalls(self, values: Values) -> Tensor:
        """By how much raw values miss each end of a window, negative where it is met, [B, S]."""
        seen = as_users_see(values)
        margins = self.margins(seen)
        columns = []
        for target in self.each:
            value, off = seen[target.property], margins.get(target.property, 0.0)
            if math.isfinite(target.low):
                columns.append(target.low - (value - off))
            if math.isfinite(target.high):
                columns.append(value + off - target.high)
        return torch.stack(columns, 1) if columns else next(iter(seen.values()))[:, None][:, :0]


def as_users_see(values: Values) -> dict[str, Tensor]:
    """Raw values within the physical limits of their properties, in double precision's digits."""
    return {
        name: torch.as_tensor(physical(name, value.double().cpu().numpy())).to(value)
        for name, value in values.items()
    }
