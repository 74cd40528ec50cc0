"""Time and memory of one step of the search, in parts, as ratios to the bare predictor call."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from smoacs.crystals import (
    Candidates,
    Crystals,
    DesignSpace,
    NeighborList,
    chunk_systems,
    neighbor_list,
)
from smoacs.evaluation import Evaluator, Workers, atoms_per_chunk, cores
from smoacs.predictors import Predictor, for_properties, load_predictor
from smoacs.request import DesignConfig
from smoacs.search.gradient.anneal import anneal
from smoacs.search.gradient.objective import Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import DEFAULT
from smoacs.targets import Targets

TARGETS = ("band_gap = 2.5 ± 0.2", "formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")

LENGTH = 4.0
"""Å per perovskite cell: all sizes have the same density."""

STILL = replace(DEFAULT.anneal, learning_rate_lattice=0.0, learning_rate_coords=0.0)
"""As a search, but the geometry stays, so that all steps of all sizes have the same density."""

STEPS = 10
ATOMS_OF_STEPS = 2000
"""At most so many steps at a time, and about so many atoms in all of them: a search, too, makes its
optimiser once for all steps."""

STEPS_TO_SETTLE = 2
"""Not counted at the start of a turn. In the first or second step after a crystal of 5,000 atoms
the C library gives its memory back to the system: up to 16 ms that are not of the next crystal."""


@dataclass(frozen=True)
class Point:
    """A batch to measure.

    Attributes:
        n: Candidates.
        repeat: Perovskite cells along each axis.
    """

    n: int
    repeat: int

    @property
    def atoms(self) -> int:
        """Of one candidate."""
        return 5 * self.repeat**3

    @property
    def steps(self) -> int:
        """Steps to take at a time."""
        return min(STEPS, max(1, ATOMS_OF_STEPS // (self.n * self.atoms)))


def keep_to_one_core() -> None:
    """Leave this process the first of its cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])


Record = dict[str, float | int | str]


class Bench:
    """One batch of candidates, ready to be stepped or only predicted."""

    def __init__(self, point: Point, predictor: Predictor, device: torch.device) -> None:
        """Build the candidates at one density."""
        self.device = device
        self.predictor = predictor
        self.targets = Targets.of(TARGETS)
        config = DesignConfig(targets=TARGETS, n=point.n, repeat=point.repeat, rest="symmetry")
        self.generator = torch.Generator().manual_seed(0)
        space = DesignSpace.from_templates(
            [config.resolved_template(predictor.elements)] * point.n, device
        )
        self.candidates = Candidates.start(
            space, self.generator, score_noise=0.5, combination_noise=0.5
        )
        self.candidates.place(torch.full((point.n, 3), LENGTH * point.repeat))

    def parts(self) -> list[Crystals]:
        """The crystals as the search chunks them, as leaves."""
        crystals = self.candidates.soft(1.0)
        chunks = chunk_systems(crystals.counts, atoms_per_chunk(crystals.counts))
        return [_leaves(part) for part in crystals.split([len(c) for c in chunks])]

    def neighbors(self, workers: Workers, parts: list[Crystals]) -> list[NeighborList]:
        """Neighbour lists of the chunks, by the search's own threads."""
        return workers.map(lambda p: neighbor_list(p, self.predictor.cutoff), parts)

    def bare(self, workers: Workers, parts: list[Crystals], lists: list[NeighborList]) -> None:
        """Predict with ready lists and take the loss's gradient, by the search's own threads."""

        def work(pair: tuple[Crystals, NeighborList]) -> None:
            out = self.predictor(*pair)
            loss = torch.stack([t.loss(out[t.property]).sum() for t in self.targets]).sum()
            leaves = _tensors(pair[0])
            torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

        workers.map(work, zip(parts, lists, strict=True))

    def steps(self, objective: Objective, n: int) -> None:
        """Everything that the search does in so many steps."""
        anneal(
            self.candidates,
            objective,
            STILL,
            copy_mutate=None,
            steps=n,
            generator=self.generator,
            recorder=Recorder(n),
        )


def asked_predictor(device: str) -> Predictor:
    """The built-in predictor as a search asks it: for the targets' properties only."""
    return for_properties(load_predictor(device=device), set(Targets.of(TARGETS).properties))


