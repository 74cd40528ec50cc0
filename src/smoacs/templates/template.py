"""What kind of crystal is wanted: lattice, sites, allowed elements, neutral charges."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, element_index
from smoacs.errors import InputError

DEFAULT_MAX_Z: Final = 86
"""Heaviest atomic number in use unless heavier elements are asked for by name."""

_FLAT: Final = 1e-6
"""Squared relative volume below which a cell counts as flat."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Template:
    """A kind of crystal with N sites and K neutral combinations of oxidation numbers.

    Immutable: arrays are copied on construction and read-only.

    Attributes:
        name: What a user calls it.
        lengths: The template's own lattice lengths (Å), [3].
        angles: The template's own lattice angles (degrees), [3].
        frac_coords: Fractional coordinates in [0, 1), [N, 3].
        site_labels: Kind of each site: "A", "B", "X" for perovskites, else the element symbol.
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

    def __post_init__(self) -> None:
        """Freeze the arrays and check that they fit together."""
        dtypes: dict[str, Any] = {
            "combinations": np.int8,
            "allowed": np.bool_,
            "radii": np.float32,
            "roles": np.int8,
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
            own = [
                role < 0 and label in ELEMENTS  # "B" of a perovskite is not boron
                for role, label in zip(self.roles, self.site_labels, strict=True)
            ]
            species = [
                label if keep else other
                for label, keep, other in zip(self.site_labels, own, lightest, strict=True)
            ]
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
        usable = np.arange(1, N_ELEMENTS + 1) <= max_z
        if allowed is not None:
            usable &= _element_mask(allowed)
        if forbidden:
            usable &= ~_element_mask(forbidden)
        restricted = self.allowed & usable
        possible = np.any(restricted, axis=2)
        kept = np.all(possible, axis=1)
        if not kept.any():
            limits = {
                "allowed": "" if allowed is None else " ".join(sorted(allowed)) or "none",
                "forbidden": " ".join(sorted(forbidden or ())),
                "atomic numbers up to": str(max_z) if max_z < N_ELEMENTS else "",
            }
            used = ", ".join(f"{limit} {value}" for limit, value in limits.items() if value)
            raise InputError(f"{self._unfilled(possible)} ({used})")
        return replace(
            self,
            combinations=self.combinations[kept],
            combination_names=tuple(np.array(self.combination_names, dtype=object)[kept]),
            allowed=restricted[kept],
            radii=None if self.radii is None else np.where(restricted, self.radii, 0.0)[kept],
        )

    def _unfilled(self, possible: NDArray[np.bool_]) -> str:
        """What is wrong where no combination can be filled; ``possible`` is [K, N]."""
        sites: list[str] = []
        for k, site in enumerate(np.argmin(possible, axis=1)):
            options = " ".join(ELEMENTS[index] for index in np.flatnonzero(self.allowed[k, site]))
            charge = int(self.combinations[k, site])
            sites.append(f"{self.site_labels[site]}{charge:+d} (one of {options})")
        return (
            f"no element is left for site {' or '.join(dict.fromkeys(sites))} "
            f"of template {self.name!r}"
        )

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


def _element_mask(symbols: AbstractSet[str]) -> NDArray[np.bool_]:
    """Mask over elements, [98]."""
    mask = np.zeros(N_ELEMENTS, dtype=np.bool_)
    mask[[element_index(symbol) for symbol in symbols]] = True
    return mask
