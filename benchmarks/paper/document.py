r"""Write docs/benchmarks.md, a page for each table, and their plots from the files of results.

python -m benchmarks.paper.document
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper.existing import existing
from benchmarks.paper.methods import METHODS
from benchmarks.paper.plots import draw
from benchmarks.paper.records import Record, fingerprint
from benchmarks.paper.specification import ROWS
from benchmarks.paper.summary import WORDS, read_records, sizes
from benchmarks.paper.tables import glance, held, section, table, times
from benchmarks.speed.bars import bars
from benchmarks.speed.plot import plot as plot_speed
from smoacs.predictors import load_predictor

TITLES = {
    2: "Table 2: superconductors, any crystal",
    3: "Table 3: wide gaps, any crystal",
    4: "Table 4: perovskites with a band gap",
    5: "Table 5: 135 atoms",
    6: "Table 6: gap and energy above the hull",
    7: "Table 7: bulk modulus and formation energy",
}

SPEED_COLUMNS = {
    "device": "device",
    "n": "candidates",
    "atoms": "atoms of each",
    "cores": "cores",
    "steps_per_second": "steps per second",
    "microseconds_per_atom": "µs per atom and step",
    "microseconds_in_turns": "the same in turns",
    "overhead": "overhead, %",
    "overhead_of_work": "overhead of processor time, %",
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

- **Budget.** A method may call the predictor n × steps times: the paper's 256 × 200 (128 × 200 for
  135 atoms), or the share that a table names, which is fewer candidates with all their steps. No
  table mixes budgets. One crystal evaluated is one call, with or without gradients; steps of a
  relaxation count. A wrapper around the predictor counts for all methods alike. Ours, and the
  exhaustive search, may end earlier or later; the table tells.
- **Two comparisons.** *By the published criteria* a crystal may be strained until the prediction
  fits, as rivals and our search with `rest = "none"` do. Our default, whose designs must be at a
  minimum of the predicted energy, is held against them all the same. *At rest as well*, a success
  needs less than 3 GPa of pressure and 0.1 eV/Å of force; there rivals relax every crystal they
  look at.
- **Returned.** Ours returns its n candidates, whatever they are. A rival returns the best n
  crystals of different formulas of all that it evaluated, which is kinder to it.
- **success**: share of n that meets all criteria when `smoacs.judge`, which shares no code with any
  of the searches, evaluates it anew: each target, neutral, and for perovskites still a perovskite.
  On the rows with a bound on the hull energy, and of 2.5 eV, fewer than n crystals come fully to
  rest with all targets met ([what exists](#what-exists-and-what-a-default-run-of-256-finds)), and
  our default returns no others; the genetic algorithm also keeps crystals that meet them only under
  pressure, since up to 3 GPa count as rest. Of 20 of its designs 16 to 19 are above 0.3 GPa on
  these rows (seed 0), of ours none is above 0.2.
- **distinct**: different formulas among the successes, over n. **new**: those of them that are not
  in the training data, over n.
- **at rest**: share of the successes that are at rest, where that is not asked for.
- **holds**: share of up to 20 distinct successes (4 of 135 atoms) drawn at random that survive
  relaxation by CHGNet, as `smoacs check` defines it; seed 0. Of methods that relax, successes at
  rest are drawn. At a glance it stands for ours and for the rival with the most successes; of
  several with as many, for the one whose designs hold most.
- **distinct per 1,000 calls**: different successful formulas among all real crystals that the
  predictor was shown, per call.
- Mean ± standard deviation over the seeds.
- **Bold**: a rival that our default is not ahead of, in success or in distinct per call.

## The methods

{methods}

All rivals but `tpe-unfiltered` are neutral by construction, as ours, and drop what cannot meet the
tolerance factor before they spend a call, which ours does not. Where templates are crystals of a
database, rivals search lattice lengths from 0.8 to 1.25 times, angles within 15° of and coordinates
within 0.05 of the template's. CatCMA moves lattice and elements together, so that it has no relaxed
kind.

`vae` is a conditional variational autoencoder of 11,356 perovskites of Perov-5, trained until its
validation loss stops falling. Its conditions are the predictor's own values of the training
crystals; neither these nor the training cost it a call. Latents are drawn for the targets, descend
the predictor's gradient through the decoder, and are made discrete under the same hard constraints.
It knows the elements of Perov-5 only: oxides, nitrides and the like, and no halide perovskite.

## What this does and does not show

- Searches on one predictor. A success is what the predictor says; *holds* is the only column in
  which anything else has a say. See
  [what the numbers mean](overview.md#what-the-numbers-mean-and-what-they-do-not) for how far
  predictions go.
- The paper's numbers stand on other predictors (ALIGNN, Crystalformer) and its own rivals, so they
  compare whole programs, not searches. The preset `paper` is the published method on our predictor.
- Seconds are of one machine, all methods of a row in turns; on a machine with other work they say
  little. Calls do not depend on it.

## How to run it again

```sh
make benchmark DATA=../shared/data               # all of it; many hours on two cores
make benchmark-quick                             # a few rows, minutes
python -m benchmarks.paper --data ../shared/data --budget-share 0.25 --seeds 1 --minutes 40
python -m benchmarks.paper PROBLEM --methods METHOD --seeds 3 --data ../shared/data
python -m benchmarks.paper --holds               # then the relaxations by CHGNet
```

What is in the results already is not run again; delete a file to repeat it. `--minutes` starts with
ours, the published settings and the strongest rivals on every row, and begins nothing that would
not end in time. The folder of the data holds `perov5.parquet` (the training of `vae`),
`megnet_mp2018.parquet` and `jarvis_supercon.parquet` (templates of tables 2 and 3); what needs one
that is not there is left out, and says so.

## Your own generator

`smoacs judge` holds any folder of structures against the criteria of a row, by the same judge, and
says at the end how it compares (`smoacs judge --help` lists the rows):

```sh
smoacs judge generated/*.cif --benchmark perovskite-2.5 --out judged.csv
```

"""


