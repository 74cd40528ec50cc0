"""A saved run as people see it in a terminal."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smoacs.errors import InputError
from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX
from smoacs.report.asked import settings_asked
from smoacs.results import LATTICE, TRUTH, criteria
from smoacs.runs.checked import checks_lines
from smoacs.runs.saved import SavedRun
from smoacs.structures import charges, symbol

_SHOWN_ELSEWHERE = {
    *("id", "success", "formula", "n_atoms", "space_group", "oxidation_states", "structure_file"),
    *LATTICE,
}
_MARKS = {True: "yes", False: "no"}


def run_view(
    run: SavedRun,
    *,
    sort: str | None = None,
    everything: bool | None = None,
    limit: int = 10,
) -> RenderableType:
    """Draw a run: what was asked, how much of it came out, and the best candidates.

    Args:
        run: The run.
        sort: Column to sort by, upwards, or downwards with a minus in front; best first if None.
        everything: Whether failures and repeated formulas are listed, too; if None, only where no
            candidate succeeds.
        limit: Rows of the list.

    Raises:
        InputError: There is no such column, or the limit is less than 1.
    """
    if everything is None:
        everything = not run.table["unique"].any()
    chosen = _sorted(run.select(everything=everything), sort)
    if limit < 1:
        raise InputError(f"a limit of {limit} candidates leaves nothing; it is at least 1")
    kind = "candidates" if everything else "distinct successes"
    shown = min(limit, len(chosen))
    by = f"by {sort}" if sort else "best first"
    return Group(
        _asked(run),
        Text(""),
        _rates(run),
        Text(""),
        *_checks(run),
        Text(f"{shown} of {len(chosen)} {kind}, {by}", style="bold"),
        _candidates(run, chosen.head(limit), sort),
        Text(""),
        Text(
            f"One of them: smoacs show {shlex.quote(str(run.path))} {run.table['id'].iloc[0]}",
            style="dim",
        ),
    )


def design_view(run: SavedRun, number: int | str) -> RenderableType:
    """Draw one candidate: crystal, properties against targets, verdicts, and all else known of it.

    Args:
        run: The run.
        number: Id of the candidate.

    Raises:
        InputError: There is no such candidate.
    """
    row = run.row(number)
    structure = run.crystals([row["id"]]).get(row["id"])
    title = Text(f"{row['id']}  {row['formula']}", style="bold")
    title.append(f"  {_verdict(row)}", style="green" if row["success"] else "red")
    parts: list[RenderableType] = [title]
    if structure is None:
        parts.append(Text("no crystal: its numbers are not finite"))
    else:
        parts += [_lattice(row, structure), Text(""), _sites(structure)]
    parts += [Text(""), _properties(run, row), Text(""), _remaining(run, row)]
    if row["structure_file"]:
        parts.append(Text(f"\n{run.path / row['structure_file']}", style="dim"))
    return Group(*parts)


def _asked(run: SavedRun) -> RenderableType:
    config = run.config
    table = _grid()
    table.add_row("template", f"{config.template}, repeat {config.repeat}")
    for i, target in enumerate(config.targets):
        table.add_row("" if i else "targets", target.text or str(target))
    for name in dict.fromkeys(target.property for target in run.targets):
        if name in run.columns and run.columns[name].scale:
            table.add_row("scale", f"{name}: {run.columns[name].scale}")
    for name, text in settings_asked(config.model_dump(mode="json")):
        table.add_row(name, text)
    seconds = run.summary.get("seconds")
    took = f", {seconds:.0f} s" if isinstance(seconds, int | float) else ""
    table.add_row("run", f"{config.n} candidates, {config.steps} steps, seed {config.seed}{took}")
    if run.summary.get("interrupted"):
        table.add_row("", "interrupted before the last step")
    return table


def _rates(run: SavedRun) -> RenderableType:
    """Share of the candidates that meet each criterion."""
    n = len(run.table)
    table = _grid()
    found = int(run.table["unique"].sum())
    table.add_row("found", "", f"{found} of {run.config.n} wanted")
    for name in ("success", *criteria(run.table)):
        met = int(run.table[name].sum())
        table.add_row(name.removesuffix("_met"), f"{met / n:6.1%}", f"{met} of {n}")
    distinct = int(run.table["unique"].sum())
    table.add_row("distinct designs", f"{distinct / n:6.1%}", f"{distinct} of {n}")
    if "confirmed" in run.table:
        verdicts = [bool(v) for v in run.table["confirmed"] if isinstance(v, bool | np.bool_)]
        confirmed, m = sum(verdicts), len(verdicts)
        share = f"{confirmed / m:6.1%}" if m else "-"
        table.add_row("confirmed by DFT", share, f"{confirmed} of {m} calculated")
    return table


def _checks(run: SavedRun) -> list[RenderableType]:
    """What checks have found, if there were any."""
    checks = run.summary.get("checks")
    if not checks:
        return []
    return [Text("checks", style="bold"), *map(Text, checks_lines(checks)), Text("")]


def _candidates(run: SavedRun, rows: pd.DataFrame, sort: str | None) -> RenderableType:
    asked = list(dict.fromkeys(target.property for target in run.targets))
    names = [name for name in (*asked, *TRUTH) if name in rows]
    by = (sort or "").removeprefix("-")
    if by and by not in {"id", "formula", "success", "space_group", *names}:
        names.append(by)
    table = Table(box=None, pad_edge=False)
    for head in ("id", "formula", "success"):
        table.add_column(head, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("space group", no_wrap=True)
    for row in _records(rows):
        values = (_cell(row, name) for name in names)
        success = _yes(bool(row["success"]))
        table.add_row(row["id"], row["formula"], success, *values, row["space_group"])
    return table


def _lattice(row: "pd.Series[Any]", structure: Structure) -> Text:
    a, b, c, alpha, beta, gamma = structure.lattice.parameters
    return Text(
        f"{row['space_group'] or 'space group unknown'}, {len(structure)} atoms\n"
        f"a {a:.4f}  b {b:.4f}  c {c:.4f} Å  α {alpha:.2f}  β {beta:.2f}  γ {gamma:.2f}°  "
        f"volume {structure.volume:.3f} Å³"
    )


def _sites(structure: Structure) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    table.add_column("site", justify="right")
    table.add_column("element")
    for head in ("charge", "x", "y", "z"):
        table.add_column(head, justify="right")
    states = charges(structure)
    for i, site in enumerate(structure):
        # Rounded first, so that a coordinate just below 1 or 0 is not shown as 1.0000 or -0.0000.
        coordinates = np.round(site.frac_coords, 4) % 1.0
        charge = "" if states is None else f"{states[i]:+g}"
        table.add_row(str(i), symbol(site.specie), charge, *(f"{x:.4f}" for x in coordinates))
    return table


def _properties(run: SavedRun, row: "pd.Series[Any]") -> RenderableType:
    """The properties that were asked for first, then all others with a number."""
    table = Table(box=None, pad_edge=False)
    table.add_column("property")
    for head in ("value", "spread"):
        table.add_column(head, justify="right")
    for head in ("unit", "target", "met", "scale"):
        table.add_column(head)
    targets: dict[str, list[str]] = {}
    for target in run.targets:
        targets.setdefault(target.property, []).append(str(target))
    for name in _property_names(run):
        spread = row.get(name + SPREAD_SUFFIX)
        met = row.get(f"{name}_met")
        table.add_row(
            name,
            _number(row[name]),
            "" if spread is None else f"± {_number(spread)}",
            run.columns[name].unit,
            "; ".join(targets.get(name, ())),
            "" if met is None else _yes(bool(met)),
            run.columns[name].scale,
        )
    return table


def _property_names(run: SavedRun) -> list[str]:
    asked = [target.property for target in run.targets]
    columns = [str(name) for name in run.table.columns]
    known = [name for name in columns if name + SPREAD_SUFFIX in columns or name in PROPERTIES]
    return [name for name in dict.fromkeys([*asked, *known]) if name in columns]


def _remaining(run: SavedRun, row: "pd.Series[Any]") -> RenderableType:
    """Verdicts, and whatever else the table has: checks, calculations, what others added."""
    properties = _property_names(run)
    hidden = {
        *_SHOWN_ELSEWHERE,
        *properties,
        *(name + SPREAD_SUFFIX for name in properties),
        *(f"{name}_met" for name in properties),
    }
    table = _grid()
    for name in row.index:
        if name not in hidden:
            value = row[name]
            is_verdict = isinstance(value, bool | np.bool_)
            text = _yes(bool(value)) if is_verdict else _number(value)
            table.add_row(str(name), text, run.columns[str(name)].unit)
    return table


def _sorted(rows: pd.DataFrame, sort: str | None) -> pd.DataFrame:
    if sort is None:
        return rows
    name = sort.removeprefix("-")
    if name not in rows.columns:
        raise InputError(f"there is no column {name!r}; sort by one of {', '.join(rows.columns)}")
    return rows.sort_values(name, ascending=name == sort, kind="stable", na_position="last")


def _records(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for record in rows.to_dict("records"):
        yield {str(name): value for name, value in record.items()}


def _cell(row: dict[str, Any], name: str) -> str:
    spread = row.get(name + SPREAD_SUFFIX)
    is_verdict = isinstance(row[name], bool | np.bool_)
    value = _MARKS[bool(row[name])] if is_verdict else _number(row[name])
    return value if spread is None else f"{value} ± {_number(spread)}"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if np.isfinite(value) else "-"
    if value is None:
        return ""
    return str(value)


def _verdict(row: "pd.Series[Any]") -> str:
    words: Sequence[str] = ("success" if row["success"] else "no success",)
    words = (*words, *(name for name in ("novel",) if row.get(name, default=False)))
    return ", ".join(words)


def _yes(value: bool) -> Text:  # noqa: FBT001 - the only argument
    return Text(_MARKS[value], style="green" if value else "red")


def _grid(rows: Iterable[Sequence[str]] = ()) -> Table:
    """Make a table without head, whose first column names what follows."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
