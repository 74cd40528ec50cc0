"""Properties, losses and gradients of a batch of candidates, in chunks, on all cores."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors import (
    ENERGY,
    MAX_FORCE,
    Predictor,
    chunk_systems,
    energy_gradients,
    force_sizes,
    residuals,
)
from smoacs.predictors.threads import single_thread
from smoacs.search.axes import AxisSymmetry
from smoacs.targets import Target

ATOMS_PER_CHUNK = 160
"""Atoms evaluated together on a CPU: small enough for the caches, large enough to hide Python."""

ATOMS_PER_CHUNK_GPU = 20_000

NEGLIGIBLE_FORCE = 0.1 * MAX_FORCE

TargetLoss = Callable[[Target, Tensor], Tensor]
"""Loss of one target for raw values of its property, [b] -> [b]."""


@dataclass(frozen=True)
class Evaluation:
    """What the predictor says of B crystals, and the gradient of each one's loss.

    Attributes:
        values: Raw values of the targets' properties, each [B].
        loss: Sum of the targets' losses; infinite for a crystal that is not finite, [B].
        finite: Whether loss and gradients are finite, [B].
        species_grad: With respect to species_probs, [N, E].
        frac_grad: With respect to frac_coords, [N, 3]; of the energy (eV) if designs are to be
            at rest.
        cell_grad: With respect to cell, [B, 3, 3]; of the energy likewise.
        radii_grad: With respect to ionic_radii, [N]; None without radii.
        pressure: GPa, [B]; None unless designs are to be at rest.
        max_force: eV/Å, [B]; likewise.
    """

    values: dict[str, Tensor]
    loss: Tensor
    finite: Tensor
    species_grad: Tensor
    frac_grad: Tensor
    cell_grad: Tensor
    radii_grad: Tensor | None
    pressure: Tensor | None = None
    max_force: Tensor | None = None

    def backward(self, crystals: Crystals) -> None:
        """Send the gradients on into the variables that `crystals` was computed from."""
        pairs = [
            (crystals.species_probs, self.species_grad),
            (crystals.frac_coords, self.frac_grad),
            (crystals.cell, self.cell_grad),
        ]
        if crystals.ionic_radii is not None and self.radii_grad is not None:
            pairs.append((crystals.ionic_radii, self.radii_grad))
        live = [(tensor, grad) for tensor, grad in pairs if tensor.requires_grad]
        torch.autograd.backward([t for t, _ in live], [g for _, g in live])


class Objective:
    """Evaluates candidates against the targets; a context manager that owns worker threads.

    Chunks of crystals run in parallel threads with one core each: these networks are too small for
    the threads inside torch to pay off.
    """

    def __init__(
        self,
        predictor: Predictor,
        targets: Sequence[Target],
        *,
        batch_size: int | None = None,
        symmetry: AxisSymmetry | None = None,
    ) -> None:
        """Take what evaluates the crystals.

        Args:
            predictor: Gives the targets' properties, and the formation energy for designs at rest.
            targets: What is wanted.
            batch_size: How many crystals a chunk may hold at most.
            symmetry: Of the template, for designs at rest: geometry follows the energy, and only
                chemistry the targets. None if both follow the targets.
        """
        self.symmetry = symmetry
        self.at_rest = symmetry is not None
        self.predictor = predictor
        self.targets = tuple(targets)
        self.batch_size = batch_size
        self.predictor_calls = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._pool = ThreadPoolExecutor(
            self._threads, initializer=torch.set_num_threads, initargs=(1,)
        )

    def __enter__(self) -> Self:
        """Keep torch to one thread per worker while the objective is open."""
        self._one_thread = single_thread()
        self._one_thread.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers and give torch its threads back."""
        self._pool.shutdown(cancel_futures=True)
        self._one_thread.__exit__(kind, error, trace)

    def __call__(self, crystals: Crystals, loss: TargetLoss) -> Evaluation:
        """Evaluate all crystals; each counts as one predictor call.

        Args:
            crystals: The candidates; their graph, if any, is not touched.
            loss: The loss of each target.
        """
        begin = time.perf_counter()
        chunks = chunk_systems(crystals.counts, self._atoms_per_chunk(crystals))
        detached = _detach(crystals)
        parts = list(self._pool.map(lambda c: self._evaluate_chunk(detached, c, loss), chunks))
        self.predictor_calls += crystals.n_systems
        self.seconds["predictor"] += time.perf_counter() - begin
        return _join(parts)

    def _atoms_per_chunk(self, crystals: Crystals) -> int:
        limit = ATOMS_PER_CHUNK if crystals.cell.device.type == "cpu" else ATOMS_PER_CHUNK_GPU
        if self.batch_size is None:
            return limit
        return min(limit, self.batch_size * int(crystals.counts.max()))

    def _evaluate_chunk(self, crystals: Crystals, systems: Tensor, loss: TargetLoss) -> Evaluation:
        part = crystals.select(systems)
        leaves = [part.species_probs, part.frac_coords, part.cell]
        if part.ionic_radii is not None:
            leaves.append(part.ionic_radii)
        for leaf in leaves:
            leaf.requires_grad_()
        neighbors = neighbor_list(part, self.predictor.cutoff)
        out = self.predictor(part, neighbors)
        values = {t.property: out[t.property] for t in self.targets}
        losses = torch.stack([loss(t, values[t.property]) for t in self.targets]).sum(0)
        grads = torch.autograd.grad(
            losses.sum(),
            leaves,
            retain_graph=self.at_rest,
            allow_unused=True,
            materialize_grads=True,
        )
        pressure = force = None
        if self.at_rest:
            frac_grad, cell_grad = energy_gradients(out[ENERGY], part)
            pressure, force = residuals(frac_grad, cell_grad, part)
            # Atoms on symmetric sites feel rounding errors only; these must not seed distortions.
            felt = force_sizes(frac_grad, part) > NEGLIGIBLE_FORCE
            grads = (grads[0], frac_grad * felt[:, None], cell_grad, *grads[3:])
        finite = _finite_systems(losses, grads, part)
        site_ok = finite[part.system_idx]
        species, frac, cell = grads[0], grads[1], grads[2]
        return Evaluation(
            values={name: value.detach() for name, value in values.items()},
            loss=torch.where(finite, losses.detach(), torch.inf),
            finite=finite,
            species_grad=species.where(site_ok[:, None], 0.0),
            frac_grad=frac.where(site_ok[:, None], 0.0),
            cell_grad=cell.where(finite[:, None, None], 0.0),
            radii_grad=None if part.ionic_radii is None else grads[3].where(site_ok, 0.0),
            pressure=pressure,
            max_force=force,
        )


