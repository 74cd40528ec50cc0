"""Crystals are let go in rounds, those with the best chance to succeed first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.predictors import Predictor
from smoacs.relaxation import Settled, SettleSettings, same_connectivity, settle
from smoacs.search.settings import SettlingSettings
from smoacs.search.settling.pool import Pool, PropertiesOf, Values
from smoacs.search.settling.shifts import Outlook, Settlings
from smoacs.search.settling.state import packed, unpacked
from smoacs.search.state import State
from smoacs.targets import Targets

LARGE: Final = 100
"""Atoms of a parent above which its vibrations would take minutes."""

BY_REST: Final = SettleSettings(max_atoms=LARGE, starts=1, follow=0, fmax=0.03, end_fmax=0.03)
"""How larger ones are let go: once, from a rattled start, without a look at vibrations."""


@dataclass(frozen=True)
class Outcome:
    """What became of a parent.

    Attributes:
        settled: Where it ended.
        values: Properties of the targets there.
        holds: Whether that is a minimum, and a crystal of the parent's kind.
        met: Whether the targets are met, too.
        loss: Of the targets; infinite where there is no end.
    """

    settled: Settled
    values: dict[str, float]
    holds: bool
    met: bool
    loss: float


class Rounds:
    """The crystals that were let go, and which are next.

    Attributes:
        pool: All parents.
        outcomes: By row of the pool, in the order in which they were let go.
    """

    def __init__(
        self,
        targets: Targets,
        properties: PropertiesOf,
        energy: Predictor,
        settings: SettlingSettings,
        *,
        n: int,
        seed: int,
    ) -> None:
        """Take what is wanted.

        Args:
            targets: To be met at the minimum.
            properties: Gives the values.
            energy: The predictor on whose energy crystals settle.
            settings: Of rounds and budgets.
            n: Designs asked for.
            seed: Of the random numbers of settling.
        """
        self.pool = Pool()
        self.outcomes: dict[int, Outcome] = {}
        self.properties = properties
        self._targets = targets
        self._energy = energy
        self._settings = settings
        self._n = n
        self._seed = seed
        self._since = 0

    @property
    def budget(self) -> int:
        """Crystals that are let go at most."""
        return max(self._settings.least, self._settings.budget * self._n)

    @property
    def n_met(self) -> int:
        """Successes, each of a formula of its own."""
        return sum(outcome.met for outcome in self.outcomes.values())

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, whatever parents there may be."""
        return len(self.outcomes) >= self.budget or self._has_enough

    @property
    def _has_enough(self) -> bool:
        return self.n_met >= self._n and not self._targets.extremes

    def end(self) -> str:
        """Why no crystal is let go any more, in words; empty if there is a next round."""
        told = f"{len(self.outcomes):,} of {len(self.pool.parents):,} candidates were let go"
        if self._has_enough:
            return f"{told} for the {self._n:,} designs asked for"
        found = f"{told}, of which {self.n_met:,} meet the targets at their minimum"
        if len(self.outcomes) >= self.budget:
            return f"{found}: as many as {self._n:,} designs are worth"
        if len(self.outcomes) == len(self.pool.parents):
            return f"{found}: there are no others"
        if self._since >= self._settings.patience and not self._targets.extremes:
            hope = float(np.exp(self._chances()[self._left]).sum())
            if hope < self._settings.little_hope:
                return f"{found}, with little hope for the others"
        return ""

    def next(self) -> NDArray[np.int64]:
        """Rows of the pool to let go next, the best chance first."""
        left, chances = self._left, self._chances()[self._left]
        order = np.lexsort((self._expected_loss(left), -np.round(chances, 6)))
        if self._targets.extremes:  # whatever may meet the bounds, by what is to be extreme
            unlikely = chances < np.log(1 / 2)
            order = np.lexsort((-chances, self._expected_loss(left), unlikely))
        hoped = np.exp(chances[order]).cumsum()
        missing = max(1, self._n - self.n_met)
        size = self._settings.round
        if not self._targets.extremes:
            size = min(size, int(np.searchsorted(hoped, missing)) + 1)
        size = max(size, self._settings.smallest)
        rows: NDArray[np.int64] = left[order[: min(size, self.budget - len(self.outcomes))]]
        return rows

    def let_go(self, rows: NDArray[np.int64], tell: Callable[[int], None] | None) -> None:
        """Settle parents, and note what became of them.

        Args:
            rows: Of the pool.
            tell: Told how many crystals are done, over all rounds.
        """
        before = len(self.outcomes)
        sizes = np.array([len(self.pool.parents[row].structure) for row in rows])
        for own, how in ((rows[sizes <= LARGE], SettleSettings()), (rows[sizes > LARGE], BY_REST)):
            if not len(own):
                continue
            found = settle(
                [self.pool.parents[row].structure for row in own],
                self._energy,
                settings=how,
                seed=self._seed,
                progress=None if tell is None else lambda done, _: tell(before + done),
            )
            # What comes back from a checkpoint is the same to the last bit.
            self._note(own.tolist(), [unpacked(packed(settled)) for settled in found])

    def state(self) -> State:
        """What was let go, for a keeper."""
        return {
            "since": self._since,
            "rows": list(self.outcomes),
            "outcomes": [
                {**vars(outcome), "settled": packed(outcome.settled)}
                for outcome in self.outcomes.values()
            ],
        }

    def put_back(self, state: State) -> None:
        """Take what was let go before a kill."""
        for row, kept in zip(state["rows"], state["outcomes"], strict=True):
            self.outcomes[row] = Outcome(**{**kept, "settled": unpacked(kept["settled"])})
        self._since = state["since"]

    def mean_shifts(self) -> dict[str, float]:
        """By how much settling moves each property, the median of those that hold."""
        rows = [row for row, outcome in self.outcomes.items() if outcome.holds]
        if not rows:
            return {}
        return {
            name: float(
                np.median(
                    [self.outcomes[row].values[name] - self.pool.values[name][row] for row in rows]
                )
            )
            for name in self.properties.moved
        }

    def parent_loss(self, row: int) -> float:
        """Loss of the targets of a parent as it is."""
        loss, _ = self._targets.verdict(_tensors(self.pool.values_of(np.array([row]))))
        return float(loss[0])

    @property
    def _left(self) -> NDArray[np.int64]:
        """Rows that were not let go."""
        rows = np.arange(len(self.pool.parents))
        left: NDArray[np.int64] = rows[~np.isin(rows, list(self.outcomes))]
        return left

    def _outlook(self) -> Outlook:
        rows = np.array(list(self.outcomes), dtype=np.int64)
        outcomes = list(self.outcomes.values())
        shifts = {
            name: np.array([outcome.values[name] for outcome in outcomes])
            - self.pool.values[name][rows]
            for name in self.properties.moved
        }
        holds = np.array([outcome.holds for outcome in outcomes], dtype=bool)
        known = Settlings(self.pool.features[rows], shifts, holds)
        return Outlook(self._targets, known, self.properties.moved)

    def _chances(self) -> NDArray[np.float64]:
        """Logarithm of the chance of each parent."""
        return self._outlook().chances(self.pool.features, self.pool.values)

    def _expected_loss(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        after = self._outlook().after(self.pool.features[rows], self.pool.values_of(rows))
        loss, _ = self._targets.verdict(_tensors(after))
        return np.asarray(loss.numpy())

    def _note(self, rows: Sequence[int], found: Sequence[Settled]) -> None:
        """Evaluate ends and keep the outcomes."""
        ends = [settled.structure for settled in found]
        present = [k for k, end in enumerate(ends) if end is not None]
        told = self.properties.of_ends([end for end in ends if end is not None])
        values: Values = self.pool.values_of(np.array(rows))
        for name, value in told.items():
            values[name] = np.full(len(rows), np.nan)
            values[name][present] = value
        loss, met = self._targets.verdict(_tensors(values))
        for k, (row, settled) in enumerate(zip(rows, found, strict=True)):
            holds = self._holds(row, settled)
            own = {name: float(value[k]) for name, value in values.items()}
            outcome = Outcome(settled, own, holds, holds and bool(met[k]), float(loss[k]))
            self.outcomes[row] = outcome
            self._since = 0 if outcome.met else self._since + 1

    def _holds(self, row: int, settled: Settled) -> bool:
        """Whether an end is a minimum, as far as that is known, and a crystal of its kind."""
        if settled.structure is None or not settled.converged:
            return False
        if settled.lowest_frequency <= SettleSettings().threshold:
            return False
        return bool(same_connectivity(self.pool.parents[row].structure, settled.structure))


def _tensors(values: Values) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(value) for name, value in values.items()}
