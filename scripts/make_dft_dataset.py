"""Make the project's own DFT dataset: perovskites around rest, labelled by GPAW.

First, 50 cubic perovskites of the Materials Project training data at their own geometry: how far
GPAW's gaps are from the Materials Project's is the noise floor (`known.csv`). Then perovskites
over the compositions that the masks of `smoacs.templates.perovskite()` allow, in an order drawn
by chance, so that whatever is done when time is up is a fair sample:

* charge combination: halides in 55 of 100, each other combination equally often; an ion with an
  open d shell in 1 of 10; then a composition, none twice before all were there once; X may be
  mixed; tolerance factor 0.78 to 1.08;
* of those that the built-in predictor takes for metals, 1 in 3: designs have a gap;
* rest lengths by CHGNet: the cube's, or those that X on each axis asks for;
* geometry: cube or box at 0.97 to 1.04 times these lengths, some strained by up to 4 % along each
  axis, some with all atoms shifted along one axis by about 0.08 Å.

Designs that were checked by the same settings can join them (`--designs`): they are where searches
end, which no stream of random crystals is.

Needs the extras `dft` and `train`. Kill it when you like: it goes on where it was. What was drawn
is in `drawn.jsonl`, so a later version of the code or of the predictor changes no earlier crystal.

    python scripts/make_dft_dataset.py --mp megnet_mp2018.parquet --out runs/dft --minutes 60
    python scripts/make_dft_dataset.py --mp megnet_mp2018.parquet --out runs/dft --designs runs/a
    python scripts/make_dft_dataset.py --out runs/dft --export data/dft_perovskites
"""

import argparse
import itertools
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from dft_designs import KIND as DESIGNED
from dft_designs import labelled_designs
from dft_export import DRAWN_FILE, LABELS_FILE, export
from dft_recipes import (
    METAL,
    METALS_KEPT,
    Recipe,
    Sample,
    known_perovskites,
    realise,
    recipes,
    sketch,
)
from rest_lengths import RestLengths

from smoacs.dft import DftLabel, DftSettings, label
from smoacs.dft.labels import open_labels
from smoacs.errors import InputError
from smoacs.files import locked
from smoacs.judging import evaluate_structures
from smoacs.predictors import load_predictor

log = logging.getLogger("make_dft_dataset")

N_KNOWN: Final = 50
KNOWN, DESIGN = -1, -2
"""Numbers of crystals that are not of the stream."""

CHUNK: Final = 16
"""Crystals for each worker between two looks at the clock; the next ones are made meanwhile."""

SETTINGS: Final = DftSettings(time_limit=400.0)


class Labeller(Protocol):
    """`smoacs.dft.label`, or what takes its place."""

    def __call__(
        self,
        structures: Sequence[Any],
        settings: DftSettings | None = None,
        *,
        cache: str | Path,
        workers: int = 1,
    ) -> list[DftLabel]:
        """Label structures."""
        ...


class Drawn:
    """What was drawn so far, a line of JSON each, kept in a file."""

    def __init__(self, path: Path) -> None:
        """Read the file; a line that a killed run left unfinished is cut off."""
        self._path = path
        text = path.read_text() if path.exists() else ""
        text = text[: text.rfind("\n") + 1]
        path.write_text(text)
        lines = [json.loads(line) for line in text.splitlines()]
        self.samples = [Sample.from_dict(line["sample"]) for line in lines if line["sample"]]
        self.last = max((line["number"] for line in lines), default=-1)
        self.empty = not lines

    def add(self, number: int, sample: Sample | None, reason: str = "") -> None:
        """Keep a crystal, or why a recipe gave none."""
        plain = None if sample is None else sample.to_dict()
        line = json.dumps({"number": number, "sample": plain, "reason": reason})
        with self._path.open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())


