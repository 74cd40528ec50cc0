"""Distinct successes against predictor calls, a panel for each contest."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.paper.methods import METHODS
from benchmarks.paper.records import Record
from benchmarks.paper.specification import Problem
from benchmarks.paper.summary import CONTESTS, OURS, Contest, Size
from benchmarks.paper.tables import runs_of

COLOURS = {
    "default": "black",
    "no-rest": "tab:red",
    "paper": "tab:pink",
    "exhaustive": "tab:cyan",
    "random": "tab:gray",
    "tpe": "tab:blue",
    "tpe-unfiltered": "tab:olive",
    "cma": "tab:green",
    "ga": "tab:orange",
    "vae": "tab:purple",
}
"""A rival has the colour of its kind, whether it relaxes or not."""

FIRST_CALLS = 100
"""Where the axis of calls begins."""


def draw(problem: Problem, records: Sequence[Record], size: Size, path: Path) -> bool:
    """Draw a problem's runs with one budget, a line per seed; False if there are none."""
    runs = runs_of(problem, records, size)
    shown = [
        (contest, own)
        for contest in CONTESTS
        if (own := {m: r for m, r in runs.items() if _takes_part(m, r[0], contest)})
    ]
    if not shown:
        return False
    mpl.use("Agg")
    figure, axes = plt.subplots(
        1,
        len(shown),
        figsize=(1.5 + 4.2 * len(shown), 3.6),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axis, (contest, own) in zip(axes[0], shown, strict=True):
        _panel(axis, contest, own)
    axes[0, 0].set_ylabel("distinct successes found")
    n, steps = size
    figure.suptitle(f"{problem.name}, {n} × {steps} calls", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _takes_part(method: str, record: Record, contest: Contest) -> bool:
    return method in contest.methods and contest.found in record


def _panel(axis: Axes, contest: Contest, runs: dict[str, list[Record]]) -> None:
    for method in (m for m in METHODS if m in runs):
        for k, run in enumerate(runs[method]):
            found = run[contest.found]
            if not found["total"]:
                continue
            calls = [*found["calls"], run["calls"]]
            distinct = [*found["distinct"], found["total"]]
            axis.plot(
                calls,
                distinct,
                drawstyle="steps-post",
                color=COLOURS.get(method) or COLOURS[method.removesuffix("-rest")],
                linewidth=2.2 if method == OURS else 1.2,
                label=method if k == 0 else None,
                zorder=3 if method == OURS else 2,
            )
    axis.set_xlabel("predictor calls")
    axis.set_xscale("log")
    axis.set_xlim(left=FIRST_CALLS)
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.9)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        scale.set_minor_formatter(NullFormatter())
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper left", fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(contest.words, fontsize=9)
