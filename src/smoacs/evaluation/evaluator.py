"""One way to ask a predictor about many crystals: in chunks, on all cores, within the memory."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.errors import ResourceError, is_out_of_memory
from smoacs.evaluation.derivatives import (
    NEGLIGIBLE_FORCE,
    energy_gradients,
    force_sizes,
    residuals,
)
from smoacs.evaluation.threads import Workers, atoms_per_chunk
from smoacs.predictors import ENERGY, Predictor, for_properties

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What a predictor says of B crystals.

    Attributes:
        values: Raw properties, each [B].
        finite: Whether crystal and properties, and gradients if any, are finite, [B].
    """

    values: dict[str, Tensor]
    finite: Bool[Tensor, " systems"]


@dataclass(frozen=True)
class EnergySlopes(Prediction):
    """A prediction with the gradients of the cells' energies.

    Attributes:
        frac_grad: Of the energy (eV) by frac_coords, [N, 3]; 0 for atoms that are fixed.
        cell_grad: Of the energy by cell at fixed frac_coords, eV/Å, [B, 3, 3].
        pressure: GPa, [B].
        max_force: eV/Å, [B].
    """

    frac_grad: Float[Tensor, "atoms 3"]
    cell_grad: Float[Tensor, "systems 3 3"]
    pressure: Float[Tensor, " systems"]
    max_force: Float[Tensor, " systems"]


@dataclass(frozen=True)
class LossSlopes(Prediction):
    """A prediction with the gradients of a loss.

    Attributes:
        loss: Infinite for a crystal that is not finite, [B].
        species_grad: By species_probs, [N, E]; 0 if it was not asked for.
        frac_grad: By frac_coords, [N, 3]; of the energy (eV) where that moves the geometry.
        cell_grad: By cell, [B, 3, 3]; of the energy likewise.
        radii_grad: By ionic_radii, [N]; None without radii.
        pressure: GPa, [B]; None unless the energy moves the geometry.
        max_force: eV/Å, [B]; likewise.
    """

    loss: Float[Tensor, " systems"]
    species_grad: Float[Tensor, "atoms 98"]
    frac_grad: Float[Tensor, "atoms 3"]
    cell_grad: Float[Tensor, "systems 3 3"]
    radii_grad: Float[Tensor, " atoms"] | None = None
    pressure: Float[Tensor, " systems"] | None = None
    max_force: Float[Tensor, " systems"] | None = None


@dataclass(frozen=True)
class ChemistrySlopes:
    """How properties of B crystals change with their chemistry.

    Attributes:
        species: Gradient of each property by species_probs, [N, E].
        radii: By ionic_radii, [N]; of none without radii.
    """

    species: dict[str, Tensor] = field(default_factory=dict)
    radii: dict[str, Tensor] = field(default_factory=dict)


Loss = Callable[[dict[str, Tensor], Tensor], Tensor]
"""Loss of crystals, [b], given their raw properties and their numbers in the batch, [b]."""

_Part = TypeVar("_Part")


