"""Properties, losses and gradients of a batch of candidates, in chunks, on all cores."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.errors import ResourceError, is_out_of_memory
from smoacs.evaluation import (
    NEGLIGIBLE_FORCE,
    energy_gradients,
    force_sizes,
    residuals,
    without_held,
)
from smoacs.evaluation.threads import Workers, atoms_per_chunk
from smoacs.predictors import ENERGY, Predictor, for_properties
from smoacs.targets import Target
from smoacs.targets.caution import cautious, margins_of, wanted_properties
from smoacs.targets.scalarisation import Front

log = logging.getLogger(__name__)

TargetLoss = Callable[[Target, Tensor], Tensor]
"""Loss of one target for raw values of its property, [b] -> [b]."""

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Evaluation:
    """What the predictor says of B crystals, and the gradient of each one's loss.

    Attributes:
        values: Raw values of the targets' properties, each [B].
        margins: How far each value may be off, [B]; of the properties with a spread, and only in
            conservative designs.
        loss: Sum of the targets' losses; infinite for a crystal that is not finite, [B].
        finite: Whether loss and gradients are finite, [B].
        species_grad: With respect to species_probs, [N, E]; 0 if it was not asked for.
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
    margins: dict[str, Tensor] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Slopes:
    """How the targets' properties of B crystals change with their chemistry, N atoms in all.

    Attributes:
        species: Gradient of each property with respect to species_probs, [N, E].
        radii: With respect to ionic_radii, [N]; of none without radii.
    """

    species: dict[str, Tensor]
    radii: dict[str, Tensor]


