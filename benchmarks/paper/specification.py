"""Rows of tables 2 to 7 of arXiv:2410.08562: what is asked, what counts, what the paper reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FORMATION = "formation_energy < -0.5"
HULL = "energy_above_hull < 0.5"
TOLERANCE = "0.8 <= tolerance_factor <= 1.0"

MAX_SEED_ATOMS = 10
SEEDS = 64
"""Crystals of the database that serve as free templates; the candidates are dealt over them."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One search: every method solves it on the same predictor with n · steps predictor calls.

    Attributes:
        name: Of the folder of results.
        targets: What the search asks for.
        success: What counts as a success where successes are counted during the search; empty for
            the targets.
        data: Table of the seeds, in the folder of the data; None for the perovskite.
        repeat: Perovskite cells along each axis.
        n: Candidates.
        steps: Predictor calls per candidate.
        oxidation_table: "common" or "smact".
    """

    name: str
    targets: tuple[str, ...]
    success: tuple[str, ...] = ()
    data: str | None = None
    repeat: int = 1
    n: int = 256
    steps: int = 200
    oxidation_table: Literal["common", "smact"] = "common"

    @property
    def counted(self) -> tuple[str, ...]:
        """What counts as a success during the search."""
        return self.success or self.targets

    @property
    def keeps_template(self) -> bool:
        """Whether keeping the template is a criterion (E of the paper)."""
        return self.data is None

    @property
    def enumerable(self) -> bool:
        """Whether relaxing every composition is possible."""
        return self.data is None and self.repeat == 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of a table of the paper.

    Attributes:
        table: Of the paper.
        name: In words.
        problem: What is searched.
        criteria: Targets that a crystal must meet, beside being neutral and, for perovskites,
            keeping the template.
        paper: Success rates that the paper reports, by method.
    """

    table: int
    name: str
    problem: Problem
    criteria: tuple[str, ...]
    paper: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Short name, unique among the rows."""
        return f"{self.table}: {self.name}"


ALIGNN, CRYSTALFORMER = "SMOACS (ALIGNN)", "SMOACS (Crystalformer)"

SUPERCONDUCTOR = Problem(
    name="tc",
    targets=("maximize critical_temperature",),
    success=("critical_temperature > 10",),
    data="jarvis_supercon.parquet",
    oxidation_table="smact",
)


def _tc(kelvin: int, ours: float, rival: float) -> Row:
    return Row(
        table=2,
        name=f"T_c > {kelvin} K",
        problem=SUPERCONDUCTOR,
        criteria=(f"critical_temperature > {kelvin}",),
        paper={ALIGNN: ours, "CDVAE": rival},
    )


def _gap(gap: float) -> str:
    return f"band_gap = {gap} ± 0.2"


def _wide(gap: float, alignn: float, crystalformer: float) -> Row:
    problem = Problem(name=f"wide-{gap}", targets=(_gap(gap),), data="megnet_mp2018.parquet")
    return Row(
        table=3,
        name=f"gap {gap} ± 0.2 eV, any crystal",
        problem=problem,
        criteria=problem.targets,
        paper={ALIGNN: alignn, CRYSTALFORMER: crystalformer, "CDVAE (at most)": 0.03},
    )


def _perovskite(gap: float, paper: Mapping[str, float]) -> Row:
    problem = Problem(name=f"perovskite-{gap}", targets=(_gap(gap), FORMATION, TOLERANCE))
    return Row(
        table=4,
        name=f"perovskite, gap {gap} ± 0.2 eV",
        problem=problem,
        criteria=problem.targets,
        paper=paper,
    )


def _large(gap: float, alignn: float, crystalformer: float) -> Row:
    problem = Problem(
        name=f"135-atoms-{gap}", targets=(_gap(gap), FORMATION, TOLERANCE), repeat=3, n=128
    )
    return Row(
        table=5,
        name=f"135 atoms, gap {gap} ± 0.2 eV",
        problem=problem,
        criteria=problem.targets,
        paper={ALIGNN: alignn, CRYSTALFORMER: crystalformer, "best rival": 0.0},
    )


def _hull(gap: float, alignn: float) -> Row:
    problem = Problem(name=f"hull-{gap}", targets=(_gap(gap), HULL, TOLERANCE))
    return Row(
        table=6,
        name=f"perovskite, gap {gap} ± 0.2 eV, E_hull < 0.5",
        problem=problem,
        criteria=problem.targets,
        paper={ALIGNN: alignn},
    )


def _bulk(modulus: int, alignn: float) -> Row:
    targets = (f"bulk_modulus = {modulus} ± 10", FORMATION, TOLERANCE)
    problem = Problem(name=f"bulk-{modulus}", targets=targets)
    return Row(
        table=7,
        name=f"perovskite, bulk modulus {modulus} ± 10 GPa",
        problem=problem,
        criteria=targets,
        paper={ALIGNN: alignn},
    )


ROWS: tuple[Row, ...] = (
    _tc(3, 1.00, 0.43),
    _tc(5, 0.92, 0.22),
    _tc(10, 0.54, 0.03),
    _tc(15, 0.25, 0.02),
    _wide(3.5, 0.70, 0.65),
    _wide(4.0, 0.67, 0.67),
    _wide(4.5, 0.64, 0.65),
    _wide(5.0, 0.61, 0.67),
    _perovskite(0.5, {ALIGNN: 0.20, CRYSTALFORMER: 0.23, "TPE": 0.09, "FTCP, CDVAE": 0.0}),
    _perovskite(2.5, {ALIGNN: 0.39, CRYSTALFORMER: 0.24, "TPE": 0.06}),
    _large(4.0, 0.42, 0.03),
    _large(5.0, 0.35, 0.04),
    _hull(4.0, 0.52),
    _hull(4.5, 0.54),
    _hull(5.0, 0.51),
    _bulk(120, 0.31),
    _bulk(160, 0.34),
    _bulk(200, 0.10),
)
