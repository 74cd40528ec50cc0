"""All rules on crystals of one template."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.judging.criteria import is_crystal
from smoacs.judging.rules.charges import charge_complaints
from smoacs.judging.rules.elements import count_complaints, element_complaints
from smoacs.judging.rules.geometry import (
    distance_complaints,
    fixed_sites,
    ideal,
    lattice_complaints,
    order_complaints,
    position_complaints,
    symmetry_complaints,
)
from smoacs.judging.rules.request import Placed, Rules, keyed_sites
from smoacs.structures import charges, symbol
from smoacs.templates import Template


class RuleCheck:
    """Rules on crystals of one template, or of any kind if no rule is about sites."""

    def __init__(self, rules: Rules, template: Template | None = None) -> None:
        """Take the template as it was before any rule.

        Raises:
            InputError: A rule is about sites that the template does not have, or there is none.
        """
        self.rules = rules
        if template is None:
            if rules.site_keys():
                setting, key = rules.site_keys()[0]
                raise InputError(f"{setting}: which sites are {key!r}? Name the template, too")
            if rules.mixed is False:
                raise InputError("mixed = false is about a template's equal sites: name it, too")
            if rules.symmetry != "free":
                raise InputError(f"symmetry = {rules.symmetry} is a template's: name it, too")
            self._ideal = None
            self._fixed: list[int] = []
            return
        for setting, key in rules.site_keys():
            try:
                keyed_sites(template.site_labels, key)
            except InputError as error:
                raise InputError(f"{setting}: {error}") from None
        lattice = Lattice.from_parameters(*template.lengths.tolist(), *template.angles.tolist())
        self._ideal = ideal(
            lattice,
            template.frac_coords,
            template.site_labels,
            symmetric=rules.symmetry != "free" or rules.mixed is False,
        )
        self._fixed = fixed_sites(rules, self._ideal)

    def broken(
        self,
        structure: Structure,
        order: Sequence[int] | None = None,
        *,
        solid: bool | None = None,
    ) -> str:
        """Say which rule a crystal breaks first, and how; empty if it obeys them all.

        Args:
            structure: With or without oxidation states.
            order: Atom on each site of the template; None if they are in its order.
            solid: Whether it is a crystal (see `is_crystal`), if that is known.
        """
        if not (is_crystal(structure) if solid is None else solid):
            return "it is no crystal"
        if self._ideal is not None and len(structure) != len(self._ideal.labels):
            return f"the template has {len(self._ideal.labels)} sites: there are {len(structure)}"
        if order is not None:
            structure = Structure.from_sites([structure[int(atom)] for atom in order])
        return next(self._complaints(structure), "")

    def too_close(self, structure: Structure) -> str:
        """Say whether two atoms come closer than they may; empty if not, or if nothing is asked."""
        return next(distance_complaints(self.rules, self._placed(structure, labels=())), "")

    def fixed(self, n_atoms: int, order: Sequence[int] | None = None) -> NDArray[np.bool_]:
        """Which atoms of a crystal the rules hold at their sites, [N].

        Args:
            n_atoms: How many there are; with another number than the template's none is fixed.
            order: As for `broken`.
        """
        fixed = np.zeros(n_atoms, dtype=bool)
        if self._ideal is not None and n_atoms == len(self._ideal.labels):
            atoms = np.arange(n_atoms) if order is None else np.asarray(order, dtype=np.intp)
            fixed[atoms[self._fixed]] = True
        return fixed

    def _complaints(self, structure: Structure) -> Iterator[str]:
        crystal = self._placed(structure, () if self._ideal is None else self._ideal.labels)
        yield from element_complaints(self.rules, crystal)
        yield from count_complaints(self.rules, crystal)
        yield from charge_complaints(self.rules, crystal)
        yield from lattice_complaints(self.rules, crystal)
        if self._ideal is not None:
            yield from order_complaints(self.rules, crystal, self._ideal)
            yield from symmetry_complaints(self.rules, crystal, self._ideal)
            yield from position_complaints(self.rules, crystal, self._ideal)
        yield from distance_complaints(self.rules, crystal)

    @staticmethod
    def _placed(structure: Structure, labels: tuple[str, ...]) -> Placed:
        """A crystal with the kinds of its sites."""
        states = charges(structure)
        return Placed(
            structure=structure,
            symbols=tuple(symbol(species) for species in structure.species),
            charges=None if states is None else tuple(states),
            labels=labels,
        )
