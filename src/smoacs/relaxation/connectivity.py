"""Is a crystal still of its structure type? By who is bonded to whom, not by coordinates.

The polyhedra of a type are those of its small shells: octahedra and tetrahedra, not the twelve
neighbours of a perovskite's A, which go where the tilts leave them. A crystal keeps its type if
each of its atoms has such a polyhedron, of the same neighbours, that shares as many corners, edges
and faces with others as before.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.structures import charges, symbols

REACH: Final = (6.0, 8.0)
"""Å, within which neighbours are looked for; the second where the first has too few."""

GAP: Final = 1.25
"""Ratio of two distances that ends the shell of an atom in the crystal that is compared with."""

SMALL: Final = (3, 6)
"""Neighbours of an atom whose polyhedron belongs to the type."""

Shell = tuple[tuple[int, tuple[int, int, int]], ...]
"""Neighbours of an atom: number and image."""


@dataclass(frozen=True)
class _Neighbours:
    """Atoms around one, of the other sign, by distance (Å)."""

    atoms: list[tuple[int, tuple[int, int, int]]]
    distances: NDArray[np.float64]

    def gap(self, count: int) -> float:
        """Ratio of the distances of the next neighbour and of the last of so many."""
        if count >= len(self.distances):
            return float("inf")
        return float(self.distances[count] / self.distances[count - 1])


def same_connectivity(parent: Structure, end: Structure) -> bool:
    """Whether a crystal has the polyhedra of another, connected as these are.

    Distortions, tilts and shifts change nothing, however large, as long as every atom with three to
    six neighbours keeps them: those nearest to it, with no wider gap among them than behind the
    last. Cells, origins, scale and the order of the atoms do not count.

    Args:
        parent: Of high symmetry: its shells end at the first gap of a quarter.
        end: Of the same composition; in any cell.
    """
    if _shares(parent) != _shares(end):
        return False
    kinds, around = symbols(parent), _neighbours(parent)
    sizes = [_first_gap(neighbours) for neighbours in around]
    small = _small_shells(kinds, sizes)
    shells: list[Shell | None] = [
        tuple(neighbours.atoms[:size]) if kind in small else None
        for neighbours, size, kind in zip(around, sizes, kinds, strict=True)
    ]
    others = _closed_shells(end, small)
    return others is not None and _signature(kinds, shells) == _signature(symbols(end), others)


def _small_shells(kinds: Sequence[str], sizes: Sequence[int]) -> dict[str, list[int]]:
    """Sizes of the shells that belong to the type, by element; the least where none is small."""
    pairs = list(zip(kinds, sizes, strict=True))
    chosen = {kind for kind, size in pairs if SMALL[0] <= size <= SMALL[1]}
    if not chosen:
        chosen = {kind for kind, size in pairs if size == min(sizes)}
    return {k: sorted({size for kind, size in pairs if kind == k}) for k in sorted(chosen)}


def _closed_shells(end: Structure, small: Mapping[str, Sequence[int]]) -> list[Shell | None] | None:
    """Shells of the elements that have small ones, of the size that fits; None if one is open."""
    shells: list[Shell | None] = []
    for kind, neighbours in zip(symbols(end), _neighbours(end), strict=True):
        if kind not in small:
            shells.append(None)
            continue
        size = max(small[kind], key=neighbours.gap)
        if not _is_closed(neighbours, size):
            return None
        shells.append(tuple(neighbours.atoms[:size]))
    return shells


def _shares(structure: Structure) -> dict[str, float]:
    """Share of each element, rounded."""
    counts = Counter(symbols(structure))
    return {kind: round(count / len(structure), 6) for kind, count in counts.items()}


def _first_gap(neighbours: _Neighbours) -> int:
    """Atoms before the first wide gap; all if there is none."""
    count = len(neighbours.distances)
    return next((n for n in range(1, count) if neighbours.gap(n) >= GAP), count)


def _is_closed(neighbours: _Neighbours, size: int) -> bool:
    """Whether so many atoms are there, with a wider gap behind them than among them."""
    if size > len(neighbours.distances):
        return False
    inner = max((neighbours.gap(n) for n in range(1, size)), default=1.0)
    return neighbours.gap(size) > inner


def _signature(kinds: Sequence[str], shells: Sequence[Shell | None]) -> dict[object, float]:
    """Share of atoms with each polyhedron: centre, corners, and what it shares with others.

    Polyhedra of one kind of element are compared among each other: that an oxygen shares atoms with
    an octahedron around it says nothing.
    """
    centres: dict[tuple[str, int], list[tuple[int, NDArray[np.int64]]]] = defaultdict(list)
    for centre, shell in enumerate(shells):
        for atom, image in shell or ():
            centres[kinds[centre], atom].append((centre, np.array(image)))
    found: Counter[object] = Counter()
    for centre, shell in enumerate(shells):
        if shell is None:
            continue
        shared: Counter[tuple[int, ...]] = Counter()
        for atom, image in shell:
            for other, there in centres[kinds[centre], atom]:
                away = tuple((np.array(image) - there).tolist())
                if other != centre or any(away):
                    shared[other, *away] += 1
        corners = Counter(kinds[atom] for atom, _ in shell)
        sharing = Counter(shared.values())
        key = (kinds[centre], *(tuple(sorted(part.items())) for part in (corners, sharing)))
        found[key] += 1
    return {key: round(count / len(kinds), 6) for key, count in found.items()}


def _neighbours(structure: Structure) -> list[_Neighbours]:
    """Neighbours of the other sign of each atom; of any kind where all have one sign."""
    signs = _signs(structure)
    for reach in REACH:
        found = _within(structure, signs, reach)
        if all(len(item.atoms) > SMALL[1] for item in found):
            break
    return found


def _within(structure: Structure, signs: NDArray[np.bool_], reach: float) -> list[_Neighbours]:
    crystals = Crystals.from_structures([structure])
    neighbors = neighbor_list(crystals, reach)
    edges, shifts = neighbors.full()
    half = neighbors.vectors(crystals).norm(dim=1)
    distances = torch.cat([half, half]).numpy()
    i, j = edges.numpy()
    other = np.ones(len(i), dtype=bool) if signs.all() or not signs.any() else signs[i] != signs[j]
    rows = np.flatnonzero(other)
    rows = rows[np.lexsort((distances[rows], i[rows]))]
    bounds = np.searchsorted(i[rows], np.arange(len(structure) + 1))
    images = shifts.numpy()
    found = []
    for first, last in pairwise(bounds):
        own = rows[first:last]
        atoms = [(int(j[k]), tuple(int(x) for x in images[k])) for k in own]
        found.append(_Neighbours(atoms, distances[own]))  # type: ignore[arg-type]
    return found


def _signs(structure: Structure) -> NDArray[np.bool_]:
    """Which atoms are anions: by oxidation states, else by the widest gap of electronegativity."""
    states = charges(structure)
    if states is not None and any(states):
        return np.array(states) < 0
    names = symbols(structure)
    values = sorted({float(Element(name).X) for name in names})
    if len(values) == 1:
        return np.zeros(len(names), dtype=bool)
    widest = int(np.argmax(np.diff(values)))
    border = (values[widest] + values[widest + 1]) / 2
    return np.array([float(Element(name).X) > border for name in names])
