"""A predictor that counts its calls, ends at a budget, and remembers what it was shown.

Every method of a comparison runs on one of these, ours included, so that calls, successes and the
time to find them are counted in the same way for all.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from torch import Tensor

from benchmarks.rivals.space import MISSING
from smoacs.chemistry import ELEMENTS, OxidationTable, neutral_assignment, oxidation_table
from smoacs.crystals import Crystals, NeighborList, neighbor_list
from smoacs.evaluation import energy_gradients, is_at_rest, residuals
from smoacs.predictors import ENERGY, CombinedPredictor, Predictor
from smoacs.targets import Target

CLOSEST = 0.5
"""Å; crystals with closer atoms do not succeed (the judge's rule)."""


class BudgetSpentError(Exception):
    """A call would exceed the budget of predictor calls or of time."""


@dataclass(frozen=True)
class Seen:
    """The best crystal of one composition.

    Attributes:
        success: Whether it meets all targets, is neutral and has no atoms on one spot.
        loss: Sum of the losses of the targets.
        cell: Lattice vectors as rows, Å, [3, 3].
        frac_coords: [n, 3].
        elements: Index (Z - 1), [n].
    """

    success: bool
    loss: float
    cell: NDArray[np.float32]
    frac_coords: NDArray[np.float32]
    elements: NDArray[np.int64]

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Less is better; the volume decides between equals, so that no thread's haste does."""
        return not self.success, self.loss, abs(float(np.linalg.det(self.cell)))

    def structure(self) -> Structure:
        """The crystal without oxidation states."""
        return Structure(Lattice(self.cell), [ELEMENTS[k] for k in self.elements], self.frac_coords)


@dataclass(frozen=True)
class Find:
    """When a composition first succeeded: after how many calls, and how many seconds."""

    calls: int
    seconds: float


class CountingPredictor(CombinedPredictor):
    """Counts calls; of the real (one-hot) crystals among them it keeps the best of each formula.

    Where crystals are to be at rest, it also keeps the first of each formula that succeeds and is.
    Whether it is takes derivatives of the energy that a search at rest has anyway, so they are not
    counted again.
    """

    def __init__(
        self,
        predictor: Predictor,
        targets: Sequence[Target],
        *,
        success: Sequence[Target] | None = None,
        budget: int | None = None,
        seconds: float | None = None,
        table: OxidationTable | None = None,
        at_rest: bool = False,
    ) -> None:
        """Wrap a predictor.

        Args:
            predictor: What is asked.
            targets: What the search asks for; their losses rank crystals.
            success: What counts as a success; None for the targets.
            budget: Most calls; None for no limit.
            seconds: Most time; None for no limit.
            table: Oxidation numbers by element; None is the common table.
            at_rest: Whether to tell which successes are at rest.
        """
        super().__init__(
            predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
        )
        self.targets = tuple(targets)
        self.success = self.targets if success is None else tuple(success)
        self.budget = budget
        self.limit_s = seconds
        self.calls = 0
        self.finds: list[Find] = []
        self.successes = 0
        self.finds_at_rest: list[Find] = []
        energies = [part for part in self.parts if ENERGY in part.properties]
        self._energy = CombinedPredictor(energies) if at_rest and energies else None
        self._table = oxidation_table() if table is None else table
        self._best: dict[bytes, Seen] = {}
        self._resting: dict[bytes, Seen] = {}
        self._neutral: dict[bytes, bool] = {}
        self._lock = threading.Lock()
        self._begin = time.perf_counter()

    @property
    def left(self) -> int:
        """Calls that the budget still allows."""
        return 2**62 if self.budget is None else self.budget - self.calls

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._begin

    @property
    def out_of_time(self) -> bool:
        """Whether the limit of time is reached."""
        return self.limit_s is not None and self.seconds > self.limit_s

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return all properties, each [B]; every crystal is one call.

        Raises:
            BudgetSpentError: There are more crystals than calls left, or the time is over.
        """
        with self._lock:
            if crystals.n_systems > self.left or self.out_of_time:
                raise BudgetSpentError
            self.calls += crystals.n_systems
        out = super().__call__(crystals, neighbors)
        losses = self.losses(out)
        with torch.no_grad(), self._lock:
            successes = self._remember(crystals, neighbors, out, losses)
        if self._energy is not None:
            self._remember_at_rest(crystals, successes)
        return out

    def losses(self, out: dict[str, Tensor]) -> NDArray[np.float64]:
        """Sum of the targets' losses of each crystal, [B]; finite."""
        each = [target.loss(out[target.property].detach()) for target in self.targets]
        total = torch.stack(each).double().nan_to_num(nan=MISSING, posinf=MISSING).sum(0)
        losses: NDArray[np.float64] = total.cpu().numpy()
        return losses

    def best(self, n: int, *, at_rest: bool = False) -> list[Structure]:
        """The best n crystals of different formulas that were shown: successes first.

        Args:
            n: How many at most.
            at_rest: Whether successes at rest come before all others.
        """
        first = self._resting if at_rest else {}
        rest = {key: seen for key, seen in self._best.items() if key not in first}
        ranked = [
            seen
            for group in (first, rest)
            for _, seen in sorted(group.items(), key=lambda item: (*item[1].rank[:2], item[0]))
        ]
        return [seen.structure() for seen in ranked[:n]]

    def _remember(
        self,
        crystals: Crystals,
        neighbors: NeighborList,
        out: dict[str, Tensor],
        losses: NDArray[np.float64],
    ) -> dict[int, tuple[bytes, Seen]]:
        """Keep what is best; return the successes by their place in the batch."""
        found: dict[int, tuple[bytes, Seen]] = {}
        top, kind = crystals.species_probs.detach().max(1)
        soft = torch.zeros(crystals.n_systems, dtype=torch.bool, device=top.device)
        soft[crystals.system_idx[top < 1]] = True
        real = ~soft & crystals.finite
        met = torch.stack([t.met(out[t.property].detach()) for t in self.success]).all(0)
        met &= _shortest(crystals, neighbors) >= CLOSEST
        ends = torch.cumsum(crystals.counts, 0).tolist()
        elements = kind.cpu().numpy()
        cell = crystals.cell.detach().float().cpu().numpy().copy()
        frac = crystals.frac_coords.detach().float().cpu().numpy()
        for b in torch.nonzero(real).flatten().tolist():
            atoms = slice(0 if b == 0 else ends[b - 1], ends[b])
            key = _formula(elements[atoms])
            success = bool(met[b]) and self._is_neutral(key)
            self.successes += success
            new = Seen(
                success, float(losses[b]), cell[b], frac[atoms].copy(), elements[atoms].copy()
            )
            self._keep(key, new)
            if success:
                found[b] = key, new
        return found

    def _remember_at_rest(
        self, crystals: Crystals, successes: dict[int, tuple[bytes, Seen]]
    ) -> None:
        """Keep, of each formula, the first success that is at rest."""
        rows = [b for b, (key, _) in successes.items() if key not in self._resting]
        if not rows or self._energy is None:
            return
        chosen = crystals.select(torch.tensor(rows, device=crystals.cell.device))
        part = chosen.replace(
            frac_coords=chosen.frac_coords.detach().requires_grad_(),
            cell=chosen.cell.detach().requires_grad_(),
            species_probs=chosen.species_probs.detach(),
        )
        with torch.enable_grad():
            energy = self._energy(part, neighbor_list(part, self._energy.cutoff))[ENERGY]
            rests = is_at_rest(*residuals(*energy_gradients(energy, part), part)).tolist()
        with self._lock:
            for b, resting in zip(rows, rests, strict=True):
                key, seen = successes[b]
                if resting and key not in self._resting:
                    self._resting[key] = seen
                    self.finds_at_rest.append(Find(self.calls, self.seconds))

    def _keep(self, key: bytes, new: Seen) -> None:
        before = self._best.get(key)
        if new.success and (before is None or not before.success):
            self.finds.append(Find(self.calls, self.seconds))
        if before is None or new.rank < before.rank:
            self._best[key] = new

    def _is_neutral(self, key: bytes) -> bool:
        if key not in self._neutral:
            numbers, counts = np.frombuffer(key, dtype=np.int64).reshape(2, -1)
            formula = {ELEMENTS[e]: int(n) for e, n in zip(numbers, counts, strict=True)}
            self._neutral[key] = neutral_assignment(formula, self._table) is not None
        return self._neutral[key]


def _formula(elements: NDArray[np.int64]) -> bytes:
    """The reduced formula: elements in ascending order, then their numbers of atoms."""
    numbers, counts = np.unique(elements, return_counts=True)
    return np.stack([numbers, counts // np.gcd.reduce(counts)]).astype(np.int64).tobytes()


def _shortest(crystals: Crystals, neighbors: NeighborList) -> Tensor:
    """Shortest distance of two atoms of each crystal, Å, [B]; infinite without neighbours."""
    shortest = crystals.cell.new_full((crystals.n_systems,), torch.inf).detach()
    i = neighbors.edge_index[0]
    if len(i):
        distances = neighbors.vectors(crystals).detach().norm(dim=1).to(shortest)
        shortest.scatter_reduce_(0, crystals.system_idx[i], distances, "amin")
    return shortest
