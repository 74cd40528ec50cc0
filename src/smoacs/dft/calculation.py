"""One calculation as plain data: what an engine is given, and what it gives back."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.chemistry import neutral_assignment
from smoacs.dft.settings import DftSettings, Functional
from smoacs.dft.shells import hubbard_values, is_magnetic_metal, unpaired_electrons
from smoacs.errors import InputError, SmoacsError

HARD_ELEMENTS: Final = frozenset({"N", "O", "F"})
"""Elements whose PAW data need `DftSettings.hard_cutoff` for a pressure (measured: docs/dft.md)."""

_LENGTH_DIGITS: Final = 4
_COORD_DIGITS: Final = 5
_UNKNOWN_MOMENT: Final = 5.0
"""Start (µB) for a d or f metal of unknown charge, as the Materials Project has it."""


class DftError(SmoacsError):
    """A calculation gave no result; the message is the reason that gets recorded."""


@dataclass(frozen=True, kw_only=True)
class Calculation:
    """Everything that the result of a calculation depends on, in numbers rounded to the digit.

    Attributes:
        symbols: Element of each atom.
        lattice: Lengths (Å) and angles (degrees), [6].
        frac_coords: Fractional coordinates, [N][3].
        functional: Exchange and correlation.
        cutoff: Plane-wave cutoff (eV).
        kpoints: Size of the Γ-centred grid, [3].
        smearing: Width (eV) of the Fermi-Dirac occupations.
        spin_polarized: Whether the two spins differ.
        moments: Start of the magnetic moment of each atom (µB), [N].
        hubbard_u: U (eV) on the d shell by element.
        max_iterations: Most iterations of the self-consistency cycle.
    """

    symbols: tuple[str, ...]
    lattice: tuple[float, ...]
    frac_coords: tuple[tuple[float, ...], ...]
    functional: Functional
    cutoff: float
    kpoints: tuple[int, int, int]
    smearing: float
    spin_polarized: bool
    moments: tuple[float, ...]
    hubbard_u: Mapping[str, float]
    max_iterations: int

    @property
    def key(self) -> str:
        """Name of the calculation in a cache: the same for the same crystal and settings."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:24]

    @property
    def cell(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Lattice vectors in rows (Å), [3, 3], in pymatgen's standard orientation."""
        return np.array(Lattice.from_parameters(*self.lattice).matrix)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The calculation of a line of JSON."""
        data = json.loads(text)
        for name in ("symbols", "lattice", "kpoints", "moments"):
            data[name] = tuple(data[name])
        data["frac_coords"] = tuple(tuple(row) for row in data["frac_coords"])
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class DftValues:
    """Results of a converged calculation at fixed geometry.

    Attributes:
        band_gap: Smallest gap between any two k-points of the grid (eV), 0 for metals.
        band_gap_direct: Smallest gap at one k-point of the grid (eV), 0 for metals.
        energy_per_atom: Total energy (eV/atom) extrapolated to zero smearing, relative to the
            engine's reference atoms; compare only within one engine and one cutoff.
        pressure: -⅓ of the trace of the stress (GPa), positive where the crystal wants to
            expand; None if the engine has no stress for this kind of calculation.
        stress: xx, yy, zz, yz, xz, xy (GPa), positive under tension, in `Calculation.cell`'s
            axes; None likewise.
        forces: Force on each atom (eV/Å), [N][3], in the same axes.
        max_force: Largest norm of a force (eV/Å).
        magnetic_moment: Of the whole cell (µB).
        spin_polarized: Whether the two spins were allowed to differ.
        hubbard_u: U (eV) on the d shell by element, empty if there was none.
        cutoff: Plane-wave cutoff (eV).
        kpoints: Size of the k-point grid, [3].
        iterations: Iterations until self-consistency; 0 where the engine does not say.
        engine: Name and version of the program.
    """

    band_gap: float
    band_gap_direct: float
    energy_per_atom: float
    pressure: float | None
    stress: tuple[float, ...] | None
    forces: tuple[tuple[float, ...], ...]
    max_force: float
    magnetic_moment: float
    spin_polarized: bool
    hubbard_u: Mapping[str, float]
    cutoff: float
    kpoints: tuple[int, ...]
    iterations: int
    engine: str

    def __post_init__(self) -> None:
        """Check that the numbers are numbers.

        Raises:
            DftError: One is infinite or not a number.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise DftError(f"{field.name} is {value}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Values read from JSON, in which tuples are lists."""
        plain = dict(data)
        plain["kpoints"] = tuple(plain["kpoints"])
        plain["forces"] = tuple(tuple(row) for row in plain["forces"])
        if plain["stress"] is not None:
            plain["stress"] = tuple(plain["stress"])
        return cls(**plain)


def plan_calculation(structure: Structure, settings: DftSettings) -> Calculation:
    """What to calculate for a structure: the settings' rules applied to its elements and cell.

    Charges, which decide on spin, are those that the structure's sites carry, else those of its
    neutral composition; without either, every d or f metal counts as magnetic.

    Raises:
        InputError: The structure has partly occupied or empty sites.
    """
    if not structure.is_ordered or len(structure) == 0:
        raise InputError(f"{structure.formula or 'a structure'}: DFT needs one element per site")
    symbols = tuple(str(site.specie.symbol) for site in structure)
    unpaired = _unpaired(structure, symbols)
    spin = settings.spin == "on" or (settings.spin == "auto" and any(unpaired))
    hard = not HARD_ELEMENTS.isdisjoint(symbols)
    frac = np.round(np.asarray(structure.frac_coords), _COORD_DIGITS) % 1.0
    return Calculation(
        symbols=symbols,
        lattice=tuple(round(float(x), _LENGTH_DIGITS) for x in structure.lattice.parameters),
        frac_coords=tuple(tuple(float(x) for x in row) for row in frac),
        functional=settings.functional,
        cutoff=float(settings.hard_cutoff if hard else settings.cutoff),
        kpoints=_kpoints(structure.lattice, settings.kpoint_density),
        smearing=float(settings.smearing),
        spin_polarized=spin,
        moments=unpaired if spin else (0.0,) * len(symbols),
        hubbard_u=hubbard_values(symbols) if settings.hubbard_u == "materials-project" else {},
        max_iterations=settings.max_iterations,
    )


def _unpaired(structure: Structure, symbols: tuple[str, ...]) -> tuple[float, ...]:
    """Unpaired electrons of each ion, [N]."""
    charges: list[Any] = [getattr(site.specie, "oxi_state", None) for site in structure]
    if None not in charges:
        pairs = zip(symbols, charges, strict=True)
        return tuple(float(unpaired_electrons(symbol, round(q))) for symbol, q in pairs)
    counts = {symbol: symbols.count(symbol) for symbol in symbols}
    assignment = neutral_assignment(counts)
    if assignment is None or len(counts) == 1:
        return tuple(_UNKNOWN_MOMENT * is_magnetic_metal(symbol) for symbol in symbols)
    most = {
        symbol: max(unpaired_electrons(symbol, charge) for charge in states)
        for symbol, states in assignment.items()
    }
    return tuple(float(most[symbol]) for symbol in symbols)


def _kpoints(lattice: Lattice, density: float) -> tuple[int, int, int]:
    """Smallest even grid of at least this density."""
    lengths = np.asarray(lattice.reciprocal_lattice_crystallographic.abc)
    n = 2 * np.maximum(np.ceil(density * lengths / 2.0 - 1e-9), 1.0).astype(int)
    return int(n[0]), int(n[1]), int(n[2])
