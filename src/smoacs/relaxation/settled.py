"""How crystals are settled, and what is told of those that were."""

from dataclasses import dataclass
from typing import Final

from pymatgen.core import Structure

from smoacs.errors import InputError

RANGES: Final = {
    "supercell": (1.0, 30.0),
    "fmax": (1e-5, 1.0),
    "end_fmax": (1e-5, 1.0),
    "displacement": (1e-3, 0.2),
    "threshold": (-10.0, 0.0),
    "max_steps": (1, 10_000),
    "rattle": (0.0, 0.5),
    "strain": (0.0, 0.1),
    "starts": (1, 100),
    "follow": (0, 10),
    "max_atoms": (1, 2000),
    "cost": (0.0, 0.1),
    "seed": (0, 2**63 - 1),
}
"""Of the settings, in their units."""


@dataclass(frozen=True)
class SettleSettings:
    """How crystals are settled.

    Attributes:
        supercell: Least length of the axes of supercells whose vibrations are looked at, Å.
        fmax: Largest force at which a free relaxation ends, eV/Å.
        end_fmax: The same of parents, and of ends in their smallest cell.
        displacement: Of atoms for the force constants, Å.
        threshold: Frequency below which a crystal is unstable, THz; imaginary ones are negative.
        max_steps: Of a relaxation.
        rattle: Mean length of the random displacements of a start, Å.
        strain: Standard deviation of its random strain.
        starts: Free relaxations of an unstable crystal.
        follow: How often an end that is unstable itself is followed further.
        max_atoms: Of a supercell for vibrations; larger ones are not tried.
        cost: What the smaller, more symmetric cell of an end may cost, eV/atom.
        seed: Of the random numbers; each crystal has its own.
    """

    supercell: float = 7.5
    fmax: float = 0.01
    end_fmax: float = 0.003
    displacement: float = 0.01
    threshold: float = -0.1
    max_steps: int = 200
    rattle: float = 0.05
    strain: float = 0.01
    starts: int = 2
    follow: int = 2
    max_atoms: int = 200
    cost: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InputError: A setting is out of range.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} ({value:g}) must be from {low:g} to {high:g}")


@dataclass(frozen=True)
class Settled:
    """A crystal that was let go, and where it ended.

    Attributes:
        structure: The end in its smallest cell, Niggli-reduced and with exact symmetry, as spglib
            makes it; species (with oxidation states, if any) as given. None where settling failed.
        energy: Formation energy of the end, eV/atom.
        parent_energy: Of the parent at rest in its own symmetry, eV/atom.
        lowest_frequency: Of the end, THz, at the wave vectors that fit into a supercell; imaginary
            ones are negative. NaN if the supercell would be too large.
        parent_frequency: The same of the parent.
        parent_space_group: Number, at 0.01 Å.
        space_group: Of the end, likewise.
        converged: Whether the end is at rest.
        failure: Why there is no structure; empty otherwise.
    """

    structure: Structure | None
    energy: float
    parent_energy: float
    lowest_frequency: float
    parent_frequency: float
    parent_space_group: int
    space_group: int
    converged: bool
    failure: str = ""

    @property
    def energy_gain(self) -> float:
        """By how much the energy fell from the parent to the end, eV/atom."""
        return self.parent_energy - self.energy
