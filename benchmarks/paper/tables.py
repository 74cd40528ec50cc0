"""The tables of the page: each row of the paper, one budget at a time."""

from collections.abc import Mapping, Sequence

from benchmarks.paper.methods import METHODS
from benchmarks.paper.records import REACHED, Record
from benchmarks.paper.specification import ROWS, Problem, Row
from benchmarks.paper.summary import (
    CONTESTS,
    NO_RIVALS,
    OURS,
    PUBLISHED,
    Contest,
    Size,
    Summary,
    Value,
    not_behind,
    reasons,
    sizes,
    summarise,
)

COLUMNS = {
    "success": ("success", 2),
    "unique": ("distinct", 2),
    "new": ("new", 2),
    "at_rest": ("at rest", 2),
    "holds": ("holds", 2),
    "per_1000_calls": ("distinct per 1,000 calls", 2),
    "calls": ("calls", 0),
    "seconds": ("seconds", 0),
}


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"


def glance(records: Sequence[Record]) -> str:
    """Ours and the best rival of every row, contest and budget; bold where we are not ahead."""
    lines = []
    for row in ROWS:
        for size in sizes(row, records):
            contests = [(c, summarise(row, records, size, c)) for c in CONTESTS]
            holds = {s.method: s.values.get("holds") for _, of in contests for s in of[::-1]}
            for contest, summaries in contests:
                line = _glance_line(row, summaries, contest, holds)
                if line is not None:
                    lines.append(line)
    if not lines:
        return "Nothing has been run yet.\n"
    head = ["row", "compared", "budget", "success", "best rival", "distinct per 1,000 calls"]
    return table([*head, "best rival", "holds", "best rival in success"], lines)


def _glance_line(
    row: Row, summaries: Sequence[Summary], contest: Contest, holds: Mapping[str, Value | None]
) -> list[str] | None:
    ours = next((s for s in summaries if s.method == OURS), None)
    rivals = [s for s in summaries if s.method not in NO_RIVALS]
    if ours is None or not rivals:
        return None
    behind = {words for reasons in not_behind(summaries).values() for words in reasons}
    cells = [row.key, contest.words, f"{100 * ours.share:.0f} %"]
    for column in ("success", "per_1000_calls"):
        mine = ours.values[column]
        told = [] if mine is None else [mine.text()]
        pace = next((s.values[column] for s in summaries if s.method == contest.pace), None)
        if contest.pace != OURS and pace is not None:
            told.append(f"{pace.text()} `{contest.pace}`")
        cells.append("; ".join(told))
        cells.append(_named(_best(rivals, column)))
    held = holds.get(OURS)
    cells.append("" if held is None else held.text())
    cells.append(_named(_best_that_holds(rivals, holds)))
    return [f"**{cell}**" if cell else "" for cell in cells] if behind else cells


_Named = tuple[Value, str]
"""A value and whose it is."""


def _named(best: _Named | None) -> str:
    return "" if best is None else f"{best[0].text()} `{best[1]}`"


def _best(rivals: Sequence[Summary], column: str) -> _Named | None:
    known = [(s.values[column], s.method) for s in rivals]
    there = [(value, name) for value, name in known if value is not None]
    return max(there, key=lambda pair: pair[0].mean, default=None)


def _best_that_holds(rivals: Sequence[Summary], holds: Mapping[str, Value | None]) -> _Named | None:
    """Of the rivals with the most successes, the one whose designs hold most."""
    best = _best(rivals, "success")
    if best is None:
        return None
    level = [s for s in rivals if (v := s.values["success"]) and v.mean == best[0].mean]
    there = [(held, s.method) for s in level if (held := holds.get(s.method)) is not None]
    return max(there, key=lambda pair: pair[0].mean, default=None)


def held(records: Sequence[Record]) -> str:
    """Of all relaxed designs of a method, how many hold; of budgets below the paper's."""
    lines = []
    for method in METHODS:
        verdicts = [
            verdict
            for record in records
            if record["method"] == method and record["budget_share"] < 1
            for verdict in (record.get("rows_at_rest") or record.get("rows", {})).values()
            if "holds" in verdict
        ]
        of = sum(verdict["holds_of"] for verdict in verdicts)
        if of:
            hold = sum(round(verdict["holds"] * verdict["holds_of"]) for verdict in verdicts)
            lines.append(
                [f"`{method}`", str(len(verdicts)), str(of), str(hold), f"{100 * hold / of:.0f} %"]
            )
    return table(["method", "rows", "relaxed", "hold", "share"], lines) if lines else ""


def section(row: Row, records: Sequence[Record]) -> str:
    """All that is known of a row."""
    reported = ", ".join(f"{name} {value:.2f}" for name, value in row.paper.items())
    lines = [
        f"### {row.name}\n",
        f"In the paper: {reported}. Again: `python -m benchmarks.paper {row.problem.name}`.\n",
    ]
    budgets = sizes(row, records)
    if not budgets:
        why = sorted(set(reasons(row, records).values()))
        lines.append(f"Not run yet{': ' + '; '.join(why) if why else ''}.\n")
    lines += [_of_size(row, records, size) for size in budgets]
    if budgets:
        lines += [f"`{m}` was not run: {why}.\n" for m, why in reasons(row, records).items()]
    return "\n".join(lines)


