"""Which properties a search looks at."""

from collections.abc import Sequence

from smoacs.predictors import SPREAD_SUFFIX, Predictor
from smoacs.targets import Target


def wanted_properties(
    targets: Sequence[Target], predictor: Predictor, conservative: float
) -> list[str]:
    """Properties that targets are about and, in conservative designs, their spreads."""
    names = dict.fromkeys(target.property for target in targets)
    if conservative:
        names |= dict.fromkeys(n + SPREAD_SUFFIX for n in list(names))
    return [name for name in names if name in predictor.properties]
