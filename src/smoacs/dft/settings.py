"""How density-functional calculations are done: accuracy, physics, limits."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

from smoacs.errors import InputError

Functional = Literal["PBE", "PBEsol"]
Spin = Literal["auto", "on", "off"]
HubbardScheme = Literal["materials-project", "none"]

_CHOICES: Final = {
    "functional": get_args(Functional),
    "spin": get_args(Spin),
    "hubbard_u": get_args(HubbardScheme),
}
_POSITIVE: Final = (
    "cutoff",
    "hard_cutoff",
    "kpoint_density",
    "smearing",
    "max_iterations",
    "time_limit",
    "memory_limit",
)
_LIMITS: Final = ("time_limit", "memory_limit")


@dataclass(frozen=True, kw_only=True)
class DftSettings:
    """Settings of a calculation at fixed geometry.

    The two cutoffs are a measured choice (docs/dft.md): the pressure of crystals with N, O or F is
    off by tens of GPa at 400 eV and by less than 0.5 GPa at 800 eV, that of all others by less
    than 0.5 GPa at 500 eV.

    Attributes:
        functional: Exchange and correlation.
        cutoff: Kinetic energy (eV) up to which plane waves are used.
        hard_cutoff: The same for crystals that hold an element of `HARD_ELEMENTS`.
        kpoint_density: Number of k-points along a reciprocal vector, divided by that vector's
            length without 2π (Å; that is, k-points times height of the cell), at least. Grids are
            even and centred on Γ, so that they hold Γ and the corners of the zone: 4×4×4 for
            cells from 3.5 to 7 Å.
        smearing: Width (eV) of the Fermi-Dirac occupations.
        spin: "auto" polarises crystals in which an ion has an open d or f shell, or an odd number
            of electrons; "on" all, "off" none.
        hubbard_u: "materials-project" adds the U values of `HUBBARD_U` in oxides and fluorides.
        max_iterations: Most iterations of the self-consistency cycle.
        time_limit: CPU seconds for one calculation.
        memory_limit: Address space (GiB) for one calculation.
    """

    functional: Functional = "PBE"
    cutoff: float = 500.0
    hard_cutoff: float = 800.0
    kpoint_density: float = 14.0
    smearing: float = 0.05
    spin: Spin = "auto"
    hubbard_u: HubbardScheme = "materials-project"
    max_iterations: int = 150
    time_limit: float = 600.0
    memory_limit: float = 8.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: A number is not positive, or a word is none of the choices.
        """
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"DFT setting {name} is {getattr(self, name)!r}; "
                    f"it is one of {', '.join(map(repr, choices))}"
                )
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"DFT setting {name} is {getattr(self, name)}; it is positive")

    @property
    def key(self) -> str:
        """Twelve characters that stand for all settings that results depend on (no limits)."""
        physics = {name: value for name, value in asdict(self).items() if name not in _LIMITS}
        return hashlib.sha256(json.dumps(physics, sort_keys=True).encode()).hexdigest()[:12]
