"""What kind of crystal is wanted: lattice, sites, allowed elements, neutral charges."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, parse_elements
from smoacs.errors import InputError
from smoacs.templates.restrict import (
    SiteRule,
    blame,
    combined,
    conflict,
    fillable,
    site_indices,
    unfilled,
)
from smoacs.templates.symmetry import TemplateSymmetry
from smoacs.templates.ties import common_elements, tie

DEFAULT_MAX_Z: Final = 86
"""Heaviest atomic number in use unless heavier elements are asked for by name."""

MAX_SITES: Final = 10_000
"""Most sites of a template: more would fill the memory of any machine before a design began."""

_FLAT: Final = 1e-6
"""Squared relative volume below which a cell counts as flat."""


def check_size(n_sites: int, repeat: int) -> None:
    """Refuse a cell that is too large to work with.

    Args:
        n_sites: Sites of the cell that is repeated.
        repeat: Number of cells along each axis.

    Raises:
        InputError: It has more than `MAX_SITES` sites.
    """
    total = n_sites * repeat**3
    if total > MAX_SITES:
        most = int((MAX_SITES / n_sites) ** (1 / 3) + 1e-9)
        right = f"repeat is at most {most} here" if most else "take a smaller cell"
        raise InputError(
            f"repeat = {repeat} makes a cell of {total:,} atoms, and the most are {MAX_SITES:,}: "
            f"{right}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Template:
    """A kind of crystal with N sites and K neutral combinations of oxidation numbers.

    Immutable: arrays are copied on construction and read-only.

    Attributes:
        name: What a user calls it.
        lengths: The template's own lattice lengths (Å), [3].
        angles: The template's own lattice angles (degrees), [3].
        frac_coords: Fractional coordinates in [0, 1), [N, 3].
        site_labels: Kind of each site: "A", "B", "X" for perovskites and the like, the element's
            symbol for templates made of a structure.
        combinations: Oxidation number of each site, [K, N]; every row adds up to 0.
        combination_names: Name of each combination, such as "A+1 B+2 X-1".
        allowed: Elements (index Z - 1) that a site may hold under a combination, [K, N, 98].
        radii: Ionic radius (Å) of each allowed element at the site's charge and coordination,
            0 where not allowed, [K, N, 98]; None if the template has no roles.
        roles: Part of each site in the tolerance factor, [N]: 0 = A, 1 = B, 2 = X, -1 = none.
        coord_box: Half-width of the allowed displacement (fractional), [N, 3]; infinite = free,
            0 = frozen.
        length_bounds: Lowest and highest lattice lengths (Å), [2, 3].
        angle_bounds: Lowest and highest lattice angles (degrees), [2, 3]; equal = frozen.
        random_lengths: Whether candidates start with lengths drawn uniformly within the bounds
            rather than with the template's own.
        tied_to: The site whose element each site takes, [N]: itself, or an earlier one that it
            must equal. None if every site chooses for itself.
        symmetry: What of the template's space group candidates keep; None for nothing.
        order: Space group whose orbits hold one element each and that no choice of elements raises
            (`smoacs.templates.ordered`); None if equal sites may differ. Lattice and coordinates
            stay free.
        mixes: Whether equal sites may hold different elements where nobody says otherwise, as the
            X of a perovskite may.
    """

    name: str
    lengths: NDArray[np.float64]
    angles: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    site_labels: tuple[str, ...]
    combinations: NDArray[np.int8]
    combination_names: tuple[str, ...]
    allowed: NDArray[np.bool_]
    radii: NDArray[np.float32] | None
    roles: NDArray[np.int8]
    coord_box: NDArray[np.float64]
    length_bounds: NDArray[np.float64]
    angle_bounds: NDArray[np.float64]
    random_lengths: bool
    tied_to: NDArray[np.int64] | None = None
    symmetry: TemplateSymmetry | None = None
    order: TemplateSymmetry | None = None
    mixes: bool = False

    def __post_init__(self) -> None:
        """Freeze the arrays and check that they fit together."""
        dtypes: dict[str, Any] = {
            "combinations": np.int8,
            "allowed": np.bool_,
            "radii": np.float32,
            "roles": np.int8,
            "tied_to": np.int64,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = np.array(value, dtype=dtypes.get(field.name, np.float64), order="C")
                value.setflags(write=False)
                object.__setattr__(self, field.name, value)
        self._check_shapes()
        self._check_values()

    @property
    def n_sites(self) -> int:
        """Number of sites, N."""
        return len(self.frac_coords)

    @property
    def kept_group(self) -> TemplateSymmetry | None:
        """Space group that no choice of elements may raise; None if they are free to."""
        if self.symmetry is not None and self.symmetry.ties_sites:
            return self.symmetry
        return self.order

    @property
    def n_combinations(self) -> int:
        """Number of combinations of oxidation numbers, K."""
        return len(self.combinations)

    def to_structure(self, species: Sequence[str] | None = None) -> Structure:
        """The template's own lattice and sites with elements on them.

        Args:
            species: Element or ion ("Sr", "Sr2+") of each site. None takes the site labels of a
                template made of a structure, else the lightest element that the first
                combination allows.

        Raises:
            InputError: The number of species is not the number of sites.
        """
        if species is None:
            lightest = [ELEMENTS[index] for index in np.argmax(self.allowed[0], axis=1)]
            own = set(self.site_labels) <= set(ELEMENTS)  # not A, B and X: that B is not boron
            species = self.site_labels if own else lightest
        if len(species) != self.n_sites:
            msg = f"template {self.name!r} has {self.n_sites} sites, not {len(species)}"
            raise InputError(msg)
        lattice = Lattice.from_parameters(*self.lengths.tolist(), *self.angles.tolist())
        return Structure(lattice, list(species), self.frac_coords)

    def with_elements(
        self,
        *,
        allowed: AbstractSet[str] | None = None,
        forbidden: AbstractSet[str] | None = None,
        max_z: int | None = None,
    ) -> "Template":
        """The template restricted to some elements.

        Combinations under which a site is left without any element are dropped.

        Args:
            allowed: The only elements to use; None for all.
            forbidden: Elements not to use.
            max_z: Heaviest atomic number; None is ``DEFAULT_MAX_Z``, or no limit where
                ``allowed`` names the elements.

        Raises:
            InputError: An element is unknown, or no combination is left.
        """
        if max_z is None:
            max_z = DEFAULT_MAX_Z if allowed is None else N_ELEMENTS
        rules = []
        if allowed is not None:
            rules.append(SiteRule(f"allowed = {' '.join(sorted(allowed)) or 'none'}", allowed))
        if forbidden:
            left = frozenset(ELEMENTS) - parse_elements(forbidden)
            rules.append(SiteRule(f"forbidden = {' '.join(sorted(forbidden))}", left))
        if max_z < N_ELEMENTS:
            rules.append(SiteRule(f"atomic numbers up to {max_z}", frozenset(ELEMENTS[:max_z])))
        return self.with_rules(rules)

    def with_rules(self, rules: Sequence[SiteRule]) -> "Template":
        """The template restricted by rules on the elements of its sites.

        Combinations under which a site is left without any element are dropped.

        Args:
            rules: All of them hold; an error names as few as exclude each other, the first ones
                rather than the last.

        Raises:
            InputError: An element is unknown, or no combination is left.
        """
        restricted = self.allowed & combined(rules, self.n_sites)
        left = self.allowing(restricted)
        if left is None:
            clash = conflict(self.allowed, rules)
            possible = np.asarray(np.any(self.allowed & combined(clash, self.n_sites), axis=2))
            sites = unfilled(self.allowed, possible, self.site_labels, self.combinations)
            why = blame([rule.text for rule in clash])
            msg = f"no element is left for site {sites} of template {self.name!r}: {why}"
            raise InputError(msg)
        return left

    def allowing(self, allowed: NDArray[np.bool_]) -> "Template | None":
        """The template with fewer elements on its sites; None if no combination is left.

        Args:
            allowed: Elements that a site may hold under a combination, [K, N, 98]; combinations
                that leave a site without one are dropped.
        """
        kept = fillable(allowed)
        if not kept.any():
            return None
        return replace(
            self,
            combinations=self.combinations[kept],
            combination_names=tuple(np.array(self.combination_names, dtype=object)[kept]),
            allowed=allowed[kept],
            radii=None if self.radii is None else np.where(allowed, self.radii, 0.0)[kept],
        )

    def with_ties(self, groups: Sequence[Sequence[int]]) -> "Template":
        """The template with sites that must hold the same element.

        Combinations under which such sites have no element in common are dropped.

        Args:
            groups: Sites of each group; groups that share a site become one.

        Raises:
            InputError: No combination is left.
        """
        tied_to = tie(self.n_sites, groups, self.tied_to)
        left = self.allowing(common_elements(self.allowed, tied_to))
        if left is None:
            msg = f"tied sites of template {self.name!r} have no element in common"
            raise InputError(msg)
        return replace(left, tied_to=tied_to)

    def sites(self, key: str, setting: str = "sites") -> tuple[int, ...]:
        """Indices of the sites that a key names: a kind, "X", or some, "X[0]" or "X[0:2]".

        Args:
            key: What the user wrote.
            setting: Where the user wrote it, for errors.

        Raises:
            InputError: The template has no such kind of site, or too few of it.
        """
        return site_indices(self.name, self.site_labels, key, setting)

    def _check_shapes(self) -> None:
        n, k = len(self.site_labels), len(self.combination_names)
        shapes: dict[str, tuple[int, ...]] = {
            "lengths": (3,),
            "angles": (3,),
            "frac_coords": (n, 3),
            "combinations": (k, n),
            "allowed": (k, n, N_ELEMENTS),
            "radii": (k, n, N_ELEMENTS),
            "roles": (n,),
            "coord_box": (n, 3),
            "length_bounds": (2, 3),
            "angle_bounds": (2, 3),
            "tied_to": (n,),
        }
        if n == 0 or k == 0:
            msg = (
                f"template {self.name!r} has {n} sites and {k} combinations; it needs at least one"
            )
            raise InputError(msg)
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                msg = f"{name} of template {self.name!r} has shape {value.shape}, not {shape}"
                raise InputError(msg)

    def _check_values(self) -> None:
        charges = self.combinations.sum(axis=1, dtype=np.int64)
        rules = {
            "lengths must be positive": np.all(self.lengths > 0.0),
            "the lattice must span a volume": _relative_volume(self.angles) > _FLAT,
            "fractional coordinates must lie in [0, 1)": np.all(
                (self.frac_coords >= 0.0) & (self.frac_coords < 1.0)
            ),
            "the charges of each combination must add up to 0": np.all(charges == 0),
            "every site needs an allowed element": np.all(np.any(self.allowed, axis=2)),
            "sites with roles need a positive radius of every allowed element": (
                np.all(self.roles < 0)
                if self.radii is None
                else np.all(self.radii[self.allowed] > 0.0)
            ),
            "sites must be tied to sites that are tied to none": self.tied_to is None
            or np.array_equal(self.tied_to[self.tied_to], self.tied_to),
            "the coordinate box must not be negative": np.all(self.coord_box >= 0.0),
            "length bounds must be positive and in order": np.all(
                (self.length_bounds[0] > 0.0) & (self.length_bounds[0] <= self.length_bounds[1])
            ),
            "angle bounds must be in order": np.all(self.angle_bounds[0] <= self.angle_bounds[1]),
        }
        for rule, kept in rules.items():
            if not kept:
                msg = f"template {self.name!r}: {rule}"
                raise InputError(msg)


def _relative_volume(angles: NDArray[np.float64]) -> float:
    """Squared volume of a cell with these angles (degrees) and unit lengths; 1 if rectangular."""
    cosines = np.cos(np.radians(angles))
    return float(1.0 + 2.0 * np.prod(cosines) - np.sum(cosines**2))
