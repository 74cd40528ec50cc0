"""Plots of the training report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

_COLOUR = "#1f4e79"
_LINE = "#888888"
_DENSE = 3000
"""With more points than this the parity plot shows their density."""


def plot_parity(
    given: NDArray[np.floating],
    predicted: NDArray[np.floating],
    path: Path,
    *,
    label: str,
    unit: str,
    log: bool,
) -> None:
    """Draw predictions over labels.

    Args:
        given: Labels, [n].
        predicted: Predictions, [n].
        path: The PNG file.
        label: The property in words.
        unit: Its unit.
        log: Whether both axes are logarithmic.
    """
    scale: Literal["log", "linear"] = "log" if log else "linear"
    suffix = "" if unit == "1" else f" ({unit})"
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(4.2, 4.0), layout="constrained")
        axes = figure.subplots()
        low, high = _limits(given, predicted, log=log)
        axes.plot([low, high], [low, high], color=_LINE, lw=0.8, zorder=3)
        if len(given) > _DENSE:
            axes.hexbin(
                given,
                predicted,
                gridsize=70,
                bins="log",
                mincnt=1,
                cmap="Blues",
                linewidths=0.1,
                xscale=scale,
                yscale=scale,
            )
        else:
            axes.scatter(given, predicted, s=12, alpha=0.6, color=_COLOUR, linewidths=0)
            axes.set(xscale=scale, yscale=scale)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_xlabel(f"{label}, given{suffix}")
        axes.set_ylabel(f"{label}, predicted{suffix}")
        error = np.abs(predicted - given).mean()
        unit = "" if unit == "1" else unit
        axes.set_title(f"{len(given)} test crystals, mean absolute error {error:.3g} {unit}")
        _finish(figure, [axes], path)


def plot_learning(
    histories: Sequence[Sequence[Mapping[str, float]]], units: Mapping[str, str], path: Path
) -> None:
    """Draw validation errors over the epochs, a panel for each property, a line for each member.

    Args:
        histories: Each member's validations in order: `epoch`, `step` and errors by property.
        units: Unit of each property.
        path: The PNG file.
    """
    present = {key for history in histories for line in history for key in line}
    names = [n for n in units if n in present] or list(units)
    extra = {"forces": "eV/Å", "stress": "GPa"}
    names += [n for n in extra if n in present]
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(6.5, 1.6 * len(names) + 0.4), layout="constrained")
        panels = list(figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0])
        for panel, name in zip(panels, names, strict=True):
            for history in histories:
                lines = [line for line in history if name in line]
                panel.plot(
                    [line["step"] for line in lines],
                    [line[name] for line in lines],
                    marker=".",
                    lw=1,
                )
            unit = {**units, **extra}[name]
            panel.set_ylabel(name.replace("_", " ") + ("" if unit == "1" else f"\n({unit})"))
            panel.set_ylim(bottom=0)
        panels[0].set_title("mean absolute error on validation crystals, a line for each member")
        panels[-1].set_xlabel("step")
        figure.align_ylabels()
        _finish(figure, panels, path)


def _limits(
    given: NDArray[np.floating], predicted: NDArray[np.floating], *, log: bool
) -> tuple[float, float]:
    """Common limits of both axes, with some room."""
    values = np.concatenate([given, predicted]).astype(float)
    if log:
        values = values[values > 0]
        return float(values.min()) / 1.2, float(values.max()) * 1.2
    room = 0.05 * float(np.ptp(values)) or 0.5
    return float(values.min()) - room, float(values.max()) + room


def _finish(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, format="png", metadata={"Software": None})
