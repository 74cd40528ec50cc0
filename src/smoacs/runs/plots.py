"""Pictures of a run; matplotlib, slow to import, is imported where one is drawn."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from smoacs.results import column
from smoacs.targets import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = "#1f4e79"
_WINDOW = "#2e8b57"
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_PANEL_HEIGHT = 2.3
_WIDTH = 7.0


def plot_history(history: pd.DataFrame, targets: Sequence[Target], path: Path) -> None:
    """Draw how the candidates approach their targets.

    A panel for each property with a target: the median of the candidates and their 10 to 90 % and
    25 to 75 % bands over the steps, and what is wanted as a green band.

    Args:
        history: A row for each step and candidate: `step`, `candidate`, and the properties.
        targets: Those whose property is no column of the history are left out.
        path: The PNG file.
    """
    with _page(history, targets, path, shared=True) as panels:
        for panel, name, wanted in panels:
            _draw(panel, history, wanted, name)
        if panels:
            panels[-1][0].set_xlabel("step")


def plot_decorations(decorations: pd.DataFrame, targets: Sequence[Target], path: Path) -> None:
    """Draw what there is: each property with a target over all decorations, and over successes.

    Args:
        decorations: A row for each that was relaxed: the properties, and `met`.
        targets: Those whose property is no column are left out.
        path: The PNG file.
    """
    met = decorations["met"].astype(bool)
    with _page(decorations, targets, path, shared=False) as panels:
        for panel, name, wanted in panels:
            values = decorations[name][np.isfinite(decorations[name])]
            bins = np.histogram_bin_edges(values, bins=60).tolist()
            panel.hist(values, bins=bins, color=_LINE, alpha=0.3, label="all compositions")
            panel.hist(values[met], bins=bins, color=_LINE, label="all criteria met")
            panel.set_yscale("log")
            panel.set_ylim(bottom=0.7)
            panel.set_ylabel("crystals")
            panel.set_xlabel(_name_and_unit(name))
            left, right = panel.get_xlim()
            for target in wanted:
                if not target.direction:
                    low, high = max(target.low, left), min(target.high, right)
                    panel.axvspan(
                        low, high, color=_WINDOW, alpha=0.2, lw=0, zorder=0, label="wanted"
                    )
            panel.set_xlim(left, right)


@contextmanager
def _page(
    table: pd.DataFrame, targets: Sequence[Target], path: Path, *, shared: bool
) -> "Iterator[list[tuple[Axes, str, list[Target]]]]":
    """A figure with a panel for each property with a target, written in the end."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(t.property for t in targets) if name in table]
    rows = max(1, len(names))
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(_WIDTH, _PANEL_HEIGHT * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=shared, squeeze=False)[:, 0]
        panels = []
        for panel, name in zip(axes, names, strict=False):
            wanted = [t for t in targets if t.property == name]
            panels.append((panel, name, wanted))
            panel.set_title("; ".join(str(t).replace("<=", "≤").replace(">=", "≥") for t in wanted))
            panel.spines[["top", "right"]].set_visible(False)
        yield panels
        figure.align_ylabels()
        handles = {
            label: handle
            for panel in axes
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=4, frameon=False
        )
        figure.savefig(path, dpi=150, format="png", metadata={"Software": None})


def _draw(panel: "Axes", history: pd.DataFrame, targets: Sequence[Target], name: str) -> None:
    finite = history[np.isfinite(history[name])]
    grouped = finite.groupby("step")[name]
    bands = pd.DataFrame({share: grouped.quantile(share) for share in _SHARES})
    steps = bands.index.to_numpy()
    marker = "o" if len(steps) == 1 else None  # a line of one point does not show
    panel.plot(
        steps, bands[0.5], color=_LINE, lw=1.8, marker=marker, label="median of the candidates"
    )
    for low, high, alpha in ((0.25, 0.75, 0.25), (0.1, 0.9, 0.15)):
        label = f"{low:.0%} to {high:.0%}"
        panel.fill_between(
            steps, bands[low], bands[high], color=_LINE, alpha=alpha, lw=0, label=label
        )
    bottom, top = _limits(bands, targets)
    panel.set_ylim(bottom, top)
    panel.margins(x=0.01)
    for target in targets:
        if not target.direction:
            panel.axhspan(
                max(target.low, bottom),
                min(target.high, top),
                color=_WINDOW,
                alpha=0.2,
                lw=0,
                zorder=0,
                label="wanted",
            )
    panel.set_ylabel(_name_and_unit(name))


def _name_and_unit(name: str) -> str:
    known = column(name)
    return f"{known.label} ({known.unit})" if known.unit else known.label


def _limits(bands: pd.DataFrame, targets: Sequence[Target]) -> tuple[float, float]:
    """Limits of the axis: the middle half at every step, the wider band at the end, the bounds."""
    values = [
        *bands[[0.25, 0.5, 0.75]].to_numpy().ravel().tolist(),
        *bands.tail(1).to_numpy().ravel().tolist(),
        *(bound for target in targets for bound in (target.low, target.high)),
    ]
    finite = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    room = 0.15 * (max(finite) - min(finite)) or 0.5
    return min(finite) - room, max(finite) + room