def of_which_weights(records: Sequence[Record], present: str) -> str:
    """A word on results of other weights than the package's; empty if they are of these.

    Args:
        records: All results.
        present: Fingerprint of the package's weights.
    """
    if not records or records[-1]["predictor"] == present:
        return ""
    other = records[-1]["predictor"]
    return (
        f"**The runs in tables 2 to 7 are of earlier weights (fingerprint `{other}`) than those in "
        f"the package (`{present}`).** All methods were compared on the same weights; with the "
        "present ones numbers differ.\n"
    )


HOLDING = """\
Of the designs of each method that CHGNet relaxed, at most 20 of a row, those that hold (budgets
below the paper's, seed 0):
"""


def page(records: Sequence[Record], *, present: str) -> str:
    """The first page in Markdown: what is compared, and all rows at a glance.

    Args:
        records: All results.
        present: Fingerprint of the package's weights.
    """
    methods = table(["name", "what it is"], [[f"`{m}`", WORDS[m]] for m in METHODS])
    parts = [INTRODUCTION.format(methods=methods), "## At a glance\n"]
    parts += [of_which_weights(records, present), glance(records)]
    if holding := held(records):
        parts += [HOLDING, holding]
    links = [f"- [{title}]({table_file(number)})" for number, title in TITLES.items()]
    parts += ["\n## Row by row\n", *links]
    return "\n".join(parts).rstrip() + "\n"


def table_file(number: int) -> str:
    """Where a table's page lies, beside the first page."""
    return f"benchmarks/table-{number}.md"


def table_page(number: int, records: Sequence[Record], images: Path, link: str) -> str:
    """The page of one of the paper's tables, row by row; plots are written beside.

    Args:
        number: Of the table.
        records: All results.
        images: Folder for the plots.
        link: The same folder as the page names it.
    """
    parts = [
        f"# {TITLES[number]}\n",
        "What the columns mean is on the [first page](../benchmarks.md).\n",
    ]
    drawn: set[str] = set()
    for row in (row for row in ROWS if row.table == number):
        parts.append(section(row, records).replace("### ", "## ", 1))
        name = row.problem.name
        if name in drawn:
            continue
        drawn.add(name)
        for size in sizes(row, records):
            file = f"{name}-{size[0]}x{size[1]}.png"
            if draw(row.problem, records, size, images / file):
                alt = f"Distinct successes against predictor calls, {name}"
                parts += [f"![{alt}]({link}/{file})\n"]
                parts.append(times(row.problem, records, size))
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
        "ratios hold on a busy machine, too. Single crystals from 135 atoms on take turns too,\n"
        "so that their times compare, and in several processes, whose times differ by several\n"
        f"percent: the table has the mean. {again} (`--device cuda` on a GPU).\n"
    )
    head = list(SPEED_COLUMNS.values())
    rows = []
    for record in sorted(records, key=lambda r: (r["device"], r["one_core"], r["atoms"], r["n"])):
        cells = [
            f"{100 * record[name]:.0f}" if "%" in words else str(record.get(name, ""))
            for name, words in SPEED_COLUMNS.items()
        ]
        rows.append(cells)
    lines.append(table(head, rows))
    lines += bars(records)
    images.mkdir(parents=True, exist_ok=True)
    plot_speed(records, images / f"{file.stem}.png")
    lines.append(f"![Time, overhead and memory against batch and size]({link}/{file.stem}.png)\n")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and its plots."""
    parser = argparse.ArgumentParser(description="Write the page of the benchmarks.")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/paper"))
    parser.add_argument("--speed", type=Path, default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--recall", type=Path, default=Path("benchmarks/results/recall.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    args = parser.parse_args(arguments)
    images = args.out.parent / "images" / "benchmarks"
    records = read_records(args.results)
    folder = args.out.parent
    (folder / "benchmarks").mkdir(parents=True, exist_ok=True)
    for number in TITLES:
        text = table_page(number, records, images, "../images/benchmarks")
        (folder / table_file(number)).write_text(text, encoding="utf-8")
    present = fingerprint(load_predictor(device="cpu"))
    text = page(records, present=present)
    text += existing(args.recall) + speed(args.speed, images, "images/benchmarks")
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