class Objective(Workers):
    """Evaluates candidates against the targets, in chunks on all cores; a context manager."""

    def __init__(
        self,
        predictor: Predictor,
        targets: Sequence[Target],
        *,
        batch_size: int | None = None,
        at_rest: bool = False,
        conservative: float = 0.0,
        front: Front | None = None,
        held: Tensor | None = None,
    ) -> None:
        """Take what evaluates the crystals.

        Args:
            predictor: Gives the targets' properties, and the formation energy for designs at rest.
            targets: What is wanted.
            batch_size: How many crystals a chunk may hold at most.
            at_rest: Whether geometry follows the energy, and only chemistry the targets; else both
                follow the targets.
            conservative: Standard deviations by which values may be off, to the worse side.
            front: Scalarises the targets to maximise or minimise, for each candidate its own way;
                None adds their losses like any other.
            held: Sites of every crystal that must not move, [n]; at rest, no force acts on them.
        """
        super().__init__()
        self.held = held
        self.conservative = conservative
        self.front = front
        self.at_rest = at_rest
        self.targets = tuple(targets)
        self.predictor = for_properties(
            predictor, {*wanted_properties(targets, predictor, conservative), ENERGY}
        )
        self.batch_size = batch_size
        self.predictor_calls = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._memory_limit: int | None = None

    def __call__(
        self,
        crystals: Crystals,
        loss: TargetLoss,
        candidates: Tensor | None = None,
        *,
        chemistry: bool = True,
    ) -> Evaluation:
        """Evaluate all crystals; each counts as one predictor call.

        Args:
            crystals: The candidates; their graph, if any, is not touched.
            loss: The loss of each target.
            candidates: Number of each crystal among all candidates, [b]; None if these are all.
            chemistry: Whether the loss is differentiated; if not, only the energy is, which must be
                asked for (`at_rest`).

        Raises:
            ResourceError: The memory does not even hold one crystal at a time.
        """
        parts = self._in_chunks(
            crystals,
            lambda part, chunk: self._evaluate_chunk(
                part, loss, chunk if candidates is None else candidates[chunk], chemistry=chemistry
            ),
        )
        evaluation = _without_broken(_join(parts), crystals)
        if self.front is not None:
            self.front.observe(self.targets, evaluation.values)
        return evaluation

    def slopes(self, crystals: Crystals) -> Slopes:
        """Differentiate each target's property by the chemistry; one predictor call a crystal.

        Raises:
            ResourceError: As above.
        """
        parts = self._in_chunks(crystals, lambda part, _: self._slopes_of_chunk(part))
        return Slopes(
            *(
                {name: torch.cat([found[name] for found in of_parts]) for name in of_parts[0]}
                for of_parts in ([p.species for p in parts], [p.radii for p in parts])
            )
        )

    def _in_chunks(
        self, crystals: Crystals, evaluate: Callable[[Crystals, Tensor], _Part]
    ) -> list[_Part]:
        """Call a function on each chunk of crystals, leaves of a graph, and count the calls."""
        begin = time.perf_counter()
        parts = None
        while parts is None:
            parts = self._try_chunks(_detach(crystals), evaluate)
        self.predictor_calls += crystals.n_systems
        self.seconds["predictor"] += time.perf_counter() - begin
        return parts

    def _try_chunks(
        self, crystals: Crystals, evaluate: Callable[[Crystals, Tensor], _Part]
    ) -> list[_Part] | None:
        """Evaluate chunk by chunk; None if memory ran out, and the next try has smaller chunks."""
        chunks = chunk_systems(crystals.counts, self._atoms_per_chunk(crystals))
        try:
            parts = crystals.split([len(chunk) for chunk in chunks])
            tasks = zip(parts, chunks, strict=True)
            return self.map(lambda task: evaluate(_leaves(task[0]), task[1]), tasks)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            largest = max(len(chunk) for chunk in chunks)
            limit = largest if self._memory_limit is None else min(largest, self._memory_limit)
            if limit == 1:
                raise ResourceError(
                    "out of memory, even with one candidate at a time; use a smaller cell "
                    "(--repeat) or a machine with more memory"
                ) from error
        if self._memory_limit is None:
            log.warning("out of memory: going on with fewer candidates at a time")
        self._memory_limit = limit // 2
        if crystals.cell.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _atoms_per_chunk(self, crystals: Crystals) -> int:
        limit = atoms_per_chunk(crystals.counts)
        for systems in (self.batch_size, self._memory_limit):
            if systems is not None:
                limit = min(limit, systems * int(crystals.counts.max()))
        return limit

    def total(self, losses: Sequence[Tensor], candidates: Tensor) -> Tensor:
        """One loss, [b], of those of all targets; conflicting ones in each candidate's own way."""
        if self.front is None:
            return torch.stack(list(losses)).sum(0)
        pairs = list(zip(self.targets, losses, strict=True))
        conflict = self.front.loss(torch.stack([x for t, x in pairs if t.direction], 1), candidates)
        return torch.stack([conflict, *(x for t, x in pairs if not t.direction)]).sum(0)

    def _slopes_of_chunk(self, part: Crystals) -> Slopes:
        leaves = [part.species_probs]
        if part.ionic_radii is not None:
            leaves.append(part.ionic_radii)
        out = self.predictor(part, neighbor_list(part, self.predictor.cutoff))
        found = Slopes({}, {})
        for target in self.targets:
            grads = torch.autograd.grad(
                out[target.property].sum(),
                leaves,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            clean = [grad.nan_to_num(0.0, 0.0, 0.0) for grad in grads]
            found.species[target.property] = clean[0]
            if len(clean) > 1:
                found.radii[target.property] = clean[1]
        return found

    def _evaluate_chunk(
        self, part: Crystals, loss: TargetLoss, candidates: Tensor, *, chemistry: bool
    ) -> Evaluation:
        leaves = _leaf_tensors(part)
        out = self.predictor(part, neighbor_list(part, self.predictor.cutoff))
        values = {t.property: out[t.property] for t in self.targets}
        margins = margins_of(out, self.targets, self.conservative)
        wanted = [cautious(t, margins) for t in self.targets]
        losses = self.total([loss(t, values[t.property]) for t in wanted], candidates)
        if chemistry:
            grads = torch.autograd.grad(
                losses.sum(),
                leaves,
                retain_graph=self.at_rest,
                allow_unused=True,
                materialize_grads=True,
            )
        else:
            grads = tuple(torch.zeros_like(leaf) for leaf in leaves)
        pressure = force = None
        if self.at_rest:
            frac_grad, cell_grad = energy_gradients(out[ENERGY], part)
            frac_grad = without_held(frac_grad, self.held)
            pressure, force = residuals(frac_grad, cell_grad, part)
            # Atoms on symmetric sites feel rounding errors only; these must not seed distortions.
            felt = force_sizes(frac_grad, part) > NEGLIGIBLE_FORCE
            grads = (grads[0], frac_grad * felt[:, None], cell_grad, *grads[3:])
        return Evaluation(
            values={name: value.detach() for name, value in values.items()},
            loss=losses.detach(),
            finite=losses.detach().abs() < math.inf,
            species_grad=grads[0],
            frac_grad=grads[1],
            cell_grad=grads[2],
            radii_grad=None if part.ionic_radii is None else grads[3],
            pressure=pressure,
            max_force=force,
            margins={name: margin.detach() for name, margin in margins.items()},
        )


def _leaf_tensors(part: Crystals) -> list[Tensor]:
    leaves = [part.species_probs, part.frac_coords, part.cell]
    return leaves if part.ionic_radii is None else [*leaves, part.ionic_radii]


def _leaves(part: Crystals) -> Crystals:
    """The crystals themselves, ready to be differentiated by."""
    for leaf in _leaf_tensors(part):
        leaf.requires_grad_()
    return part


def _detach(crystals: Crystals) -> Crystals:
    return Crystals(
        species_probs=crystals.species_probs.detach(),
        frac_coords=crystals.frac_coords.detach(),
        cell=crystals.cell.detach(),
        system_idx=crystals.system_idx,
        ionic_radii=None if crystals.ionic_radii is None else crystals.ionic_radii.detach(),
        site_roles=crystals.site_roles,
    )


def _without_broken(evaluation: Evaluation, crystals: Crystals) -> Evaluation:
    """Flag crystals that are not finite themselves, or whose loss or gradients are not.

    Their loss becomes infinite and their gradients 0. One that is not finite has no neighbours, so
    its values alone may look sound.
    """
    radii = evaluation.radii_grad
    if _is_sound(evaluation, crystals):
        return evaluation
    of_sites = evaluation.species_grad.sum(1) + evaluation.frac_grad.sum(1)
    if radii is not None:
        of_sites = of_sites + radii
    finite = crystals.finite & evaluation.finite & evaluation.cell_grad.sum((1, 2)).isfinite()
    finite[crystals.system_idx[~of_sites.isfinite()]] = False
    site_ok = finite[crystals.system_idx]
    return replace(
        evaluation,
        loss=evaluation.loss.where(finite, torch.inf),
        finite=finite,
        species_grad=evaluation.species_grad.where(site_ok[:, None], 0.0),
        frac_grad=evaluation.frac_grad.where(site_ok[:, None], 0.0),
        cell_grad=evaluation.cell_grad.where(finite[:, None, None], 0.0),
        radii_grad=None if radii is None else radii.where(site_ok, 0.0),
    )


def _is_sound(evaluation: Evaluation, crystals: Crystals) -> bool:
    """Whether all numbers are finite: one that is not makes every sum it is in not finite."""
    floats = [
        *_leaf_tensors(crystals),
        *(evaluation.loss, evaluation.species_grad, evaluation.frac_grad, evaluation.cell_grad),
    ]
    if evaluation.radii_grad is not None:
        floats.append(evaluation.radii_grad)
    with torch.no_grad():
        return math.isfinite(float(torch.stack([x.sum() for x in floats]).sum()))


def _join(parts: Sequence[Evaluation]) -> Evaluation:
    if len(parts) == 1:
        return parts[0]
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
        margins={n: torch.cat([p.margins[n] for p in parts]) for n in parts[0].margins},
    )


def _join_optional(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None
