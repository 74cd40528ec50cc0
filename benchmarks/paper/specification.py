"""Rows of tables 2 to 7 of arXiv:2410.08562: what is asked, what counts, what the paper reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from smoacs.judging import BENCHMARKS, Benchmark

TABLE_OF_TC = 2
"""One search answers all its rows: the temperature is maximised."""

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


SUPERCONDUCTOR = Problem(
    name="tc",
    targets=("maximize critical_temperature",),
    success=("critical_temperature > 10",),
    data="jarvis_supercon.parquet",
    oxidation_table="smact",
)


def _problem(row: Benchmark) -> Problem:
    if row.table == TABLE_OF_TC:
        return SUPERCONDUCTOR
    data = None if row.template else "megnet_mp2018.parquet"
    n = 128 if row.repeat > 1 else 256
    return Problem(name=row.name, targets=row.targets, data=data, repeat=row.repeat, n=n)


def _words(row: Benchmark) -> str:
    """The row's name as the tables of the page have it."""
    value = row.name.rsplit("-", 1)[1]
    return {
        2: f"T_c > {value} K",
        3: f"gap {value} ± 0.2 eV, any crystal",
        4: f"perovskite, gap {value} ± 0.2 eV",
        5: f"135 atoms, gap {value} ± 0.2 eV",
        6: f"perovskite, gap {value} ± 0.2 eV, E_hull < 0.5",
        7: f"perovskite, bulk modulus {value} ± 10 GPa",
    }[row.table]


ROWS: tuple[Row, ...] = tuple(
    Row(
        table=row.table,
        name=_words(row),
        problem=_problem(row),
        criteria=row.targets,
        paper=row.reported,
    )
    for row in BENCHMARKS.values()
)
