"""Crystals on a template that are known already, as candidates to go on from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, element_index
from smoacs.crystals import Candidates, DesignSpace
from smoacs.request.decoration_rules import Rule
from smoacs.templates import Template


@dataclass(frozen=True)
class KnownCrystal:
    """A crystal that a search has found.

    Attributes:
        structure: Its sites in the order of the template's, coordinates not wrapped.
        combination: Name of its charge combination.
    """

    structure: Structure
    combination: str


def of_seed(template: Template, rule: Rule | None) -> list[KnownCrystal]:
    """The seed itself, once for each combination that allows its elements; often there is none.

    Args:
        template: Of a seed: its sites are called by their elements.
        rule: A further constraint on decorations.
    """
    if not set(template.site_labels) <= set(ELEMENTS):
        return []
    elements = np.array([[element_index(label) for label in template.site_labels]])
    sites = np.arange(template.n_sites)
    tied = sites if template.tied_to is None else template.tied_to
    if (elements[:, tied] != elements).any():
        return []
    seed = Structure(
        Lattice.from_parameters(*template.lengths, *template.angles),
        list(template.site_labels),
        template.frac_coords,
    )
    return [
        KnownCrystal(seed, name)
        for k, name in enumerate(template.combination_names)
        if template.allowed[k, sites, elements[0]].all() and (rule is None or rule(k, elements)[0])
    ]


def candidates_at(
    space: DesignSpace, template: Template, begin: Sequence[KnownCrystal]
) -> Candidates:
    """Real candidates that are these crystals.

    Args:
        space: Of as many candidates of the template.
        template: What the crystals are on.
        begin: The crystals.
    """
    cells = np.array([known.structure.lattice.parameters for known in begin])
    coords = np.concatenate([known.structure.frac_coords for known in begin])
    elements = [element_index(s.symbol) for known in begin for s in known.structure.species]
    chosen = [template.combination_names.index(known.combination) for known in begin]
    candidates = Candidates.real(space, torch.tensor(chosen), torch.tensor(elements))
    shifts = torch.as_tensor(coords).to(space.frac_coords) - space.frac_coords
    candidates.place(torch.as_tensor(cells[:, :3]), torch.as_tensor(cells[:, 3:]), shifts)
    return candidates
