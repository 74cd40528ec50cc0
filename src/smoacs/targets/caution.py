"""Targets that must hold on the worse side of a value, by the spread that comes with it."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from smoacs.predictors import SPREAD_SUFFIX, Predictor
from smoacs.targets.target import Target


def wanted_properties(
    targets: Sequence[Target], predictor: Predictor, conservative: float
) -> list[str]:
    """Properties that targets are about and, in conservative designs, their spreads."""
    names = dict.fromkeys(target.property for target in targets)
    if conservative:
        names |= dict.fromkeys(n + SPREAD_SUFFIX for n in list(names))
    return [name for name in names if name in predictor.properties]


def margins_of(
    out: Mapping[str, Tensor], targets: Sequence[Target], conservative: float
) -> dict[str, Tensor]:
    """How far the targets' values may be off, for those that come with a spread; none at 0."""
    if conservative == 0:
        return {}
    spreads = {t.property: out.get(t.property + SPREAD_SUFFIX) for t in targets}
    return {name: conservative * std for name, std in spreads.items() if std is not None}


def cautious(target: Target, margins: Mapping[str, Tensor]) -> Target:
    """The target as it must hold for values with these margins."""
    margin = margins.get(target.property)
    return target if margin is None else target.against(margin)
