"""How to learn: rounds, what is labelled, when to stop, how weights are tuned."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from smoacs.checking import GAP_TOLERANCE
from smoacs.dft import GPAW, DftSettings
from smoacs.errors import InputError

BEST: Final = "best"
UNCERTAIN: Final = "uncertain"
DIFFERENT: Final = "different"

_BUDGET: Final = ("rounds", "core_hours", "patience", "workers")
"""May change when the same learning goes on."""


@dataclass(frozen=True, kw_only=True)
class LearnSettings:
    """Settings of active learning besides those of the design.

    Attributes:
        rounds: Most rounds.
        per_round: Designs to label in each.
        best: Part of them that are the best successes.
        uncertain: Part of them whose predicted gap is the most uncertain.
        different: Part of them whose composition is the furthest from all labelled ones. The three
            need not add up to 1.
        tolerance: eV that a calculated gap may be off its target and still confirm a design.
        core_hours: No calculation begins when so many CPU hours were spent on them; None for no
            limit.
        patience: Rounds in a row without a larger confirmed share before the end.
        data: The data that the first weights were trained on, in the training layout; some of them
            are trained on again beside the labels, and all layers learn. None: only the last
            layers learn, and the first weights' own predictions stand in for labels other than the
            gap.
        epochs: Passes over the data after each round.
        learning_rate: The largest.
        workers: Calculations at a time; with more than one, members train side by side, too.
        dft: Engine, as in `smoacs.dft.engine_command`.
        dft_settings: Accuracy, physics and limits of a calculation.
    """

    rounds: int = 3
    per_round: int = 24
    best: float = 0.5
    uncertain: float = 0.25
    different: float = 0.25
    tolerance: float = GAP_TOLERANCE
    core_hours: float | None = None
    patience: int = 2
    data: Path | None = None
    epochs: int = 40
    learning_rate: float = 1e-3
    workers: int = 1
    dft: str = GPAW
    dft_settings: DftSettings = field(default_factory=DftSettings)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: One of them makes no sense.
        """
        for name in ("rounds", "per_round", "patience", "epochs", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("tolerance", "learning_rate", "core_hours"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}; it is a number above 0")
        shares = (self.best, self.uncertain, self.different)
        if not (all(0 <= share < math.inf for share in shares) and sum(shares) > 0):
            raise InputError(
                f"best, uncertain and different are {self.best:g}, {self.uncertain:g} and "
                f"{self.different:g}; they are at least 0, and one is above"
            )

    def counts(self) -> dict[str, int]:
        """How many of the designs of a round are chosen for which reason."""
        total = self.best + self.uncertain + self.different
        uncertain = round(self.per_round * self.uncertain / total)
        different = min(round(self.per_round * self.different / total), self.per_round - uncertain)
        best = self.per_round - uncertain - different
        return {BEST: best, UNCERTAIN: uncertain, DIFFERENT: different}

    def identity(self) -> dict[str, Any]:
        """Settings that all rounds of one learning share, as plain data."""
        named = asdict(self)
        named["data"] = None if self.data is None else str(self.data.resolve())
        named["dft_settings"] = self.dft_settings.key
        return {name: value for name, value in named.items() if name not in _BUDGET}
