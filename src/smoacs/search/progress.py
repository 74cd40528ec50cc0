"""What a running design tells the outside, and what it remembers of every step."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from smoacs.predictors import physical


@dataclass(frozen=True)
class ProgressEvent:
    """One step done.

    Attributes:
        stage: Name of the stage, in words.
        step: Steps done, over all stages.
        n_steps: Steps in all.
        success_rate: Share of the candidates that now meet all targets.
    """

    stage: str
    step: int
    n_steps: int
    success_rate: float


ProgressCallback = Callable[[ProgressEvent], None]


@dataclass
class Recorder:
    """Collects the properties of every candidate at every step, and reports progress."""

    n_steps: int
    callback: ProgressCallback | None = None
    _values: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps recorded so far."""
        return max((len(steps) for steps in self._values.values()), default=0)

    def record(self, stage: str, values: dict[str, Tensor], met: Tensor) -> None:
        """Keep the raw values, each [B], of one step, and which candidates meet all targets."""
        for name, value in values.items():
            array = physical(name, value.double().cpu().numpy())
            self._values.setdefault(name, []).append(array)
        if self.callback is not None:
            rate = float(met.float().mean())
            self.callback(ProgressEvent(stage, self.steps, self.n_steps, rate))

    def table(self) -> pd.DataFrame:
        """All steps as a long table: step, candidate, and a column for each property."""
        arrays = {name: np.stack(steps) for name, steps in self._values.items()}
        steps, n = next(iter(arrays.values())).shape
        return pd.DataFrame(
            {
                "step": np.repeat(np.arange(1, steps + 1), n),
                "candidate": np.tile(np.arange(n), steps),
                **{name: array.ravel() for name, array in arrays.items()},
            }
        )
