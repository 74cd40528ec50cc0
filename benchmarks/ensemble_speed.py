r"""What the ensemble with all its properties costs beside one member with one property.

    python benchmarks/ensemble_speed.py --out benchmarks/results/ensemble_speed.json

Forward and backward (by species, positions and cell) for 256 perovskites, ready neighbour lists,
one core, both in one run and in turns. "step" is a whole step of the optimiser for 256 candidates,
on all cores.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from off_equilibrium import random_perovskites

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors import SPREAD_SUFFIX, load_predictor
from smoacs.predictors.builtin import NetworkPredictor
from smoacs.predictors.network import Network
from smoacs.request import DesignConfig
from smoacs.search.api import run_search

SINGLE = "formation_energy"
STEP_TARGETS = (
    "band_gap = 2.5 ± 0.2",
    "formation_energy < -0.5",
    "energy_above_hull < 0.05",
    "bulk_modulus > 100",
    "shear_modulus > 50",
)


def single_member(ensemble: NetworkPredictor) -> NetworkPredictor:
    """The first member of the ensemble, with one property."""
    old = ensemble.network
    settings = replace(old.settings, members=1)
    k = old.properties.index(SINGLE)
    new = Network(settings, (SINGLE,))
    state = new.state_dict()
    members = {name for name, _ in old.named_parameters()}
    for name, tensor in old.state_dict().items():
        if name in state:
            part = tensor[:1] if name in members else tensor
            narrow = part.shape != state[name].shape
            state[name] = part[..., k : k + 1] if narrow else part
    new.load_state_dict(state)
    header = replace(ensemble.header, settings=settings, properties={SINGLE: "eV/atom"}, log10={})
    return NetworkPredictor(new, header, torch.zeros(0, dtype=torch.int64))


def forward_backward(
    predictor: NetworkPredictor, crystals: Crystals, *, spread: bool
) -> Callable[[], None]:
    """One pass with the gradients of all properties, or of their spreads as well."""
    species, frac, cell = (
        x.float().requires_grad_()
        for x in (crystals.species_probs, crystals.frac_coords, crystals.cell)
    )
    live = crystals.replace(species_probs=species, frac_coords=frac, cell=cell)
    neighbors = neighbor_list(live, predictor.cutoff)

    def work() -> None:
        out = predictor(live, neighbors)
        wanted = [v for name, v in out.items() if spread or not name.endswith(SPREAD_SUFFIX)]
        torch.autograd.grad(torch.stack(wanted).sum(), [species, frac, cell])

    return work


def in_turns(works: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """Median seconds of each, done in turns after one unmeasured round."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, column in zip(works, seconds, strict=True):
            begin = time.perf_counter()
            work()
            if number > 0:
                column.append(time.perf_counter() - begin)
    return [statistics.median(column) for column in seconds]


def measure(weights: str | None, cells: int = 256, rounds: int = 5) -> dict[str, float]:
    """Seconds and ratios for a weights file."""
    combined = load_predictor(weights, device="cpu")
    ensemble = combined.parts[0]
    if not isinstance(ensemble, NetworkPredictor):
        msg = "this measures built-in networks"
        raise TypeError(msg)
    torch.set_num_threads(1)
    crystals = Crystals.from_structures(random_perovskites(cells, np.random.default_rng(0)))
    single, full, doubtful = in_turns(
        [
            forward_backward(single_member(ensemble), crystals, spread=False),
            forward_backward(ensemble, crystals, spread=False),
            forward_backward(ensemble, crystals, spread=True),
        ],
        rounds,
    )
    targets = tuple(t for t in STEP_TARGETS if t.split()[0] in combined.properties)
    config = DesignConfig(targets=targets, n=cells, steps=rounds, rest="none")
    result = run_search(config, predictor=combined)
    return {
        "cells": cells,
        "properties": len(ensemble.network.properties),
        "members": ensemble.network.settings.members,
        "single_member_s": single,
        "ensemble_s": full,
        "ensemble_with_spread_gradients_s": doubtful,
        "ratio": full / single,
        "step_s": result.timings["total"] / result.steps,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Cost of the ensemble.")
    parser.add_argument("--predictor", default=None, help="weights; the built-in ones if left out")
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    report = measure(args.predictor, args.cells, args.rounds)
    text = json.dumps({k: round(v, 4) for k, v in report.items()}, indent=1)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