def _of_size(row: Row, records: Sequence[Record], size: Size) -> str:
    lines: list[str] = []
    for contest in CONTESTS:
        summaries = summarise(row, records, size, contest)
        if not summaries:
            continue
        if not lines:
            lines.append(_budget(summaries))
        behind = not_behind(summaries)
        lines.append(f"{contest.words[0].upper()}{contest.words[1:]}:\n")
        head = ["method", *(words for words, _ in COLUMNS.values())]
        lines.append(table(head, [_line(s, bold=s.method in behind) for s in summaries]))
        for method, what in behind.items():
            text = f"`{OURS}` is not ahead of `{method}` in {' and '.join(what)}"
            lines.append(f"**{text}.**\n")
        lines += [
            f"`{summary.method}` ran out of time before its budget of calls.\n"
            for summary in summaries
            if "time" in summary.ended
        ]
    lines += [_criteria(summarise(row, records, size)), _validity(row, records, size)]
    return "\n".join(line for line in lines if line)


def _budget(summaries: Sequence[Summary]) -> str:
    (n, steps), share = summaries[0].size, summaries[0].share
    seeds = sorted({s.seeds for s in summaries})
    of_paper = "the paper's" if share == 1 else f"{100 * share:.1f} % of the paper's"
    return (
        f"**Budget: {n} × {steps} predictor calls, {of_paper}**; "
        f"seeds: {' to '.join(str(k) for k in (seeds[0], seeds[-1])[: len(seeds)])}.\n"
    )


def _line(summary: Summary, *, bold: bool) -> list[str]:
    cells = [summary.method]
    for name, (_, digits) in COLUMNS.items():
        value = summary.values.get(name)
        cells.append("" if value is None else value.text(digits))
    return [f"**{cell}**" if cell else "" for cell in cells] if bold else cells


def _criteria(summaries: Sequence[Summary]) -> str:
    names = list(dict.fromkeys(name for s in summaries for name in s.criteria))
    if not names:
        return ""
    lines = [
        [s.method, *(s.criteria[n].text() if n in s.criteria else "" for n in names)]
        for s in summaries
    ]
    return "Share that meets each criterion:\n\n" + table(["method", *names], lines)


def _validity(row: Row, records: Sequence[Record], size: Size) -> str:
    """What the autoencoder's samples are worth before anything is optimised."""
    for record in records:
        same = (record["n"], record["steps"]) == size
        if record["problem"] == row.problem.name and same and "generator" in record:
            made = record["generator"]
            return (
                f"Of 1,000 samples of the autoencoder, not optimised: {made['decodable']:.0%} are "
                f"crystals, {made['neutral']:.0%} neutral (of its training crystals "
                f"{made['training_neutral']:.0%}), {made['perovskite']:.0%} perovskites, "
                f"{made['valid']:.0%} all three, {made['distinct']:.0%} distinct; it rebuilds "
                f"{made['rebuilt']:.0%} of the validation crystals. Trained for "
                f"{made['epochs']:.0f} epochs, {made['training_seconds']:.0f} s.\n"
            )
    return ""


def runs_of(problem: Problem, records: Sequence[Record], size: Size) -> dict[str, list[Record]]:
    """Runs of each method with a budget, in the order of the methods."""
    own = [
        r
        for r in records
        if r["problem"] == problem.name and "found" in r and (r["n"], r["steps"]) == size
    ]
    found = {method: [r for r in own if r["method"] == method] for method in METHODS}
    return {method: runs for method, runs in found.items() if runs}


def times(problem: Problem, records: Sequence[Record], size: Size) -> str:
    """Calls and seconds to k distinct successes, and how many times ours that takes."""
    parts = []
    runs = runs_of(problem, records, size)
    for contest in CONTESTS:
        own = {m: r for m, r in runs.items() if m in contest.methods and contest.found in r[0]}
        if not own:
            continue
        ours = _reached(own.get(contest.pace, []), contest)
        lines = [
            [method, *(_time(pair, ours.get(k)) for k, pair in _reached(of, contest).items())]
            for method, of in own.items()
        ]
        parts.append(
            f"Predictor calls until so many distinct successes, {contest.words} (seconds, and how "
            f"many times those of `{contest.pace}`), mean over the seeds that reach them:\n\n"
            + table(["method", *(str(k) for k in REACHED)], lines)
        )
    return "\n".join(parts)


_Reached = tuple[Value, Value, str]
"""Calls, seconds, and which seeds are missing."""


def _reached(runs: Sequence[Record], contest: Contest = PUBLISHED) -> dict[int, _Reached | None]:
    found: dict[int, _Reached | None] = {}
    for k in REACHED:
        pairs = [run[contest.found]["reached"].get(str(k)) for run in runs]
        there = [pair for pair in pairs if pair is not None]
        calls, seconds = (Value.of([pair[i] for pair in there]) for i in (0, 1))
        missing = "" if len(there) == len(runs) else f", {len(there)} of {len(runs)} seeds"
        found[k] = None if calls is None or seconds is None else (calls, seconds, missing)
    return found


def _time(pair: _Reached | None, ours: _Reached | None) -> str:
    if pair is None:
        return "never"
    calls, seconds, missing = pair
    ratio = f", {seconds.mean / ours[1].mean:.1f} ×" if ours and ours[1].mean > 0 else ""
    return f"{calls.mean:,.0f} ({seconds.mean:,.0f} s{ratio}{missing})"
