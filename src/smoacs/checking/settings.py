"""What to check, and how thoroughly."""

from dataclasses import dataclass, field
from typing import Final

from smoacs.checking.loading import AUTO
from smoacs.checking.phonons import PhononSettings
from smoacs.checking.potentials import RelaxSettings
from smoacs.checking.rattled import RattleSettings
from smoacs.checking.truth import GAP_TOLERANCE
from smoacs.dft import DftSettings
from smoacs.errors import InputError

NO_POTENTIAL: Final = "none"


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Which checks a run goes through.

    Attributes:
        potential: As for `load_potential`, or "none" for no relaxation.
        relaxation: Of the designs, within their own symmetry.
        rattled: Whether to let designs go from a rattled supercell, too.
        rattle: How they are shaken, and what they have to keep.
        phonons: Whether to look for unstable phonons of the relaxed crystals; None to do so where
            there is a potential.
        phonon: How they are calculated, and what is unstable.
        reference: File or OPTIMADE address of known compounds; None for no comparison.
        dft: Engine, such as "gpaw"; None for no first principles.
        dft_settings: Accuracy, physics and limits of a calculation.
        dft_tolerance: eV that a calculated gap may be off its target.
        dft_relaxed: Whether first principles see the relaxed crystal instead of the designed one.
        workers: First-principles calculations at a time.
        limit: Check only so many distinct successes, the best; None for all.
        sample: Check only so many distinct successes, drawn at random; None for all.
        seed: Of that draw.
    """

    potential: str = AUTO
    relaxation: RelaxSettings = field(default_factory=RelaxSettings)
    rattled: bool = True
    rattle: RattleSettings = field(default_factory=RattleSettings)
    phonons: bool | None = None
    phonon: PhononSettings = field(default_factory=PhononSettings)
    reference: str | None = None
    dft: str | None = None
    dft_settings: DftSettings = field(default_factory=DftSettings)
    dft_tolerance: float = GAP_TOLERANCE
    dft_relaxed: bool = False
    workers: int = 1
    limit: int | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the settings make sense together.

        Raises:
            InputError: They do not.
        """
        if self.limit is not None and self.sample is not None:
            raise InputError("give a limit or a random sample of designs, not both")
        for name in ("limit", "sample", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it is at least 1")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it is at least 0")
        if not self.dft_tolerance > 0:
            raise InputError(f"the tolerance of the gap is {self.dft_tolerance} eV; it is positive")
        if not self.relaxes and (self.phonons or self.dft_relaxed):
            what = "phonons" if self.phonons else "first principles on relaxed crystals"
            raise InputError(f"{what} need a potential that relaxes; give another than 'none'")

    @property
    def relaxes(self) -> bool:
        """Whether the designs are relaxed."""
        return self.potential != NO_POTENTIAL

    @property
    def rattles(self) -> bool:
        """Whether designs are let go from rattled supercells."""
        return self.rattled and self.relaxes

    @property
    def looks_at_phonons(self) -> bool:
        """Whether phonons are looked at."""
        if self.phonons is None:
            return self.relaxes
        return self.phonons
