"""Rules on lattice, symmetry, positions and distances, checked with pymatgen and spglib."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ionic_radius, neutral_assignment
from smoacs.judging.rules.request import Placed, Rules, keyed_sites
from smoacs.judging.space_groups import SYMPREC, Group, dataset, group_of

if TYPE_CHECKING:
    from spglib import SpglibDataset

_KEYS = ("a", "b", "c", "alpha", "beta", "gamma")

_LATTICE_SLACK = 1e-5
"""Å or degrees; a lattice may have gone through a file."""

_SYSTEM_SLACK = (1e-4, 1e-3)
"""Å and degrees by which an operation may change the lattice that it belongs to."""

_COORD_SLACK = 1e-6
"""Fractional; coordinates may have gone through a file."""

_DISTANCE_SLACK = 1e-6
"""Share of a distance."""

_OCTAHEDRON = 6
"""Coordination that ionic radii are taken at."""

_CURIUM = 96
"""Atomic number of the last element with a covalent radius."""


@dataclass(frozen=True)
class Ideal:
    """The template before any rule: its cell and sites, one kind of atom on each kind of site.

    Attributes:
        lattice: Its own.
        frac_coords: Coordinates of its sites.
        labels: Kind of each site.
        symmetry: What spglib says of it; None if it finds nothing, or nobody asks.
    """

    lattice: Lattice
    frac_coords: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
    labels: tuple[str, ...]
    symmetry: "SpglibDataset | None"


def ideal(
    lattice: Lattice,
    frac_coords: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    labels: Sequence[str],
    *,
    symmetric: bool,
) -> Ideal:
    """Take a template, and find its symmetry if that must be kept (slow for large cells)."""
    if not symmetric:
        return Ideal(lattice, frac_coords, tuple(labels), None)
    kinds = sorted(set(labels))
    numbers = [1 + kinds.index(label) for label in labels]
    found = dataset(lattice.matrix, frac_coords, numbers)
    return Ideal(lattice, frac_coords, tuple(labels), found)


def lattice_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Say which ranges of lattice parameters a crystal leaves."""
    for key, (low, high) in rules.lattice.items():
        value = crystal.structure.lattice.parameters[_KEYS.index(key)]
        if not low - _LATTICE_SLACK <= value <= high + _LATTICE_SLACK:
            asked = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            yield f"lattice.{key} = {asked}: it is {value:.6g}"


def order_complaints(rules: Rules, crystal: Placed, template: Ideal) -> Iterator[str]:
    """Say which equal sites of an ordered compound hold different elements."""
    if rules.mixed is not False or template.symmetry is None:
        return
    held: dict[int, str] = {}
    for orbit, symbol in zip(template.symmetry.equivalent_atoms, crystal.symbols, strict=True):
        first = held.setdefault(int(orbit), symbol)
        if first != symbol:
            yield f"mixed = false: there are {first} and {symbol} on equal sites"


def symmetry_complaints(rules: Rules, crystal: Placed, template: Ideal) -> Iterator[str]:
    """Say whether a crystal has lost its template's lattice system or space group."""
    if rules.symmetry == "free":
        return
    text = f"symmetry = {rules.symmetry}"
    if template.symmetry is None:
        yield f"{text}: the template has no space group that spglib finds"
        return
    lattice = crystal.structure.lattice
    for rotation in np.unique(template.symmetry.rotations, axis=0):
        image = Lattice(rotation.T @ lattice.matrix)
        change = np.abs(np.subtract(image.parameters, lattice.parameters))
        if change[:3].max() > _SYSTEM_SLACK[0] or change[3:].max() > _SYSTEM_SLACK[1]:
            shown = " ".join(f"{value:.4g}" for value in lattice.parameters)
            yield f"{text}: the lattice {shown} has not the symmetry of the template's"
            return
    if rules.symmetry == "space-group":
        numbers = [atomic_numbers[symbol] for symbol in crystal.symbols]
        found = group_of(lattice.matrix, crystal.structure.frac_coords, numbers)
        asked = Group.of(template.symmetry)
        if found is None or found.number != asked.number:
            group = "none" if found is None else found.symbol
            yield f"{text}: the space group is {group}, not {asked.symbol}"
        elif found.n_operations != asked.n_operations:
            yield (
                f"{text}: the cell has {found.n_operations} operations of {asked.symbol}, "
                f"not {asked.n_operations}"
            )


