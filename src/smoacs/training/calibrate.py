r"""Calibrate the spread of weights that are there, and note what their training covers.

python -m smoacs.training.calibrate mine.safetensors crystals.parquet --out mine.safetensors

With `--readout NAME` a kernel readout takes the place of a property's head first; those that the
weights have already are fitted again.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from smoacs.errors import InputError
from smoacs.predictors.network import Network
from smoacs.predictors.weights.storage import read_weights, save_weights
from smoacs.training.config import WEIGHTS_SUFFIX, TrainConfig
from smoacs.training.data.batches import build_dataset
from smoacs.training.fitting.evaluation import predict_dataset
from smoacs.training.fitting.metrics import header_metrics
from smoacs.training.layout import RELAXED
from smoacs.training.sources import load_table
from smoacs.training.spread.calibration import finish_ensemble, widen_ensemble
from smoacs.training.spread.readout import fit_readouts, form_of, with_formulas


def calibrate_file(
    weights: Path,
    data: Sequence[str],
    out: Path,
    readouts: Sequence[str] = (),
    *,
    only_widen: bool = False,
) -> None:
    """Write weights again with a calibrated spread and what their training covers.

    Args:
        weights: What to calibrate.
        data: The Parquet files or folders that it was trained on, with the same splits.
        out: Where the new weights go; may be the same file.
        readouts: Properties to give a kernel readout, besides those that have one.
        only_widen: Whether all tensors stay as they are, and only the widening of the spread by
            kinds of chemistry and what the training covers are found anew.

    Raises:
        InputError: If the weights or the data are wrong, or `out` has another ending than theirs.
    """
    if out.suffix != WEIGHTS_SUFFIX:
        raise InputError(f"out = {str(out)!r} must end in {WEIGHTS_SUFFIX}")
    network, header, formulas = read_weights(weights)
    network.eval().requires_grad_(requires_grad=False)
    if only_widen and network.spread is None:
        raise InputError(f"{weights} has no calibrated spread to widen: leave --widen out")
    heads = {
        name: {"unit": unit, "log10": name in header.log10}
        for name, unit in header.properties.items()
    }
    config = TrainConfig.model_validate(
        {
            "name": header.name,
            "out": out,
            "data": list(data),
            "properties": list(header.properties),
            "heads": heads,
            "epochs": 1,
        }
    )
    names = tuple(dict.fromkeys([*header.readouts, *readouts]))
    table = load_table(config)
    if only_widen:
        save_weights(out, network, widen_ensemble(network, header, table), formulas)
        return
    network.spread = None
    network.widening = None
    held_out = fit_readouts(network, table, names)
    header = replace(
        header,
        readouts={name: form_of(name, header.log10) for name in names},
        metrics=dict(header.metrics) | _measured(network, table, names),
    )
    header = finish_ensemble(network, header, table, held_out)
    save_weights(out, network, header, with_formulas(formulas, table, held_out))


def _measured(
    network: Network, table: pd.DataFrame, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Errors of properties that are read out, on relaxed test crystals."""
    metrics = {}
    for name in names:
        chosen = (table["split"] == "test") & (table["kind"] == RELAXED) & table[name].notna()
        if chosen.any():
            data = build_dataset(table[chosen], network.properties, network.settings.cutoff)
            found = header_metrics(network, data, predict_dataset(network, data))
            metrics[name] = found[name]
    return metrics


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Calibrate the spread of trained weights.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", nargs="+", help="what they were trained on (relaxed crystals)")
    parser.add_argument(
        "--readout", action="append", default=[], metavar="NAME", help="a property to read out"
    )
    parser.add_argument(
        "--widen",
        action="store_true",
        help="change no tensor; find only how much wider the spread is by kinds of chemistry",
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        calibrate_file(args.weights, args.data, args.out, args.readout, only_widen=args.widen)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
