r"""Write docs/benchmarks.md and its plots from the files of results.

python -m benchmarks.paper.document
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.paper.methods import METHODS
from benchmarks.paper.records import REACHED, Record
from benchmarks.paper.specification import ROWS, Problem, Row
from benchmarks.paper.summary import (
    WORDS,
    Summary,
    Value,
    not_behind,
    read_records,
    reasons,
    summarise,
)
from benchmarks.speed.plot import plot as plot_speed

TITLES = {
    2: "Table 2: superconductors, any crystal",
    3: "Table 3: wide gaps, any crystal",
    4: "Table 4: perovskites with a band gap",
    5: "Table 5: 135 atoms",
    6: "Table 6: gap and energy above the hull",
    7: "Table 7: bulk modulus and formation energy",
}

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

SPEED_COLUMNS = {
    "device": "device",
    "n": "candidates",
    "atoms": "atoms of each",
    "steps_per_second": "steps per second",
    "microseconds_per_atom": "µs per atom and step",
    "overhead": "overhead, %",
    "neighbor_share": "neighbour lists, % of a step",
    "memory_MiB": "memory, MiB",
}

INTRODUCTION = """\
# Benchmarks

*This page is written by `python -m benchmarks.paper.document` from the files in
`benchmarks/results/paper`. Change those, not this.*

