"""What a running design tells the outside, and what it remembers of every step."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.predictors import physical
from smoacs.search.state import Keeper, State, put_back, state_of


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


@dataclass(frozen=True)
class Audience:
    """Who is told of a search.

    Attributes:
        progress: Called after every step; None for nobody.
        keeper: Keeps the state between steps, and gives the one to go on from; None for none.
    """

    progress: ProgressCallback | None = None
    keeper: Keeper | None = None


@dataclass
class Recorder:
    """Walks through the steps, collects every candidate's properties, and reports progress.

    Attributes:
        n_steps: Steps in all.
        audience: Who is told.
        stopped: Whether the keeper has asked for an end before the last step.
    """

    n_steps: int
    audience: Audience = Audience()
    stopped: bool = False
    _values: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin = time.perf_counter()
        keeper = self.audience.keeper
        self._last = None if keeper is None else keeper.last()
        if self._last is not None:
            self._begin -= self._last["seconds"]
            history: dict[str, Tensor] = self._last["history"]
            self._values = {name: list(steps.numpy()) for name, steps in history.items()}

    @property
    def seconds(self) -> float:
        """Time spent on the search so far, before a kill included."""
        return time.perf_counter() - self._begin

    def steps_of(
        self, stage: str, n_steps: int, parts: Mapping[str, object], device: torch.device
    ) -> Iterator[int]:
        """Give the steps of a stage that are still to do, from 0 if it is new.

        A stage that was killed gets its state back first. Between two steps all state must be in
        `parts`.

        Args:
            stage: Its name.
            n_steps: Steps of this stage.
            parts: What the stage changes (see `smoacs.search.state`); None has no state.
            device: Where the tensors are.
        """
        parts = {name: part for name, part in parts.items() if part is not None}
        first = 0
        if self._last is not None:
            if self._last["stage"] != stage:  # done before the kill
                return
            for name, part in parts.items():
                put_back(part, self._last["parts"].get(name, {}), device)
            first, self._last = self._last["step"], None
        for step in range(first, n_steps):
            yield step
            keeper = self.audience.keeper
            if keeper is None:
                continue
            self.stopped = keeper.stop_asked and self.steps < self.n_steps
            if self.stopped or keeper.due:
                keeper.keep(self._state(stage, step + 1, parts))
            if self.stopped:
                return

    def _state(self, stage: str, step: int, parts: Mapping[str, object]) -> State:
        history = {n: torch.from_numpy(np.stack(steps)) for n, steps in self._values.items()}
        return {
            "stage": stage,
            "step": step,
            "seconds": self.seconds,
            "history": history,
            "parts": {name: state_of(part) for name, part in parts.items()},
        }

    @property
    def steps(self) -> int:
        """Steps recorded so far."""
        return max((len(steps) for steps in self._values.values()), default=0)

    def record(self, stage: str, values: dict[str, Tensor], met: Tensor) -> None:
        """Keep the raw values, each [B], of one step, and which candidates meet all targets."""
        for name, value in values.items():
            array = physical(name, value.double().cpu().numpy())
            self._values.setdefault(name, []).append(array)
        if self.audience.progress is not None:
            rate = float(met.float().mean())
            self.audience.progress(ProgressEvent(stage, self.steps, self.n_steps, rate))

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