class Evaluator(Workers):
    """Evaluates crystals in chunks on all cores, counts calls, and goes on with less memory.

    A context manager. Results do not depend on the chunks.

    Attributes:
        predictor: Gives what is wanted, and no more if it can leave the rest out.
        properties: Those that are kept.
        predictor_calls: Crystals evaluated so far.
        seconds: Spent so far, by what for.
    """

    NOT_STATE: ClassVar = frozenset(
        {"predictor", "properties", "fixed", "batch_size", "energy", "_pool", "_one_thread"}
    )

    def __init__(
        self,
        predictor: Predictor,
        properties: Sequence[str],
        *,
        batch_size: int | None = None,
        fixed: Tensor | None = None,
        energy: str = ENERGY,
        threads: int | None = None,
    ) -> None:
        """Take what evaluates the crystals.

        Args:
            predictor: Gives the properties, and the energy if its slopes are asked for.
            properties: Those to keep.
            batch_size: How many crystals a chunk may hold at most.
            fixed: Sites of every crystal that must not move, [n]: no force acts on them.
            energy: Name of the property that is the energy, eV/atom.
            threads: Chunks that are evaluated side by side; as many as cores if None.
        """
        super().__init__(threads)
        self.predictor = for_properties(predictor, {*properties, energy})
        self.energy = energy
        self.properties = tuple(properties)
        self.fixed = fixed
        self.batch_size = batch_size
        self.predictor_calls = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._memory_limit: int | None = None

    def values(self, crystals: Crystals) -> Prediction:
        """Evaluate crystals, each one call.

        Raises:
            ResourceError: The memory does not even hold one crystal at a time; as all below.
        """
        return joined(self._in_chunks(crystals, self._values))

    def energy_slopes(self, crystals: Crystals) -> EnergySlopes:
        """Evaluate crystals and the gradients of their energies, each one call."""
        return joined(self._in_chunks(crystals, self._energy_slopes))

    def loss_slopes(
        self, crystals: Crystals, loss: Loss, *, at_rest: bool = False, chemistry: bool = True
    ) -> LossSlopes:
        """Evaluate crystals and the gradients of a loss, each one call.

        Args:
            crystals: Their graph, if any, is not touched.
            loss: Of each crystal.
            at_rest: Whether geometry follows the energy, and only chemistry the loss.
            chemistry: Whether the loss is differentiated; if not, only the energy is.
        """
        parts = self._in_chunks(
            crystals,
            lambda part, chunk: self._loss_slopes(
                part, lambda out: loss(out, chunk), at_rest=at_rest, chemistry=chemistry
            ),
        )
        return _without_broken(joined(parts), crystals)

    def chemistry_slopes(self, crystals: Crystals, names: Sequence[str]) -> ChemistrySlopes:
        """Differentiate some properties by the chemistry, each crystal one call."""
        parts = self._in_chunks(crystals, lambda part, _: self._chemistry_slopes(part, names))
        return joined(parts)

    def _in_chunks(
        self, crystals: Crystals, evaluate: Callable[[Crystals, Tensor], _Part]
    ) -> list[_Part]:
        """Call a function on each chunk, whose floats are leaves of a graph, and count the calls.

        Args:
            crystals: All.
            evaluate: Takes a chunk and the numbers of its crystals.
        """
        begin = time.perf_counter()
        parts = None
        while parts is None:
            parts = self._try_chunks(crystals.detached(), evaluate)
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
            return self.map(lambda task: evaluate(*task), zip(parts, chunks, strict=True))
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

    def _predict(self, part: Crystals) -> dict[str, Tensor]:
        return self.predictor(part, neighbor_list(part, self.predictor.cutoff))

    def _kept(self, out: dict[str, Tensor], part: Crystals) -> tuple[dict[str, Tensor], Tensor]:
        """Values to keep, and whether they and the crystals are finite, [b]."""
        values = {name: out[name].detach() for name in self.properties}
        finite = part.finite
        for value in values.values():
            finite = finite & value.isfinite()
        return values, finite

    def _values(self, part: Crystals, _: Tensor) -> Prediction:
        with torch.no_grad():
            return Prediction(*self._kept(self._predict(part), part))

    def _energy_slopes(self, part: Crystals, _: Tensor) -> EnergySlopes:
        part.frac_coords.requires_grad_()
        part.cell.requires_grad_()
        out = self._predict(part)
        frac_grad, cell_grad = energy_gradients(out[self.energy], part)
        frac_grad = self._without_fixed(frac_grad)
        pressure, force = residuals(frac_grad, cell_grad, part)
        values, finite = self._kept(out, part)
        finite = finite & pressure.isfinite() & force.isfinite()
        return EnergySlopes(values, finite, frac_grad, cell_grad, pressure, force)

    def _loss_slopes(
        self,
        part: Crystals,
        loss: Callable[[dict[str, Tensor]], Tensor],
        *,
        at_rest: bool,
        chemistry: bool,
    ) -> LossSlopes:
        leaves = part.floats
        for leaf in leaves:
            leaf.requires_grad_()
        out = self._predict(part)
        losses = loss(out)
        grads = tuple(torch.zeros_like(leaf) for leaf in leaves)
        if chemistry:
            grads = _gradients(losses.sum(), leaves, retain_graph=at_rest)
        pressure = force = None
        if at_rest:
            frac_grad, cell_grad = energy_gradients(out[self.energy], part)
            frac_grad = self._without_fixed(frac_grad)
            pressure, force = residuals(frac_grad, cell_grad, part)
            # Atoms on symmetric sites feel rounding errors only; these must not seed distortions.
            felt = force_sizes(frac_grad, part) > NEGLIGIBLE_FORCE
            grads = (grads[0], frac_grad * felt[:, None], cell_grad, *grads[3:])
        return LossSlopes(
            values={name: out[name].detach() for name in self.properties},
            finite=losses.detach().abs() < math.inf,
            loss=losses.detach(),
            species_grad=grads[0],
            frac_grad=grads[1],
            cell_grad=grads[2],
            radii_grad=None if part.ionic_radii is None else grads[3],
            pressure=pressure,
            max_force=force,
        )

    def _chemistry_slopes(self, part: Crystals, names: Sequence[str]) -> ChemistrySlopes:
        leaves = [part.species_probs]
        if part.ionic_radii is not None:
            leaves.append(part.ionic_radii)
        for leaf in part.floats:  # a property of the geometry alone has a graph, too
            leaf.requires_grad_()
        out = self._predict(part)
        found = ChemistrySlopes()
        for name in names:
            grads = _gradients(out[name].sum(), leaves, retain_graph=True)
            clean = [grad.nan_to_num(0.0, 0.0, 0.0) for grad in grads]
            found.species[name] = clean[0]
            if len(clean) > 1:
                found.radii[name] = clean[1]
        return found

    def _without_fixed(self, frac_grad: Tensor) -> Tensor:
        """The gradient of the energy by frac_coords, [b·n, 3], without its part on fixed sites."""
        if self.fixed is None:
            return frac_grad
        sites = self.fixed.to(frac_grad.device).repeat(len(frac_grad) // len(self.fixed))
        return frac_grad.masked_fill(sites[:, None], 0.0)


def joined(parts: Sequence[_Part]) -> _Part:
    """One record of those of several chunks: tensors, and dictionaries of them, one after another.

    Args:
        parts: At least one, all of one dataclass; what is None in the first is so in all.
    """
    first: Any = parts[0]
    if len(parts) == 1:
        return parts[0]
    values: dict[str, Any] = {}
    for item in fields(first):
        given: list[Any] = [getattr(part, item.name) for part in parts]
        if isinstance(given[0], dict):
            values[item.name] = {
                name: torch.cat([part[name] for part in given]) for name in given[0]
            }
        else:
            values[item.name] = None if given[0] is None else torch.cat(given)
    record: _Part = replace(first, **values)
    return record


def _gradients(of: Tensor, leaves: Sequence[Tensor], *, retain_graph: bool) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        of, leaves, retain_graph=retain_graph, allow_unused=True, materialize_grads=True
    )