Every row of tables 2 to 7 of [arXiv:2410.08562](https://arxiv.org/abs/2410.08562), on the built-in
predictor, beside other ways to search on the same predictor, criteria and budget.

## What is compared

- **Budget.** A method may call the predictor n × steps times, mostly 256 × 200. One crystal
  evaluated is one call, with or without gradients; relaxation steps count. A wrapper around the
  predictor counts for all methods alike. Ours, and the exhaustive search, may end earlier or later;
  the table tells.
- **Returned.** Ours returns its n candidates, whatever they are. A rival returns the best n
  crystals of different formulas of all that it evaluated, which is kinder to it.
- **success**: share of n that meets all criteria when `smoacs.judge`, which shares no code with any
  of the searches, evaluates it anew: each target, neutral, and for perovskites still a perovskite.
- **distinct**: different formulas among the successes, over n. **new**: those of them that are not
  in the training data, over n.
- **at rest**: share of the successes with less than 3 GPa and 0.1 eV/Å.
- **holds**: share of up to 20 distinct successes drawn at random that survive relaxation by CHGNet,
  as `smoacs check` defines it.
- **distinct per 1,000 calls**: different successful formulas among all real crystals that the
  predictor was shown, per call. A candidate of ours rests once it has a success of its own, so ours
  finds about n at most; a rival goes on to the end of its budget.
- Mean ± standard deviation over the seeds.
- **Bold**: a rival that our default preset is not ahead of, in success or in distinct per call.

## The rivals

| name | what it is |
| --- | --- |
{rivals}

All but `tpe-unfiltered` are neutral by construction, as ours, and drop what cannot meet the
tolerance factor before they spend a call, which ours does not. Where templates are crystals of a
database, rivals search lattice lengths from 0.8 to 1.25 times, angles within 15° of and coordinates
within 0.05 of the template's.

## What this does and does not show

- Searches on one predictor. A success is what the predictor says; *holds* is the only column in
  which anything else has a say. See
  [what the numbers mean](overview.md#what-the-numbers-mean-and-what-they-do-not) for how far
  predictions go.
- The paper's numbers stand on other predictors (ALIGNN, Crystalformer) and its own rivals, so they
  compare whole programs, not searches. The preset `paper` is the published method on our predictor.
- Not here yet: a conditional generative model (VAE or diffusion) with predictor-guided sampling.

## How to run it again

```sh
make benchmark                                   # all of it; many hours on two cores
make benchmark-quick                             # a few rows, minutes
python -m benchmarks.paper PROBLEM --methods METHOD --seeds 3 --data ../shared/data
python -m benchmarks.paper --holds               # then the relaxations by CHGNet
```

What is in the results already is not run again; delete a file to repeat it.
"""


def page(records: Sequence[Record], images: Path, link: str) -> str:
    """The page in Markdown; plots are written beside.

    Args:
        records: All results.
        images: Folder for the plots.
        link: The same folder as the page names it.
    """
    rivals = "\n".join(f"| `{method}` | {WORDS[method]} |" for method in METHODS)
    parts = [INTRODUCTION.format(rivals=rivals)]
    drawn: set[str] = set()
    for table, title in TITLES.items():
        parts.append(f"\n## {title}\n")
        for row in (row for row in ROWS if row.table == table):
            parts.append(_section(row, records))
            if row.problem.name in drawn:
                continue
            drawn.add(row.problem.name)
            if _plot(row.problem, records, images):
                alt = f"Distinct successes against predictor calls, {row.problem.name}"
                parts += [f"![{alt}]({link}/{row.problem.name}.png)\n"]
                parts.append(_times(row.problem, records))
    return "\n".join(parts).rstrip() + "\n"


def speed(file: Path, images: Path, link: str) -> str:
    """The section on speed, from the results of `python -m benchmarks.speed`.

    Args:
        file: Of results; its plot is made anew.
        images: Folder for the plot.
        link: The same folder as the page names it.
    """
    lines = ["\n## Speed\n"]
    again = f"Again: `python -m benchmarks.speed --out {file.as_posix()}`"
    if not file.is_file():
        return "\n".join([*lines, f"Not measured yet. {again}.\n"])
    records = json.loads(file.read_text(encoding="utf-8"))
    lines.append(
        "What one step of the search costs beside the predictor itself (forward and backward,\n"
        "ready neighbour lists, same chunks and threads), both in turns in one process, so that\n"
        f"ratios hold on a busy machine, too. {again} (`--device cuda` on a GPU).\n"
    )
    head = list(SPEED_COLUMNS.values())
    lines += ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for record in sorted(records, key=lambda r: (r["device"], r["atoms"], r["n"])):
        cells = [
            f"{100 * record[name]:.0f}" if "%" in words else str(record[name])
            for name, words in SPEED_COLUMNS.items()
        ]
        lines.append("| " + " | ".join(cells) + " |")
    images.mkdir(parents=True, exist_ok=True)
    plot_speed(records, images / f"{file.stem}.png")
    lines.append(f"\n![Time, overhead and memory against batch and size]({link}/{file.stem}.png)\n")
    return "\n".join(lines)


def _section(row: Row, records: Sequence[Record]) -> str:
    summaries = summarise(row, records)
    lines = [f"### {row.name}\n"]
    reported = ", ".join(f"{name} {value:.2f}" for name, value in row.paper.items())
    lines.append(
        f"In the paper: {reported}. Again: `python -m benchmarks.paper {row.problem.name}`.\n"
    )
    if not summaries:
        why = sorted(set(reasons(row, records).values()))
        lines.append(f"Not run yet{': ' + '; '.join(why) if why else ''}.\n")
        return "\n".join(lines)
    behind = not_behind(summaries)
    lines += ["| method | " + " | ".join(words for words, _ in COLUMNS.values()) + " |"]
    lines.append("| --- " * (len(COLUMNS) + 1) + "|")
    lines += [_line(summary, bold=summary.method in behind) for summary in summaries]
    lines.append("")
    for method, what in behind.items():
        lines.append(f"**`default` is not ahead of `{method}` in {' and '.join(what)}.**\n")
    for method, reason in reasons(row, records).items():
        lines.append(f"`{method}` was not run: {reason}.\n")
    for summary in summaries:
        if "time" in summary.ended:
            lines.append(f"`{summary.method}` ran out of time before its budget of calls.\n")
    lines += [_size(summaries), _criteria(summaries)]
    return "\n".join(lines)


def _line(summary: Summary, *, bold: bool) -> str:
    cells = [summary.method]
    for name, (_, digits) in COLUMNS.items():
        value = summary.values.get(name)
        cells.append("" if value is None else value.text(digits))
    if bold:
        cells = [f"**{cell}**" if cell else "" for cell in cells]
    return "| " + " | ".join(cells) + " |"


def _size(summaries: Sequence[Summary]) -> str:
    sizes = dict.fromkeys(f"{s.size[0]} × {s.size[1]}" for s in summaries)
    seeds = dict.fromkeys(f"{s.seeds}" for s in summaries)
    return f"n × steps: {', '.join(sizes)}; seeds: {', '.join(seeds)}.\n"


def _criteria(summaries: Sequence[Summary]) -> str:
    names = list(dict.fromkeys(name for s in summaries for name in s.criteria))
    if not names:
        return ""
    lines = ["Share that meets each criterion:\n", "| method | " + " | ".join(names) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for summary in summaries:
        cells = [summary.criteria[n].text() if n in summary.criteria else "" for n in names]
        lines.append(f"| {summary.method} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _runs(problem: Problem, records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs of each method, of the largest size."""
    own = [r for r in records if r["problem"] == problem.name and "found" in r]
    if not own:
        return {}
    size = max((r["n"], r["steps"]) for r in own)
    own = [r for r in own if (r["n"], r["steps"]) == size]
    found = {method: [r for r in own if r["method"] == method] for method in METHODS}
    return {method: runs for method, runs in found.items() if runs}


def _times(problem: Problem, records: Sequence[Record]) -> str:
    head = " | ".join(f"{k} distinct" for k in REACHED)
    lines = [
        "Predictor calls (and seconds) until so many distinct successes, mean over seeds:\n",
        f"| method | {head} |",
        "| --- " * (len(REACHED) + 1) + "|",
    ]
    for method, runs in _runs(problem, records).items():
        cells = []
        for k in REACHED:
            reached = [run["found"]["reached"].get(str(k)) for run in runs]
            pairs = [pair for pair in reached if pair is not None]
            calls, seconds = (Value.of([pair[i] for pair in pairs]) for i in (0, 1))
            if calls is None or seconds is None:
                cells.append("never")
            else:
                short = "" if len(pairs) == len(runs) else f", {len(pairs)} of {len(runs)} seeds"
                cells.append(f"{calls.mean:,.0f} ({seconds.mean:,.0f} s{short})")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _plot(problem: Problem, records: Sequence[Record], images: Path) -> bool:
    """Draw distinct successes against calls, a line per seed; False if there is nothing to draw."""
    runs = _runs(problem, records)
    if not runs:
        return False
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    colours = dict(zip(METHODS, plt.get_cmap("tab10").colors, strict=False))  # type: ignore[attr-defined]
    for method, of_method in runs.items():
        for k, run in enumerate(of_method):
            found = run["found"]
            calls = [0, *found["calls"], run["calls"]]
            distinct = [0, *found["distinct"], found["total"]]
            axes.plot(
                calls,
                distinct,
                drawstyle="steps-post",
                color=colours[method],
                linewidth=2.2 if method == "default" else 1.2,
                label=method if k == 0 else None,
            )
    axes.set_xlabel("predictor calls")
    axes.set_ylabel("distinct successes found")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(problem.name)
    images.mkdir(parents=True, exist_ok=True)
    figure.savefig(images / f"{problem.name}.png", dpi=110)
    plt.close(figure)
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and its plots."""
    parser = argparse.ArgumentParser(description="Write the page of the benchmarks.")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/paper"))
    parser.add_argument("--speed", type=Path, default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    args = parser.parse_args(arguments)
    images = args.out.parent / "images" / "benchmarks"
    records = read_records(args.results)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    link = "images/benchmarks"
    text = page(records, images, link) + speed(args.speed, images, link)
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
