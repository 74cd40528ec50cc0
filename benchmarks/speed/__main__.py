r"""What a step of the search costs beside the predictor, against batch size and atoms.

    python -m benchmarks.speed --out benchmarks/results/speed.json
    python -m benchmarks.speed --device cuda --out benchmarks/results/speed_gpu.json

"Bare" is the predictor, forward and backward, in the same chunks and threads as in the search, with
ready neighbour lists; "step" is everything that the search does in a step. Both take turns in one
process, so that their ratio does not depend on what else the machine does. Small batches take
several steps at a time, as in a search, which makes its optimiser once for all steps. Each batch is
measured in a process of its own, which tells its memory. A plot goes beside the file of results.

Chunks of candidates share the cores, one large crystal has one core. How the time grows with the
size of a crystal is therefore measured twice more: of single crystals that take turns, in several
processes one after the other, and on one core in steps of about 5,000 atoms each.
"""

import argparse
import json
import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.speed.bars import FLAT_FROM, OF_PROCESS
from benchmarks.speed.measure import Point, Record, in_turns, keep_to_one_core, measure
from benchmarks.speed.plot import plot

BATCHES = tuple(Point(n, 1) for n in (1, 4, 16, 64, 256, 1024))
SIZES = tuple(Point(1, repeat) for repeat in (1, 2, 3, 4, 5, 6, 8, 10))
LARGE = tuple(point for point in SIZES if point.atoms >= FLAT_FROM)
ATOMS_OF_STEP = 5000
EQUAL = tuple(Point(round(ATOMS_OF_STEP / (5 * r**3)), r) for r in (1, 3, 4, 5, 6, 8, 10))
"""Batches of as many atoms in crystals of different sizes."""

PROCESSES = 5
"""In which single crystals take turns. From one process to the next, and as other programs need the
caches, their times differ by several percent, which is as much as what they are to tell."""

BARS = (Point(256, 1), Point(32, 3))
QUICK = (Point(4, 1), Point(16, 1), Point(1, 2))

_Result = TypeVar("_Result")


def in_new_process(call: Callable[..., _Result], *args: object, one_core: bool = False) -> _Result:
    """The result of a call in a process of its own, whose memory is that of the call only.

    Args:
        call: A function of a module.
        args: Of the call.
        one_core: Whether the process keeps to the first of its cores.
    """
    keep = keep_to_one_core if one_core else None
    with multiprocessing.get_context("spawn").Pool(1, initializer=keep) as pool:
        return pool.apply(call, args)


def add_turns(records: Sequence[Record], device: str, rounds: int) -> None:
    """Measure large single crystals in turns, and add that to what was measured of each apart.

    A record gets what each process found, and the mean of that.
    """
    runs = [in_new_process(in_turns, LARGE, device, rounds) for _ in range(PROCESSES)]
    for point, times in zip(LARGE, zip(*runs, strict=True), strict=True):
        for record in records:
            same = (record["n"], record["atoms"]) == (point.n, point.atoms)
            if same and not record["one_core"]:
                record["microseconds_in_turns"] = round(statistics.mean(times), 2)
                record |= {f"{OF_PROCESS}{k}": time for k, time in enumerate(times, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9, help="of each batch, in each process")
    parser.add_argument("--quick", action="store_true", help="three small batches")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    points = QUICK if args.quick else tuple(dict.fromkeys((*BARS, *BATCHES, *SIZES)))
    pinned = args.device == "cpu" and hasattr(os, "sched_setaffinity") and not args.quick
    records: list[Record] = []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for point, one_core in (
        *((point, False) for point in points),
        *((point, True) for point in (EQUAL if pinned else ())),
    ):
        call = (measure, point, args.device, args.rounds)
        records.append(in_new_process(*call, one_core=one_core) | {"one_core": one_core})
        print(json.dumps(records[-1]), flush=True)
        args.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    if not args.quick:
        add_turns(records, args.device, args.rounds)
        args.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    plot(records, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
