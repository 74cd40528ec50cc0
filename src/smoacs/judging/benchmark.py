"""The rows of tables 2 to 7 of arXiv:2410.08562: what counts as a success, and what was reported.

Any list of crystals can be judged by them; docs/benchmarks.md compares searches on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import pandas as pd

from smoacs.errors import InputError

FORMATION = "formation_energy < -0.5"
HULL = "energy_above_hull < 0.5"
TOLERANCE = "0.8 <= tolerance_factor <= 1.0"

ALIGNN, CRYSTALFORMER = "SMOACS (ALIGNN)", "SMOACS (Crystalformer)"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One row of a table of the paper.

    Attributes:
        name: Of the row, such as "perovskite-2.5".
        table: Of the paper.
        targets: That a crystal must meet, beside being neutral and keeping the template.
        template: To be kept (criterion E of the paper); None for crystals of any kind.
        repeat: Cells of the template along each axis.
        oxidation_table: By which crystals are neutral.
        reported: Success rates of the paper, by method.
    """

    name: str
    table: int
    targets: tuple[str, ...]
    template: str | None = None
    repeat: int = 1
    oxidation_table: Literal["common", "smact"] = "common"
    reported: Mapping[str, float]


def _tc(kelvin: int, alignn: float, cdvae: float) -> Benchmark:
    return Benchmark(
        name=f"tc-{kelvin}",
        table=2,
        targets=(f"critical_temperature > {kelvin}",),
        oxidation_table="smact",
        reported={ALIGNN: alignn, "CDVAE": cdvae},
    )


def _wide(gap: float, alignn: float, crystalformer: float) -> Benchmark:
    return Benchmark(
        name=f"wide-{gap}",
        table=3,
        targets=(f"band_gap = {gap} ± 0.2",),
        reported={ALIGNN: alignn, CRYSTALFORMER: crystalformer, "CDVAE (at most)": 0.03},
    )


def _gap(gap: float, reported: Mapping[str, float]) -> Benchmark:
    return Benchmark(
        name=f"perovskite-{gap}",
        table=4,
        targets=(f"band_gap = {gap} ± 0.2", FORMATION, TOLERANCE),
        template="perovskite",
        reported=reported,
    )


def _large(gap: float, alignn: float, crystalformer: float) -> Benchmark:
    return Benchmark(
        name=f"135-atoms-{gap}",
        table=5,
        targets=(f"band_gap = {gap} ± 0.2", FORMATION, TOLERANCE),
        template="perovskite",
        repeat=3,
        reported={ALIGNN: alignn, CRYSTALFORMER: crystalformer, "best rival": 0.0},
    )


def _hull(gap: float, alignn: float) -> Benchmark:
    return Benchmark(
        name=f"hull-{gap}",
        table=6,
        targets=(f"band_gap = {gap} ± 0.2", HULL, TOLERANCE),
        template="perovskite",
        reported={ALIGNN: alignn},
    )


def _bulk(modulus: int, alignn: float) -> Benchmark:
    return Benchmark(
        name=f"bulk-{modulus}",
        table=7,
        targets=(f"bulk_modulus = {modulus} ± 10", FORMATION, TOLERANCE),
        template="perovskite",
        reported={ALIGNN: alignn},
    )


_ROWS = (
    _tc(3, 1.00, 0.43),
    _tc(5, 0.92, 0.22),
    _tc(10, 0.54, 0.03),
    _tc(15, 0.25, 0.02),
    _wide(3.5, 0.70, 0.65),
    _wide(4.0, 0.67, 0.67),
    _wide(4.5, 0.64, 0.65),
    _wide(5.0, 0.61, 0.67),
    _gap(0.5, {ALIGNN: 0.20, CRYSTALFORMER: 0.23, "TPE": 0.09, "FTCP, CDVAE": 0.0}),
    _gap(2.5, {ALIGNN: 0.39, CRYSTALFORMER: 0.24, "TPE": 0.06}),
    _large(4.0, 0.42, 0.03),
    _large(5.0, 0.35, 0.04),
    _hull(4.0, 0.52),
    _hull(4.5, 0.54),
    _hull(5.0, 0.51),
    _bulk(120, 0.31),
    _bulk(160, 0.34),
    _bulk(200, 0.10),
)

BENCHMARKS: Mapping[str, Benchmark] = {row.name: row for row in _ROWS}
"""All rows by name, in the order of the tables."""


def benchmark(name: str) -> Benchmark:
    """The row of a name.

    Raises:
        InputError: There is none; the nearest is suggested.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    nearest = get_close_matches(name, BENCHMARKS, n=1, cutoff=0.4)
    hint = f' (did you mean "{nearest[0]}"?)' if nearest else ""
    raise InputError(f'no benchmark "{name}"{hint}; there are {", ".join(BENCHMARKS)}')


def standing(row: Benchmark, table: pd.DataFrame) -> str:
    """How judged crystals do on a row, beside what the paper reports, in two sentences.

    Args:
        row: By whose criteria they were judged.
        table: What `judge` returned, a row for each crystal.
    """
    n, successes, distinct = len(table), int(table["success"].sum()), int(table["unique"].sum())
    new = ""
    if "novel" in table:
        new = f", {int((table['unique'] & table['novel']).sum())} of them new"
    rests = " at rest" if "at_rest" in table else ""
    reported = ", ".join(f"{name} {value:.2f}" for name, value in row.reported.items())
    return (
        f"{row.name}: {successes} of {n} crystals succeed{rests} ({successes / n:.2f}), with "
        f"{distinct} different formulas{new}. In table {row.table} of arXiv:2410.08562, on other "
        f"predictors: {reported}."
    )