def _without_broken(slopes: LossSlopes, crystals: Crystals) -> LossSlopes:
    """Flag crystals that are not finite themselves, or whose loss or gradients are not.

    Their loss becomes infinite and their gradients 0. One that is not finite has no neighbours, so
    its values alone may look sound.
    """
    radii = slopes.radii_grad
    if _is_sound(slopes, crystals):
        return slopes
    of_sites = slopes.species_grad.sum(1) + slopes.frac_grad.sum(1)
    if radii is not None:
        of_sites = of_sites + radii
    finite = crystals.finite & slopes.finite & slopes.cell_grad.sum((1, 2)).isfinite()
    finite[crystals.system_idx[~of_sites.isfinite()]] = False
    site_ok = finite[crystals.system_idx]
    return replace(
        slopes,
        loss=slopes.loss.where(finite, torch.inf),
        finite=finite,
        species_grad=slopes.species_grad.where(site_ok[:, None], 0.0),
        frac_grad=slopes.frac_grad.where(site_ok[:, None], 0.0),
        cell_grad=slopes.cell_grad.where(finite[:, None, None], 0.0),
        radii_grad=None if radii is None else radii.where(site_ok, 0.0),
    )


def _is_sound(slopes: LossSlopes, crystals: Crystals) -> bool:
    """Whether all numbers are finite: one that is not makes every sum it is in not finite."""
    floats = [*crystals.floats, slopes.loss, slopes.species_grad, slopes.frac_grad]
    floats += (
        [slopes.cell_grad] if slopes.radii_grad is None else [slopes.cell_grad, slopes.radii_grad]
    )
    total = torch.stack([tensor.detach().sum() for tensor in floats]).sum()
    return bool(total.isfinite())
