"""Label distorted crystals by a Nequix potential: energies, forces and stresses for training.

    python scripts/teacher/make_labels.py perovskites --teacher nequix-oam-1-pft.nqx \
        --data megnet_mp2018.parquet --out runs/teacher --minutes 60

Streams: `perovskites`, `types`, `database`, and the held-out ones, `held-out-perovskites` and
`held-out-database`, which nothing may be trained on. A stream is the same for the same seed; what
the folder `--out` or the shards in `--done` have is not made again, so kill it when you like and go
on later. One thread; `export_labels.py` writes what is there as shards.
"""

import argparse
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from compositions import Recipe, Splits, database, perovskites, structure_types
from families import (
    Family,
    database_family,
    held_out_crystal,
    held_out_perovskite,
    perovskite_family,
    type_family,
)
from label_rows import done_names, family_line
from potential import Potential

log = logging.getLogger("make_labels")

Maker = Callable[[Recipe, Potential, np.random.Generator], Family]

MAKERS: Final[dict[str, Maker]] = {
    "perovskites": perovskite_family,
    "types": type_family,
    "database": database_family,
    "held-out-perovskites": held_out_perovskite,
    "held-out-database": held_out_crystal,
}


def recipes(stream: str, data: Path, seed: int) -> Iterator[Recipe]:
    """The crystals of a stream, in its order."""
    test = stream.startswith("held-out")
    if stream.endswith("database"):
        return database(data, seed, test=test)
    splits = Splits(data)
    if stream == "types":
        return structure_types(splits, seed)
    return perovskites(splits, seed, test=test)


def main() -> None:
    """Label until the time or the limit is used up."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.stream}.jsonl"
    done = done_names(args.stream, path, args.done)
    log.info("%s: %d are done", args.stream, len(done))
    potential = Potential(args.teacher)
    make = MAKERS[args.stream]
    end = time.monotonic() + 60.0 * args.minutes
    began, made = time.process_time(), 0
    for recipe in recipes(args.stream, args.data, args.seed):
        if time.monotonic() > end or made >= args.limit:
            break
        if recipe.name in done or not potential.supports(recipe.atoms.numbers.tolist()):
            continue
        done.add(recipe.name)
        cpu = time.process_time()
        rng = np.random.default_rng([args.seed, zlib.crc32(recipe.name.encode())])
        try:
            family = make(recipe, potential, rng)
        except (RuntimeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            family = Family(recipe, status=f"{type(error).__name__}: {error}"[:200])
        line = family_line(family, time.process_time() - cpu)
        with path.open("a") as file:
            file.write(f"{json.dumps(line)}\n")
            file.flush()
            os.fsync(file.fileno())
        if family.status == "done":
            made += 1
            if made % 10 == 0:
                each = (time.process_time() - began) / made
                log.info("%d made, %.2f CPU seconds each; last: %s", made, each, recipe.name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Label distorted crystals by a Nequix potential.")
    parser.add_argument("stream", choices=list(MAKERS))
    parser.add_argument("--teacher", type=Path, required=True, help="the potential's .nqx file")
    parser.add_argument("--data", type=Path, required=True, help="megnet_mp2018.parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--done", type=Path, help="folder of shards not to repeat")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--limit", type=int, default=1_000_000, help="families to add")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
