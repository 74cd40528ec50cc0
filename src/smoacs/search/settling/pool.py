"""Crystals at rest in their symmetry that a search hands over to be settled."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import Predictor, for_properties, hangs_on_geometry
from smoacs.search.result import DesignResult
from smoacs.search.settling.features import features
from smoacs.templates import Template

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Parent:
    """A crystal of a search.

    Attributes:
        structure: At rest in its symmetry, on the sites of its template.
        combination: Name of its charge combination.
        template: Its own.
        original: The same before any constraint was applied; None where there is one template.
        wave: Number of the search that gave it.
        candidate: Its row there.
    """

    structure: Structure
    combination: str
    template: Template
    original: Template | None
    wave: int
    candidate: int


def parents_of(result: DesignResult, wave: int) -> list[Parent]:
    """What one search gives, in its order."""
    n = len(result.structures)
    templates = result.templates or (result.template,) * n
    originals: Sequence[Template | None] = result.originals or (None,) * n
    rows = zip(result.structures, result.combinations, templates, originals, strict=True)
    return [Parent(*row, wave, number) for number, row in enumerate(rows)]


@dataclass
class Pool:
    """All parents so far, each formula once.

    Attributes:
        parents: In the order in which they came.
        values: Properties of each.
        features: Numbers by which its settling is guessed, [P, F].
        formulas: Reduced, of each.
    """

    parents: list[Parent] = field(default_factory=list)
    values: Values = field(default_factory=dict)
    features: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    formulas: list[str] = field(default_factory=list)

    def add(self, parents: Sequence[Parent], evaluator: "PropertiesOf") -> None:
        """Take parents whose formulas are new, without those that are no crystals."""
        new: list[Parent] = []
        had = set(self.formulas)
        for parent in parents:
            sound = np.isfinite(parent.structure.lattice.matrix).all()
            sound = sound and np.isfinite(parent.structure.frac_coords).all()
            formula = str(parent.structure.composition.reduced_formula) if sound else ""
            if sound and formula not in had:
                new.append(parent)
                had.add(formula)
                self.formulas.append(formula)
        if not new:
            return
        values = evaluator.of_parents(new)
        for name, value in values.items():
            self.values[name] = np.concatenate([self.values.get(name, np.zeros(0)), value])
        own = features([parent.structure for parent in new])
        told = [values[name] for name in evaluator.moved]
        own = np.column_stack([np.nan_to_num(np.array(told).T), own]) if told else own
        self.features = np.concatenate([self.features, own]) if len(self.features) else own
        self.parents += new

    def values_of(self, rows: NDArray[np.int64]) -> Values:
        """Properties of some parents."""
        return {name: value[rows] for name, value in self.values.items()}


class PropertiesOf:
    """Properties of the targets, of crystals before and after they settle.

    Attributes:
        names: All properties that the targets and their caution need.
        moved: Those that hang on the geometry; the others hang on composition and sites alone, and
            are those of the parent.
    """

    def __init__(self, predictor: Predictor, names: Sequence[str]) -> None:
        """Take a predictor and the properties wanted of it."""
        self.names = tuple(names)
        self.moved = tuple(name for name in names if hangs_on_geometry(predictor, name))
        self._of_geometry = self._narrowed(predictor, self.moved)
        fixed = [name for name in names if name not in self.moved]
        self._of_composition = self._narrowed(predictor, fixed)

    @staticmethod
    def _narrowed(predictor: Predictor, names: Sequence[str]) -> Predictor | None:
        return for_properties(predictor, names) if names else None

    def of_parents(self, parents: Sequence[Parent]) -> Values:
        """All properties of crystals on their templates, each [b]."""
        structures = [parent.structure for parent in parents]
        crystals = _with_sites(Crystals.from_structures(structures), parents)
        found: Values = {}
        for part in (self._of_geometry, self._of_composition):
            if part is not None:
                found |= evaluate(part, crystals)
        return {name: found[name] for name in self.names}

    def of_ends(self, ends: Sequence[Structure]) -> Values:
        """Properties that hang on the geometry, of any crystals, each [b]."""
        if self._of_geometry is None or not ends:
            return {name: np.zeros(len(ends)) for name in self.moved}
        found = evaluate(self._of_geometry, Crystals.from_structures(ends))
        return {name: found[name] for name in self.moved}


def _with_sites(crystals: Crystals, parents: Sequence[Parent]) -> Crystals:
    """Crystals with roles and radii of their templates' sites, where these have any."""
    if any(parent.template.radii is None for parent in parents):
        return crystals
    radii, roles = [], []
    elements = crystals.species_probs.argmax(1).numpy()
    first = 0
    for parent in parents:
        template, n = parent.template, parent.template.n_sites
        own = elements[first : first + n]
        k = template.combination_names.index(parent.combination)
        if template.radii is not None:
            radii.append(template.radii[k, np.arange(n), own])
        roles.append(template.roles)
        first += n
    return replace(
        crystals,
        ionic_radii=torch.as_tensor(np.concatenate(radii)),
        site_roles=torch.as_tensor(np.concatenate(roles)).long(),
    )
