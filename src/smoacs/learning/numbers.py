"""What a round has shown, and when there is no use in another one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

import pandas as pd

from smoacs.learning.settings import BEST, LearnSettings

LOW_PRESSURE: Final = 5.0
"""GPa; designs at less are near rest."""

_HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class RoundNumbers:
    """A round in numbers; None where nothing was calculated.

    Attributes:
        round: From 0; that round's designs are by the weights that all rounds before have tuned.
        candidates: Designed.
        success_rate: Share of them that are successes, as predicted.
        new_successes: Distinct ones whose formula was not labelled before.
        labelled: How many of these were calculated.
        failed: How many calculations gave nothing.
        confirmed: How many gaps are within the tolerance of the target.
        confirmed_share: Of the labelled; a failed calculation confirms nothing.
        best_share: Confirmed of those that were chosen as the best: what a user would take.
        explored_share: Confirmed of those that were chosen to learn from, as uncertain or far.
        known_share: Confirmed of the distinct successes whose formula was labelled in this or an
            earlier round. Where few compositions exist, a new label is of what was left over, and
            this share says how good all are that the round proposes.
        gap_mae: Mean absolute difference of the predicted and calculated gap (eV).
        gap_median_error: Its median (eV).
        median_pressure: Median of the absolute calculated pressure (GPa).
        low_pressure_share: Share of pressures below 5 GPa.
        core_hours: CPU hours of the round's calculations.
        total_core_hours: Those of all rounds up to this one.
        seconds: Time that the round took, without breaks, as far as one sitting did it.
    """

    round: int
    candidates: int
    success_rate: float
    new_successes: int
    labelled: int
    failed: int
    confirmed: int
    confirmed_share: float | None
    best_share: float | None = None
    explored_share: float | None = None
    known_share: float | None = None
    gap_mae: float | None
    gap_median_error: float | None
    median_pressure: float | None
    low_pressure_share: float | None
    core_hours: float
    total_core_hours: float
    seconds: float = field(default=0.0)

    @classmethod
    def of(
        cls,
        designs: pd.DataFrame,
        before: Sequence[Self],
        *,
        candidates: int,
        success_rate: float,
        new_successes: int,
        known_share: float | None,
        seconds: float,
    ) -> Self:
        """Count.

        Args:
            designs: What `design_table` gives.
            before: The rounds before.
            candidates: See the class.
            success_rate: See the class.
            new_successes: See the class.
            known_share: See the class.
            seconds: See the class.
        """
        n = len(designs)
        is_best = designs["chosen_for"] == BEST
        confirmed = int(designs["confirmed"].sum()) if n else 0
        error = (designs["band_gap"] - designs["dft_band_gap"]).abs().dropna() if n else None
        pressure = designs["dft_pressure"].abs().dropna() if n else None
        hours = float(designs["dft_seconds"].sum()) / _HOUR if n else 0.0
        earlier = before[-1].total_core_hours if before else 0.0
        return cls(
            round=len(before),
            candidates=candidates,
            success_rate=success_rate,
            new_successes=new_successes,
            labelled=n,
            failed=int((designs["dft_status"] != "ok").sum()) if n else 0,
            confirmed=confirmed,
            confirmed_share=confirmed / n if n else None,
            best_share=_share(designs[is_best]),
            explored_share=_share(designs[~is_best]),
            known_share=known_share,
            gap_mae=_statistic(error, "mean"),
            gap_median_error=_statistic(error, "median"),
            median_pressure=_statistic(pressure, "median"),
            low_pressure_share=None
            if pressure is None or pressure.empty
            else float((pressure < LOW_PRESSURE).mean()),
            core_hours=hours,
            total_core_hours=earlier + hours,
            seconds=round(seconds, 1),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Numbers read from JSON."""
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def stop_reason(rounds: Sequence[RoundNumbers], settings: LearnSettings) -> str | None:
    """Why no other round begins; None if one does."""
    if not rounds:
        return None
    last = rounds[-1]
    if last.labelled == 0 and last.new_successes == 0:
        return _nothing_left(rounds)
    if budget_spent(last.total_core_hours, settings):
        return f"the budget of {settings.core_hours:g} core hours is spent"
    if len(rounds) >= settings.rounds:
        return f"all {settings.rounds} rounds are done"
    shares = [_rising(item) for item in rounds]
    since_best = len(shares) - 1 - shares.index(max(shares))
    if since_best >= settings.patience:
        return f"the confirmed share has not risen for {since_best} rounds"
    return None


def _nothing_left(rounds: Sequence[RoundNumbers]) -> str:
    """Why the last round had nothing new to label."""
    if rounds[-1].success_rate == 0:
        return "no candidate of the last round succeeds: widen the targets, or design more of them"
    known = sum(item.labelled for item in rounds)
    return (
        f"all distinct successes of the last round are among the {known} labelled: the "
        "compositions that the template and the targets allow are used up; widen the targets, "
        "allow more elements, or design more candidates"
    )


def known_share(successes: Sequence[str], labelled: Sequence[tuple[str, bool]]) -> float | None:
    """Confirmed share of the successes with a label.

    Args:
        successes: Their reduced formulas.
        labelled: Reduced formula of each label so far, and whether it confirmed its design.
    """
    verdicts = dict(labelled)
    known = [verdicts[formula] for formula in successes if formula in verdicts]
    return sum(known) / len(known) if known else None


def _rising(numbers: RoundNumbers) -> float:
    """The share that is to rise: of the best, if any were chosen as such."""
    share = numbers.confirmed_share if numbers.best_share is None else numbers.best_share
    return share or 0.0


def budget_spent(core_hours: float, settings: LearnSettings) -> bool:
    """Whether no other calculation may begin."""
    return settings.core_hours is not None and core_hours >= settings.core_hours


def _share(designs: pd.DataFrame) -> float | None:
    return float(designs["confirmed"].astype(bool).mean()) if len(designs) else None


def _statistic(values: "pd.Series[float] | None", name: str) -> float | None:
    return None if values is None or values.empty else float(values.agg(name))
