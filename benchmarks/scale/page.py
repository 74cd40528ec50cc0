"""docs/scale.md and its picture, from the measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

Record = Mapping[str, float | str]

QUANTITIES: dict[tuple[str, str], tuple[str, str]] = {
    ("seeds", "cpu_s"): ("search on n seeds", "s"),
    ("seeds", "checkpoints_s"): ("its checkpoints", "s"),
    ("designs", "cpu_s"): ("run of n designs", "s"),
    ("designs", "judge_s"): ("its judging", "s"),
    ("designs", "space_groups_s"): ("its space groups", "s"),
    ("designs", "designs_db_bytes"): ("its designs.db", "MB"),
    ("designs", "show_s"): ("show one of n", "s"),
    ("designs", "export_s"): ("export 13 of n", "s"),
    ("atoms", "cpu_s"): ("judge a crystal of n atoms", "s"),
    ("atoms", "distances_s"): ("its shortest distance", "s"),
    ("atoms", "peak_mb"): ("its memory", "MB"),
    ("elements", "cpu_s"): ("all perovskites of n elements", "s"),
    ("elements", "regression_s"): ("their guesses", "s"),
}
"""What is told of each piece of work: in words, and the unit."""

_SCALES = {"designs_db_bytes": 1e-6}
_COLOURS = {"before": "#9a9a9a", "after": "#1f6fb2"}
_COLUMNS = 4

HEAD = """# How the work grows

*Written by `python -m benchmarks.scale`; change that, not this.*

Each piece of work was done in a process of its own, on one thread of a machine that others used at
the same time, by the code before and after the changes that were about growth, one after the other.
Times are CPU time, most of them without imports. The exponent p is that of a power law n^p through
all sizes: 1 is work that grows as its amount, 2 as its square. Values below a tenth have none.

![CPU time, memory and bytes against size](images/scale.png)

"""

_SHORTEST = 0.1
"""Values below this, in the units of the table, say nothing of growth."""


def write_page(records: Sequence[Record], docs: Path) -> None:
    """Write the page and the picture.

    Args:
        records: Measurements.
        docs: The folder of the documents.
    """
    lines = [HEAD, "| what | version | " + "measured | exponent |", "| --- | --- | --- | --- |"]
    for (work, name), (words, unit) in QUANTITIES.items():
        for version, own in _curves(records, work, name).items():
            shown = ", ".join(f"{size:,.0f}: {_number(value)}" for size, value in own)
            lines.append(f"| {words}, {unit} | {version} | {shown} | {_exponent(own)} |")
    lines += ["", *_start(records), "", *_shares(records)]
    (docs / "scale.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _plot(records, docs / "images" / "scale.png")


def _curves(
    records: Sequence[Record], work: str, name: str
) -> dict[str, list[tuple[float, float]]]:
    """Sizes and values by version."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record["work"] == work and name in record:
            size = float(record.get("atoms", record["size"]))
            value = float(record[name]) * _SCALES.get(name, 1.0)
            found.setdefault(str(record["version"]), []).append((size, value))
    return found


def _exponent(curve: Sequence[tuple[float, float]]) -> str:
    sizes, values = np.array(curve).T
    if len(values) == 1 or values[-1] < _SHORTEST or (values <= 0).any():
        return "-"
    return f"{np.polyfit(np.log(sizes), np.log(values), 1)[0]:.2f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _start(records: Sequence[Record]) -> list[str]:
    """What the command costs at least."""
    lines = ["`smoacs predict` of one crystal, from the start of Python to its end:", ""]
    for version, curve in _curves(records, "start", "cpu_s").items():
        lines.append(f"- {version}: {np.median([value for _, value in curve]):.1f} s of CPU time")
    return lines


def _shares(records: Sequence[Record]) -> list[str]:
    """Shares of the largest size that somebody may ask for."""
    lines = ["At the largest size:", ""]
    for (work, part), words in {
        ("seeds", "checkpoints_s"): "checkpoints of the search on seeds",
        ("designs", "judge_s"): "judging of the run",
        ("elements", "regression_s"): "guesses of the exhaustive search",
    }.items():
        whole = _curves(records, work, "cpu_s")
        shares = [
            f"{version} {curve[-1][1] / whole[version][-1][1]:.1%}"
            for version, curve in _curves(records, work, part).items()
        ]
        lines.append(f"- {words}: {', '.join(shares)} of the time")
    return lines


def _plot(records: Sequence[Record], path: Path) -> None:
    mpl.use("Agg")
    rows = -(-len(QUANTITIES) // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(11, 2.4 * rows), layout="constrained")
    for axis in axes.flat[len(QUANTITIES) :]:
        axis.axis("off")
    for axis, ((work, name), (words, unit)) in zip(axes.flat, QUANTITIES.items(), strict=False):
        for version, curve in _curves(records, work, name).items():
            sizes, values = np.array(curve).T
            axis.plot(sizes, values, "o-", color=_COLOURS.get(version), label=version)
        axis.set(xscale="log", yscale="log", title=f"{words}, {unit}")
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