def main() -> None:
    """Label until the limit, the time or the compositions are used up; or export."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore")
    if args.export is not None:
        export(args.out, args.export)
        return
    if args.mp is None:
        raise SystemExit("--mp is missing: the file of the training data (see --help)")
    args.out.mkdir(parents=True, exist_ok=True)
    with locked(args.out / "lock", f"{args.out}: another run is at work there"):
        if args.designs:
            add_designs(args)
        else:
            make(args)


def make(args: argparse.Namespace, labeller: Labeller = label) -> None:
    """Draw and label until the limit or the time is used up."""
    end = time.monotonic() + 60.0 * args.minutes
    drawn = Drawn(args.out / DRAWN_FILE)
    splits = mp_splits(args.mp)
    if drawn.empty:
        for sample in known_perovskites(args.mp, N_KNOWN, np.random.default_rng(args.seed)):
            drawn.add(KNOWN, with_split(sample, splits))
        drawn = Drawn(args.out / DRAWN_FILE)
    rest = RestLengths(args.out / "rest_lengths.jsonl")
    coming = samples(drawn, rest, splits, seed=args.seed, limit=args.limit)
    batch = args.workers * CHUNK
    left = list(drawn.samples)
    count = 0
    with ThreadPoolExecutor(max_workers=1) as maker:
        while time.monotonic() < end:
            taken, left = left[:batch], left[batch:]
            wanted = batch if len(left) < batch else 0
            next_ones = maker.submit(lambda n=wanted: list(itertools.islice(coming, n)))
            structures = [sample.structure for sample in taken]
            cache = args.out / LABELS_FILE
            done = labeller(structures, SETTINGS, cache=cache, workers=args.workers)
            report_known(taken, done, args.out / "known.csv")
            count += len(done)
            left += next_ones.result()
            failed = sum(item.results is None for item in done)
            seconds = float(np.mean([item.seconds for item in done])) if done else 0.0
            log.info(
                "%d labels; %d of the last %d failed, %.1f s each",
                count,
                failed,
                len(done),
                seconds,
            )
            if not left:
                break


def add_designs(args: argparse.Namespace) -> None:
    """Take over the labelled designs of run directories; those that are there stay as they are."""
    drawn = Drawn(args.out / DRAWN_FILE)
    if drawn.empty:
        raise SystemExit(f"{args.out} holds no dataset yet; begin one without --designs")
    splits = mp_splits(args.mp)
    there = {sample.key for sample in drawn.samples}
    found = dict(item for run in args.designs for item in labelled_designs(run).items())
    new = [pair for key, pair in found.items() if key not in there]
    with open_labels(args.out / LABELS_FILE) as file:
        for sample, item in new:
            file.append(item.key, item)
            drawn.add(DESIGN, with_split(sample, splits))
    log.info("%d designs added", len(new))


def samples(
    drawn: Drawn, rest: RestLengths, splits: Mapping[str, str], *, seed: int, limit: int
) -> Iterator[Sample]:
    """Crystals of the stream that are not drawn yet, noted in the file as they come."""
    is_metal = metal_by_predictor()
    made = sum(sample.about["kind"] not in {"known", DESIGNED} for sample in drawn.samples)
    for recipe in recipes(seed):
        if made >= limit:
            return
        if recipe.number <= drawn.last:
            continue
        if is_left_out(recipe, seed, is_metal):
            drawn.add(recipe.number, None, "taken for a metal")
            continue
        sample = realise(recipe, rest, seed)
        if sample is None:
            drawn.add(recipe.number, None, "no rest length")
            continue
        sample = with_split(sample, splits)
        drawn.add(recipe.number, sample)
        made += 1
        yield sample


def is_left_out(recipe: Recipe, seed: int, is_metal: Callable[[Recipe], bool]) -> bool:
    """Whether a recipe is one of the likely metals that are not labelled."""
    drawn_by_lot = np.random.default_rng([seed, 3, recipe.number]).random() < METALS_KEPT
    return not drawn_by_lot and is_metal(recipe)


def metal_by_predictor() -> Callable[[Recipe], bool]:
    """Says whether the built-in predictor sees a metal at the length that radii ask for."""
    predictor = load_predictor(device="cpu")

    def is_metal(recipe: Recipe) -> bool:
        values = evaluate_structures([sketch(recipe)], predictor)
        return bool(values["band_gap"][0] < METAL)

    return is_metal


def mp_splits(path: Path) -> dict[str, str]:
    """Part of the data that the training data have a formula in; the most withheld of several."""
    rows = pd.read_parquet(path, columns=["formula", "split"])
    order = ("train", "val", "test")
    worst = rows["split"].map(order.index).groupby(rows["formula"]).max()
    return {str(formula): order[place] for formula, place in worst.items()}


def with_split(sample: Sample, splits: Mapping[str, str]) -> Sample:
    """The sample with the part that the training data have its formula in."""
    formula = sample.structure.composition.element_composition.reduced_formula
    about = {**sample.about, "mp_split": splits.get(formula, "")}
    return Sample(material_id=sample.material_id, structure=sample.structure, about=about)


def report_known(taken: Sequence[Sample], labels: Sequence[DftLabel], path: Path) -> None:
    """Write GPAW's gap beside the Materials Project's; log the mean absolute difference."""
    rows = []
    for sample, item in zip(taken, labels, strict=True):
        if sample.about["kind"] != "known":
            continue
        values = item.results
        rows.append(
            {
                "material_id": sample.material_id,
                "formula": sample.structure.composition.reduced_formula,
                "a": sample.about["rest_length"],
                "mp_band_gap": sample.about["mp_band_gap"],
                "gpaw_band_gap": values.band_gap if values else np.nan,
                "gpaw_band_gap_direct": values.band_gap_direct if values else np.nan,
                "gpaw_pressure": values.pressure if values else np.nan,
                "failure": item.failure,
                "seconds": item.seconds,
            }
        )
    if not rows:
        return
    table = pd.DataFrame(rows)
    table["difference"] = table["gpaw_band_gap"] - table["mp_band_gap"]
    if path.is_file():
        before = pd.read_csv(path, keep_default_na=False, na_values=[""])
        table = pd.concat([before, table]).drop_duplicates("material_id", keep="last")
    table = table.sort_values("difference", key=np.abs, ascending=False)
    table.to_csv(path, index=False)
    size = table["difference"].abs()
    log.info("known: %d, MAE %.3f eV, median %.3f eV", len(table), size.mean(), size.median())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the DFT dataset of perovskites.")
    parser.add_argument("--mp", type=Path, help="training data with known crystals")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels")
    parser.add_argument("--workers", type=int, default=1, help="calculations at a time")
    parser.add_argument("--limit", type=int, default=3000, help="crystals besides the known ones")
    parser.add_argument("--minutes", type=float, default=240.0, help="no new calculations after")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--designs", type=Path, nargs="+", help="take over labels of these runs")
    parser.add_argument("--export", type=Path, help="write table and data card to this folder")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
