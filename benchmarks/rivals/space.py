"""Where rivals search: the same templates, boxes, elements and charges as the gradient search."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.crystals import Crystals, cell_from_parameters
from smoacs.crystals.candidates import MIN_RELATIVE_VOLUME
from smoacs.crystals.lattice import cosines, relative_volume
from smoacs.evaluation import evaluate
from smoacs.predictors import CombinedPredictor, Predictor
from smoacs.targets import Target
from smoacs.templates import DEFAULT_MAX_Z, Template

LENGTH_RANGE = (0.8, 1.25)
"""Of the template's own lattice lengths, where these do not start at random: without such a range
around a known crystal the rivals would have no chance."""

ANGLE_RANGE = 15.0
"""Degrees around the template's angles, where these are free."""

COORD_RANGE = 0.05
"""Of the cell's edges, around coordinates that have no box."""

MISSING = 5.0
"""Loss of a target whose property a crystal lacks, such as a tolerance factor without charges."""

DROPPED = 20.0
"""Loss, beside how far it is off, of what is dropped before a predictor call is spent on it."""

NO_COMBINATION = -1
"""For crystals whose elements are not bound to charges."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Proposals:
    """B crystals to evaluate, N sites in all.

    Attributes:
        template: Index of each one's template, [B].
        combination: Of oxidation numbers, [B]; -1 for none.
        geometry: Lengths (Å) and angles (degrees), [B, 6].
        displacements: Fractional, from the template's coordinates, a block [n, 3] each.
        elements: Index (Z - 1) on each site, a row [n] each.
    """

    template: Ints
    combination: Ints
    geometry: Floats
    displacements: tuple[Floats, ...]
    elements: tuple[Ints, ...]

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.template)

    def select(self, rows: Sequence[int] | NDArray[np.bool_] | Ints) -> "Proposals":
        """Some of them, in the order of the indices."""
        index = np.arange(len(self))[rows]
        return Proposals(
            self.template[index],
            self.combination[index],
            self.geometry[index],
            tuple(self.displacements[k] for k in index),
            tuple(self.elements[k] for k in index),
        )

    @staticmethod
    def join(parts: Sequence["Proposals"]) -> "Proposals":
        """All crystals of the parts, in order."""
        return Proposals(
            np.concatenate([part.template for part in parts]),
            np.concatenate([part.combination for part in parts]),
            np.concatenate([part.geometry for part in parts]),
            tuple(block for part in parts for block in part.displacements),
            tuple(row for part in parts for row in part.elements),
        )


class Space:
    """The templates of a problem, and what is known of a crystal before a network is asked."""

    def __init__(
        self, templates: Sequence[Template], targets: Sequence[Target], predictor: Predictor
    ) -> None:
        """Take what to search.

        Args:
            templates: Restricted to the elements asked for.
            targets: What is wanted.
            predictor: Gives the targets' properties.
        """
        self.templates = tuple(templates)
        self.targets = tuple(targets)
        self.predictor = predictor
        self.known = np.array([symbol in predictor.elements for symbol in ELEMENTS])
        self.known[DEFAULT_MAX_Z:] = False
        self._ranges = [_ranges(template) for template in self.templates]
        parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
        cheap = [part for part in parts if not getattr(part, "needs_geometry", True)]
        self._cheap = [
            (part, target)
            for part in cheap
            for target in targets
            if target.property in part.properties and not target.direction
        ]

    def ranges(self, template: int) -> tuple[Floats, Floats]:
        """Lowest and highest lengths, angles and displacements of a template, each [6 + 3n]."""
        return self._ranges[template]

    def options(self, template: int, combination: int) -> list[Ints]:
        """Elements (Z - 1) that each site may hold under a combination; all known ones under -1."""
        kind = self.templates[template]
        if combination == NO_COMBINATION:
            return [np.flatnonzero(self.known)] * kind.n_sites
        return [np.flatnonzero(row) for row in kind.allowed[combination]]

    def proposal(
        self, template: int, combination: int, elements: Ints, variables: Floats
    ) -> Proposals:
        """One crystal.

        Args:
            template: Index of its template.
            combination: Of oxidation numbers, or -1.
            elements: Index on each site; tied sites take that of the site they are tied to.
            variables: Lengths, angles and displacements, [6 + 3n]; cut to their ranges.
        """
        kind = self.templates[template]
        if kind.tied_to is not None and combination != NO_COMBINATION:
            elements = elements[kind.tied_to]
        variables = np.clip(variables, *self._ranges[template])
        return Proposals(
            np.array([template]),
            np.array([combination]),
            variables[None, :6],
            (variables[6:].reshape(-1, 3),),
            (elements,),
        )

    def random(self, rng: np.random.Generator, template: int) -> Proposals:
        """One crystal drawn at random under the hard constraints."""
        combination = int(rng.integers(self.templates[template].n_combinations))
        elements = np.array([rng.choice(o) for o in self.options(template, combination)])
        return self.proposal(template, combination, elements, rng.uniform(*self._ranges[template]))

    def crystals(self, proposals: Proposals) -> Crystals:
        """The crystals, with the radii of their ions where the template has roles."""
        kinds = [self.templates[k] for k in proposals.template]
        sizes = [kind.n_sites for kind in kinds]
        elements = torch.as_tensor(np.concatenate(proposals.elements))
        frac = [
            kind.frac_coords + shift
            for kind, shift in zip(kinds, proposals.displacements, strict=True)
        ]
        geometry = torch.as_tensor(proposals.geometry)
        own = torch.as_tensor(np.array([kind.angles for kind in kinds]))
        angles = _with_volume(geometry[:, 3:], own)
        crystals = Crystals(
            species_probs=torch.nn.functional.one_hot(elements, N_ELEMENTS).float(),
            frac_coords=torch.as_tensor(np.concatenate(frac)).float(),
            cell=cell_from_parameters(geometry[:, :3], angles).float(),
            system_idx=torch.repeat_interleave(torch.arange(len(kinds)), torch.tensor(sizes)),
        )
        if any(kind.radii is None for kind in kinds):
            return crystals
        radii = [
            _radii(kind, int(k), row)
            for kind, k, row in zip(kinds, proposals.combination, proposals.elements, strict=True)
        ]
        roles = np.concatenate([kind.roles for kind in kinds]).astype(np.int64)
        return crystals.replace(
            ionic_radii=torch.as_tensor(np.concatenate(radii)).float(),
            site_roles=torch.as_tensor(roles),
        )

    def misfit(self, proposals: Proposals) -> Floats:
        """How far crystals miss the targets on composition alone (tolerance factor), [B].

        0 where these are met. That takes no predictor call.
        """
        losses = np.zeros(len(proposals))
        if not self._cheap or not len(proposals):
            return losses
        crystals = self.crystals(proposals)
        for part, target in self._cheap:
            values = torch.as_tensor(evaluate(part, crystals)[target.property])
            losses += target.loss(values).nan_to_num(nan=MISSING).numpy()
            losses += 1e-6 * ~target.met(values).numpy()  # on an open bound the loss is 0
        return losses

    def promising(self, proposals: Proposals) -> NDArray[np.bool_]:
        """Which crystals meet the targets on composition alone, [B]."""
        fits: NDArray[np.bool_] = self.misfit(proposals) == 0
        return fits


def _ranges(template: Template) -> tuple[Floats, Floats]:
    low, high = template.length_bounds
    if not template.random_lengths:
        low = np.maximum(low, LENGTH_RANGE[0] * template.lengths)
        high = np.minimum(high, LENGTH_RANGE[1] * template.lengths)
    lowest, highest = template.angle_bounds
    lowest = np.maximum(lowest, template.angles - ANGLE_RANGE)
    highest = np.minimum(highest, template.angles + ANGLE_RANGE)
    box = np.where(np.isinf(template.coord_box), COORD_RANGE, template.coord_box).ravel()
    return np.concatenate([low, lowest, -box]), np.concatenate([high, highest, box])


def _radii(template: Template, combination: int, elements: Ints) -> Floats:
    """Ionic radius of each site, [n]; NaN without charges."""
    if combination == NO_COMBINATION or template.radii is None:
        return np.full(template.n_sites, np.nan)
    radii: Floats = template.radii[combination, np.arange(template.n_sites), elements].astype(float)
    return radii


def _with_volume(angles: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Angles (degrees, [B, 3]) brought nearer to the template's own until the cell has volume."""
    for _ in range(20):
        flat = relative_volume(cosines(angles)) < MIN_RELATIVE_VOLUME
        if not flat.any():
            break
        angles = torch.where(flat[:, None], 0.5 * (angles + own), angles)
    return angles