def position_complaints(rules: Rules, crystal: Placed, template: Ideal) -> Iterator[str]:
    """Say which atoms are farther from their sites than they may be."""
    moved = crystal.structure.frac_coords - template.frac_coords
    moved = np.abs(moved - np.round(moved))
    # A template is itself its space group's only to within the tolerance of spglib.
    off = SYMPREC if rules.symmetry == "space-group" else 0.0
    slack = _COORD_SLACK + off / np.array(template.lattice.abc)
    limits = [(f"frozen = {key}", key, 0.0) for key in rules.frozen]
    for key, limit in rules.max_displacement.items():
        limits.append((f"max_displacement.{key} = {limit:g}", key, limit))
    for text, key, limit in limits:
        sites = keyed_sites(template.labels, key)
        if (moved[sites] > limit + slack).any():
            yield f"{text}: a coordinate is {moved[sites].max():.6g} away"


def fixed_sites(rules: Rules, template: Ideal) -> list[int]:
    """Sites whose atoms must not move: frozen, or with no displacement allowed.

    Where the space group is kept, those that it makes equivalent to them are fixed as well.
    """
    keys = [*rules.frozen, *(key for key, most in rules.max_displacement.items() if most == 0.0)]
    fixed = {site for key in keys for site in keyed_sites(template.labels, key)}
    if rules.symmetry == "space-group" and template.symmetry is not None:
        orbits = template.symmetry.equivalent_atoms
        own = {int(orbits[site]) for site in fixed}
        fixed |= {site for site, orbit in enumerate(orbits) if int(orbit) in own}
    return sorted(fixed)


def distance_complaints(rules: Rules, crystal: Placed) -> Iterator[str]:
    """Say whether two atoms are closer than their radii allow."""
    if rules.min_distance is None:
        return
    radii = np.array(_radii(rules, crystal))
    # The neighbour list counts from atoms that are all inside the cell.
    inside = Structure(
        crystal.structure.lattice, crystal.symbols, np.mod(crystal.structure.frac_coords, 1.0)
    )
    first, second, _, distances = inside.get_neighbor_list(2 * rules.min_distance * radii.max())
    if len(distances) == 0:
        return
    shares = distances / (radii[first] + radii[second])
    worst = int(np.argmin(shares))
    if shares[worst] < rules.min_distance * (1 - _DISTANCE_SLACK):
        pair = f"{crystal.symbols[first[worst]]} and {crystal.symbols[second[worst]]}"
        yield (
            f"min_distance = {rules.min_distance:g}: {pair} are {distances[worst]:.3f} Å apart, "
            f"{shares[worst]:.3f} of the sum of their radii"
        )


def _radii(rules: Rules, crystal: Placed) -> list[float]:
    """Radius of each atom, Å."""
    covalent = [
        float(covalent_radii[min(atomic_numbers[symbol], _CURIUM)]) for symbol in crystal.symbols
    ]
    if rules.distance_radii == "covalent":
        return covalent
    charges = crystal.charges
    if charges is None:
        counts = {symbol: crystal.symbols.count(symbol) for symbol in set(crystal.symbols)}
        found = neutral_assignment(counts, rules.states()) or {}
        # Of several numbers the highest: its ion is the smallest.
        charges = tuple(max(found[s]) if s in found else 0 for s in crystal.symbols)
    ionic = [
        ionic_radius(symbol, int(charge), _OCTAHEDRON)
        for symbol, charge in zip(crystal.symbols, charges, strict=True)
    ]
    return [own or other for own, other in zip(ionic, covalent, strict=True)]
