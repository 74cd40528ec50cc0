"""The crystals of a run as compact arrays, and what is needed to draw them."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import ase
import ase.io
import numpy as np
import spglib
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

MAX_ATOMS = 120_000
"""Atoms that a report holds at most, about 4 MB; crystals beyond it, the worst, are not drawn."""

ANY_SITE = "all sites"
"""Kind of the sites of a run that does not tell its kinds."""

SYMPREC = 0.01
"""Å. Tolerance of the conventional cell, that of the space groups in the table."""

_DECIMALS = 7
"""Of lattice vectors (Å) and fractional coordinates: closer than structures.extxyz is."""


def read_frames(path: Path) -> dict[str, ase.Atoms]:
    """Read structures.extxyz.

    Returns:
        The frames by the name of their CIF file.
    """
    if not path.stat().st_size:  # no candidate was finite
        return {}
    return {str(frame.info["structure_file"]): frame for frame in ase.io.iread(path, index=":")}


def pack(
    frames: Iterable[ase.Atoms | None], site_labels: tuple[str, ...] | None
) -> dict[str, object]:
    """Write crystals as numbers that refer to shared lists.

    Args:
        frames: A crystal for each row of the table, best first; None where there is none.
        site_labels: Kind of each site, in the order of the atoms; None if unknown.

    Returns:
        `species` and `sites`, the lists; `elements`, how to draw each of the species; `symbols`,
        all elements; `crystals`, for each frame None or the `cell` (row vectors, Å, 9 numbers),
        `frac` (3 N), `kinds` (N indices into `species`), `states` (N oxidation states or None),
        `places` (N indices into `sites`), and `conventional`: None where the crystal is in its
        conventional cell or has no larger one, else that one's `cell`, `frac` and `from`, for each
        of its atoms the one of the N that it is an image of.
    """
    species: dict[str, int] = {}
    sites: dict[str, int] = {}
    crystals: list[dict[str, object] | None] = []
    room = MAX_ATOMS
    for frame in frames:
        room -= 0 if frame is None else len(frame)
        if frame is None or room < 0:
            crystals.append(None)
            continue
        labels = site_labels if site_labels and len(site_labels) == len(frame) else None
        states = frame.arrays.get("oxidation_states")
        crystals.append(
            {
                "cell": _numbers(frame.cell.array),
                "frac": _numbers(frame.get_scaled_positions(wrap=False)),
                "kinds": [_index(species, name) for name in frame.get_chemical_symbols()],
                "states": None if states is None else _numbers(states),
                "places": [_index(sites, name) for name in labels or [ANY_SITE] * len(frame)],
                "conventional": _conventional(frame),
            }
        )
    return {
        "species": list(species),
        "sites": list(sites),
        "elements": {name: appearance(name) for name in species},
        "symbols": chemical_symbols[1:],
        "crystals": crystals,
    }


def _conventional(frame: ase.Atoms) -> dict[str, list[float | int]] | None:
    """The conventional cell of a crystal, made symmetric; None if it is no larger than the given.

    In spglib's data set atoms of both cells that are images of each other have the same number in
    the primitive cell.
    """
    states = frame.arrays.get("oxidation_states", np.zeros(len(frame)))
    kinds = np.unique(np.stack([frame.numbers, states]), axis=1, return_inverse=True)[1].ravel()
    cell = (frame.cell.array.tolist(), frame.get_scaled_positions().tolist(), kinds.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    if found is None or len(found.std_positions) <= len(frame):
        return None
    first: dict[int, int] = {}
    for atom, number in enumerate(found.mapping_to_primitive):
        first.setdefault(int(number), atom)
    return {
        "cell": _numbers(found.std_lattice),
        "frac": _numbers(found.std_positions),
        "from": [first[int(number)] for number in found.std_mapping_to_primitive],
    }


def appearance(symbol: str) -> Mapping[str, object]:
    """Colour (Jmol's) and covalent radius (Å; Cordero et al. 2008, through ASE) of an element."""
    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * float(part)) for part in jmol_colors[number])
    return {
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "radius": round(float(covalent_radii[number]), 2),
    }


def _index(known: dict[str, int], name: str) -> int:
    return known.setdefault(name, len(known))


def _numbers(array: np.ndarray) -> list[float | int]:
    """Flatten and round; whole numbers lose their point, which takes room."""
    rounded = np.round(np.asarray(array, dtype=float), _DECIMALS).ravel().tolist()
    return [int(value) if value == int(value) else value for value in rounded]