def _detach(crystals: Crystals) -> Crystals:
    return Crystals(
        species_probs=crystals.species_probs.detach(),
        frac_coords=crystals.frac_coords.detach(),
        cell=crystals.cell.detach(),
        system_idx=crystals.system_idx,
        ionic_radii=None if crystals.ionic_radii is None else crystals.ionic_radii.detach(),
        site_roles=crystals.site_roles,
    )


def _finite_systems(losses: Tensor, grads: Sequence[Tensor], part: Crystals) -> Tensor:
    """Crystals that are finite themselves, and so are their loss and gradients, [b].

    One that is not has no neighbours, so its values alone may look sound.
    """
    finite = part.finite & losses.isfinite() & grads[2].isfinite().all(2).all(1)
    for grad in (grads[0].sum(1), grads[1].sum(1), *grads[3:]):
        bad = torch.zeros_like(losses).index_add(
            0, part.system_idx, (~grad.isfinite()).to(losses.dtype)
        )
        finite = finite & (bad == 0)
    return finite


def _join(parts: Sequence[Evaluation]) -> Evaluation:
    return Evaluation(
        values={n: torch.cat([p.values[n] for p in parts]) for n in parts[0].values},
        loss=torch.cat([p.loss for p in parts]),
        finite=torch.cat([p.finite for p in parts]),
        species_grad=torch.cat([p.species_grad for p in parts]),
        frac_grad=torch.cat([p.frac_grad for p in parts]),
        cell_grad=torch.cat([p.cell_grad for p in parts]),
        radii_grad=_join_optional([p.radii_grad for p in parts]),
        pressure=_join_optional([p.pressure for p in parts]),
        max_force=_join_optional([p.max_force for p in parts]),
    )


def _join_optional(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None