def measure(point: Point, device: str, rounds: int) -> Record:
    """Measure one batch; bare calls, neighbour lists and steps (`Point.steps`) take turns.

    Returns:
        Medians over the rounds: seconds of a step, of the bare predictor calls, of the neighbour
        lists; `overhead` (step over bare, minus 1), `overhead_of_work` (the same of the processor's
        time, which other programs lengthen less), `neighbor_share` (of the step),
        `microseconds_per_atom` (and `work_per_atom`, of the processor's time), and `memory_MiB`,
        the highest that the measurement added.
    """
    where = torch.device(device)
    predictor = asked_predictor(device)
    before = _memory(where)
    bench = Bench(point, predictor, where)
    seconds: dict[str, list[float]] = {"bare": [], "neighbors": [], "step": []}
    work: dict[str, list[float]] = {"bare": [], "neighbors": [], "step": []}
    with Evaluator(predictor, bench.targets.properties) as evaluator:
        objective = Objective(evaluator, bench.targets)
        for _ in range(rounds + 1):
            parts = bench.parts()
            lists: list[NeighborList] = []
            parts_of_step: dict[str, Callable[[], object]] = {
                "neighbors": lambda: lists.extend(bench.neighbors(evaluator, parts)),  # noqa: B023 - called at once
                "bare": lambda: bench.bare(evaluator, parts, lists),  # noqa: B023
                "step": lambda: bench.steps(objective, point.steps),
            }
            for name, call in parts_of_step.items():
                times = point.steps if name == "step" else 1
                wall, cpu = _timed(call, where)
                seconds[name].append(wall / times)
                work[name].append(cpu / times)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    overhead, overhead_of_work = (
        statistics.median(s / b for s, b in zip(of["step"][1:], of["bare"][1:], strict=True)) - 1
        for of in (seconds, work)
    )
    return {
        "device": device,
        "n": point.n,
        "atoms": point.atoms,
        "cores": cores(),
        **{f"{name}_s": round(value, 5) for name, value in medians.items()},
        "overhead": round(overhead, 4),
        "overhead_of_work": round(overhead_of_work, 4),
        "neighbor_share": round(medians["neighbors"] / medians["step"], 4),
        "microseconds_per_atom": round(1e6 * medians["step"] / (point.n * point.atoms), 2),
        "work_per_atom": round(
            1e6 * statistics.median(work["step"][1:]) / (point.n * point.atoms), 2
        ),
        "steps_per_second": round(1 / medians["step"], 4),
        "memory_MiB": round(_memory(where) - before, 1),
    }


def in_turns(points: Sequence[Point], device: str, rounds: int) -> list[float]:
    """Microseconds by atom and step of batches that take turns, medians over the rounds.

    Measured one after the other, they differ by what else the machine does meanwhile.
    """
    where = torch.device(device)
    predictor = asked_predictor(device)
    benches = [Bench(point, predictor, where) for point in points]
    times: list[list[float]] = [[] for _ in points]
    targets = benches[0].targets
    with Evaluator(predictor, targets.properties) as evaluator:
        objective = Objective(evaluator, targets)
        for _ in range(rounds + 1):
            for point, bench, found in zip(points, benches, times, strict=True):
                bench.steps(objective, STEPS_TO_SETTLE)
                wall, _ = _timed(partial(bench.steps, objective, point.steps), where)
                found.append(1e6 * wall / (point.steps * point.n * point.atoms))
    return [round(statistics.median(found[1:]), 2) for found in times]


def _leaves(part: Crystals) -> Crystals:
    detached = part.replace(
        species_probs=part.species_probs.detach(),
        frac_coords=part.frac_coords.detach(),
        cell=part.cell.detach(),
        ionic_radii=None if part.ionic_radii is None else part.ionic_radii.detach(),
    )
    for tensor in _tensors(detached):
        tensor.requires_grad_()
    return detached


def _tensors(part: Crystals) -> list[Tensor]:
    radii = [] if part.ionic_radii is None else [part.ionic_radii]
    return [part.species_probs, part.frac_coords, part.cell, *radii]


def _timed(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds of one call, the device's queue included, and those of the processor for it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, time.process_time() - cpu


def _memory(device: torch.device) -> float:
    """Highest memory of this process so far, MiB; on a GPU, of its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
