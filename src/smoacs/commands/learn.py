"""`smoacs learn`: rounds of designs, calculations and training."""

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.outcome import EXIT_NO_SUCCESS

if TYPE_CHECKING:
    from smoacs.learning import Learned, LearnProgress

_MINUTE = 60.0
_STAGES = {"design": "designing", "train": "learning from the labels"}


def learn(  # noqa: PLR0913  (one argument per option)
    *,
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file with the settings of the design.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for all rounds; CONFIG without .toml and with -learned."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Most rounds.")] = 3,
    per_round: Annotated[int, typer.Option(help="Designs to label in each.")] = 24,
    best: Annotated[float, typer.Option(help="Part of them that are the best successes.")] = 0.5,
    uncertain: Annotated[
        float, typer.Option(help="Part whose predicted gap is the most uncertain.")
    ] = 0.25,
    different: Annotated[
        float, typer.Option(help="Part whose composition is the furthest from all labelled ones.")
    ] = 0.25,
    tolerance: Annotated[
        float, typer.Option(help="eV that a calculated band gap may be off its target.")
    ] = 0.5,
    core_hours: Annotated[
        float | None, typer.Option(help="CPU hours of calculations after which none begins.")
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Rounds without a larger confirmed share before the end.")
    ] = 2,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Data that the first weights were trained on, to learn from, too."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data after each round.")] = 40,
    workers: Annotated[int, typer.Option(help="Calculations at a time.")] = 1,
    dft: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help="First principles: gpaw, vasp, espresso, or module:function (takes a "
            "smoacs.dft.Calculation, returns an ASE calculator).",
        ),
    ] = "gpaw",
) -> None:
    """Teach a predictor by first principles on its own designs (docs/learning.md).

    Each round designs, labels some of the successes, and trains on all labels. A learning that was
    killed goes on when the same command is given again. Exit code 1 if no design is confirmed.
    """
    from smoacs.learning import learn as learn_in_rounds

    learned = learn_in_rounds(
        config,
        out or Path(f"{config.stem}-learned"),
        rounds=rounds,
        per_round=per_round,
        best=best,
        uncertain=uncertain,
        different=different,
        tolerance=tolerance,
        core_hours=core_hours,
        patience=patience,
        data=data,
        epochs=epochs,
        workers=workers,
        dft=dft,
        progress=_say,
    )
    typer.echo(_text(learned, config, per_round))
    if not learned.rounds["confirmed"].sum():
        raise typer.Exit(EXIT_NO_SUCCESS)


def _say(state: "LearnProgress") -> None:
    """Write one line on standard error."""
    where = f"round {state.round + 1} of {state.rounds}"
    if state.stage in _STAGES:
        typer.echo(f"{where}: {_STAGES[state.stage]}", err=True)
        return
    share = f", {state.confirmed / state.labelled:.0%} confirmed" if state.labelled else ""
    left = "" if state.seconds_left is None else f", {_duration(state.seconds_left)} left"
    done = "done, " if state.stage == "done" else ""
    line = f"{where}: {done}{state.labelled} of {state.wanted} labelled{share}{left}"
    typer.echo(line, err=True)


def _percent(share: float | None) -> str:
    return "" if share is None or math.isnan(share) else f"{share:.0%}"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _MINUTE * _MINUTE:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _MINUTE**2:.1f} h"


def _text(learned: "Learned", config: Path, per_round: int) -> str:
    """What came out, in a few lines."""
    lines = ["                 confirmed of"]
    lines.append("round  labelled   all  best  others  gap MAE (eV)  core hours")
    rows = learned.rounds.to_dict("records")
    for row in rows:
        names = ("confirmed_share", "best_share", "explored_share")
        all_of_them, best, others = (_percent(row[name]) for name in names)
        mae = f"{row['gap_mae']:.2f}" if row["labelled"] > row["failed"] else ""
        lines.append(
            f"{row['round'] + 1:>5}  {row['labelled']:>8}  {all_of_them:>4}  {best:>4}  "
            f"{others:>6}  {mae:>12}  {row['core_hours']:>10.2f}"
        )
    few = [row for row in rows if row["new_successes"] < per_round]
    if few:
        lines.append(
            f"from round {few[0]['round'] + 1} on there are fewer than {per_round} new successes: "
            "most compositions that the template and the targets allow are labelled"
        )
    lines.append(f"{learned.stopped}; all of it is in {learned.path}")
    if learned.weights is not None:
        lines.append(
            "design with what was learnt: smoacs design "
            f"{shlex.quote(str(config))} --predictor {shlex.quote(str(learned.weights))} --out NEW"
        )
    return "\n".join(lines)
