"""The plot of the speed measurements."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.speed.measure import Record


def plot(records: Sequence[Record], path: Path) -> None:
    """Time and memory per atom, and overhead, against batch size and against atoms."""
    mpl.use("Agg")
    records = [r for r in records if not r.get("one_core")]
    groups = {
        "candidates of 5 atoms": ("n", [r for r in records if r["atoms"] == 5]),
        "atoms of one candidate": ("atoms", [r for r in records if r["n"] == 1]),
    }
    rows: dict[str, Callable[[Record], float]] = {
        "µs per atom and step": lambda r: float(r["microseconds_per_atom"]),
        "overhead over the predictor, %": lambda r: 100 * float(r["overhead"]),
        "neighbour lists, % of a step": lambda r: 100 * float(r["neighbor_share"]),
        "memory, MiB": lambda r: float(r["memory_MiB"]),
    }
    figure, axes = plt.subplots(4, 2, figsize=(8, 10), layout="constrained", sharex="col")
    for column, (label, (key, found)) in enumerate(groups.items()):
        own = sorted(found, key=lambda r: float(r[key]))
        for axis, (name, value) in zip(axes[:, column], rows.items(), strict=True):
            axis.plot([float(r[key]) for r in own], [value(r) for r in own], marker="o")
            axis.set_xscale("log")
            axis.set_ylim(bottom=0)
            axis.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axis.set_ylabel(name)
        axes[-1, column].set_xlabel(label)
    figure.savefig(path, dpi=110)
    plt.close(figure)
