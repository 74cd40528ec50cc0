"""Crystals that were let go: what is judged of their parents, and what of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.judging.criteria import is_crystal
from smoacs.judging.matching import Match
from smoacs.judging.prediction import evaluate_structures
from smoacs.judging.rules import RuleCheck
from smoacs.judging.space_groups import space_group
from smoacs.predictors import Predictor, for_properties, hangs_on_geometry
from smoacs.relaxation import Settled, same_connectivity

LEAST_FREQUENCY: Final = -0.1
"""THz. A crystal with a lower frequency is at no minimum; imaginary ones are negative."""

OTHER_BONDS: Final = "its atoms have other neighbours than its parent's"


@dataclass(frozen=True)
class Origins:
    """Where B crystals came from when they were let go.

    Attributes:
        parents: Each at rest in its symmetry, on the sites of its template.
        settled: What became of it.
    """

    parents: Sequence[Structure]
    settled: Sequence[Settled]

    def at_minimum(self) -> NDArray[np.bool_]:
        """Whether each crystal is at a minimum, as far as is known, [B].

        It came to rest when it was let go, and its lowest frequency is above -0.1 THz. Of a cell
        whose supercell is too large to look at, the rest that it found from a rattled start must
        do.
        """
        return np.array(
            [
                item.structure is not None
                and item.converged
                and not item.lowest_frequency <= LEAST_FREQUENCY
                for item in self.settled
            ],
            dtype=bool,
        )

    def bonded(self) -> NDArray[np.bool_]:
        """Whether each crystal is bonded as its parent is, [B]; so is what was not let go."""
        return np.array(
            [
                item.structure is None or same_connectivity(parent, item.structure)
                for parent, item in zip(self.parents, self.settled, strict=True)
            ],
            dtype=bool,
        )

    def broken(
        self,
        parents: Sequence[str],
        rules: RuleCheck | Sequence[RuleCheck] | None,
        structures: Sequence[Structure],
    ) -> list[str]:
        """The first rule that each crystal breaks: sites are its parent's, distances its own.

        Args:
            parents: What the parents break.
            rules: One for all, or one for each.
            structures: The crystals.
        """
        if rules is None:
            return list(parents)
        checks = [rules] * len(structures) if isinstance(rules, RuleCheck) else rules
        return [
            text or check.too_close(structure)
            for text, check, structure in zip(parents, checks, structures, strict=True)
        ]

    def with_values_of_parents(
        self,
        values: dict[str, NDArray[np.float64]],
        predictor: Predictor,
        *,
        cells: Sequence[Structure],
        matches: Sequence[Match | None],
        usable: Sequence[int],
    ) -> dict[str, NDArray[np.float64]]:
        """Values of crystals, those that hang on composition and sites alone from their parents.

        Args:
            values: Of the crystals, each [B].
            predictor: Gave them.
            cells: The parents in the cells of their templates.
            matches: How they sit there.
            usable: Which can be evaluated.
        """
        names = sorted(name for name in values if not hangs_on_geometry(predictor, name))
        if not names:
            return values
        of_sites = for_properties(predictor, names)
        found = evaluate_structures(cells, of_sites, matches=matches, usable=usable)
        return values | {name: found[name] for name in names}

    def columns(self) -> "dict[str, pd.Series[Any] | NDArray[np.float64]]":
        """Columns on how the crystals settled."""
        groups = [space_group(parent) if is_crystal(parent) else "" for parent in self.parents]
        failures = [item.failure for item in self.settled]
        return {
            "lowest_frequency": np.array([x.lowest_frequency for x in self.settled], dtype=float),
            "energy_gain": np.array([x.energy_gain for x in self.settled], dtype=float),
            "parent_space_group": pd.Series(groups, dtype=object),
            "settling_failure": pd.Series(failures, dtype=object),
        }
