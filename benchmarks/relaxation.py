r"""Relaxation on the built-in formation energy, against DFT cells and against CHGNet.

    python benchmarks/relaxation.py megnet_mp2018.parquet \
        --out benchmarks/results/relaxation.json

Four measurements: held-out crystals, each axis strained by up to 8 % and the atoms rattled by
0.1 Å, relax back to the DFT cell; random neutral perovskites in cubes of 3 to 6 Å relax on the
predictor and on CHGNet (extra `chgnet`), by its own optimiser and by ours, and CHGNet is also held
against itself; the same from rattled cubes, where nothing ties the cell; 256 five-atom cells relax
against the clock.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from off_equilibrium import held_out, random_perovskites
from pymatgen.core import Lattice, Structure

from smoacs.predictors import Predictor, load_predictor
from smoacs.relaxation import Relaxed, relax_structures

STRAIN = 0.08
RATTLE = 0.1
"""Å."""

BESIDE = 0.001
"""Å; so far apart are starts that should end alike."""

FMAX = 0.01
"""eV/Å, at which both come to rest where they are compared. At the usual 0.05 soft boxes stop up to
several per cent short: of 200, CHGNet ended elsewhere by more than 4 % in one length for 2 %."""

OWN_FMAX = 0.1
"""eV/Å, at which CHGNet's own optimiser stops unless told otherwise."""

MAX_STEPS = 600
RATTLED_STREAM = 5


def disturbed(structure: Structure, rng: np.random.Generator) -> Structure:
    """Each axis strained at random, each atom moved in a random direction."""
    strain = np.diag(1 + rng.uniform(-STRAIN, STRAIN, 3))
    lattice = Lattice(structure.lattice.matrix @ strain)
    strained = Structure(lattice, structure.species, structure.frac_coords)
    return rattled(strained, RATTLE, rng)


def rattled(structure: Structure, distance: float, rng: np.random.Generator) -> Structure:
    """Each atom moved by so many Å in a random direction."""
    step = rng.normal(size=(len(structure), 3))
    step *= distance / np.linalg.norm(step, axis=1, keepdims=True)
    lattice = structure.lattice
    frac = structure.frac_coords + lattice.get_fractional_coords(step)
    return Structure(lattice, structure.species, frac)


def lengths(structures: list[Structure]) -> np.ndarray:
    """Lattice lengths, Å, [n, 3]."""
    return np.array([s.lattice.abc for s in structures])


def against_dft(
    predictor: Predictor, structures: list[Structure], rng: np.random.Generator
) -> dict[str, float]:
    """Relax disturbed crystals and compare with what they were."""
    starts = [disturbed(structure, rng) for structure in structures]
    relaxed = relax_structures(starts, predictor)
    real = lengths(structures)
    off = np.abs(lengths([r.structure for r in relaxed]) / real - 1)
    before = np.abs(lengths(starts) / real - 1)
    volume = [r.structure.volume / s.volume - 1 for r, s in zip(relaxed, structures, strict=True)]
    return {
        "crystals": len(structures),
        "median_length_error": float(np.median(off)),
        "median_length_error_before": float(np.median(before)),
        "mean_length_error": float(off.mean()),
        "median_volume_change": float(np.median(volume)),
        "all_lengths_within_3_percent": float((off.max(1) <= 0.03).mean()),
        **_rest(relaxed),
    }


def against_chgnet(
    predictor: Predictor, reference: Predictor, n: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Relax random perovskites on both, from the same cubes, free and with the space group kept.

    And free by CHGNet's own optimiser as it comes, both to its tolerance. The reference relaxes
    them from other cubes as well: how far it agrees with itself is the most that any model of it
    can reach. The ideal cubes are saddle points of many, which rounding lets single-precision
    forces leave, or not.
    """
    perovskites = random_perovskites(n, rng)
    starts = in_cubes(perovskites, rng)
    known = predictor.elements & reference.elements
    starts = [s for s in starts if known.issuperset(e.symbol for e in s.elements)]
    others = in_cubes(starts, rng)
    report = {"chgnet_own": against_own_optimiser(predictor, reference, starts, others)}
    for name, kept in (("chgnet", False), ("chgnet_space_group_kept", True)):
        ours, theirs, again = (
            relax_structures(s, p, fmax=FMAX, max_steps=MAX_STEPS, keep_symmetry=kept)
            for s, p in ((starts, predictor), (starts, reference), (others, reference))
        )
        both = np.array([a.converged and b.converged for a, b in zip(ours, theirs, strict=True)])
        report[name] = {
            "perovskites": len(starts),
            **agreement(*_ends(ours, theirs)),
            **{f"itself_{key}": x for key, x in agreement(*_ends(again, theirs)).items()},
            "both_at_rest": float(both.mean()),
            **_rest(ours),
        }
    report["chgnet_rattled"] = from_rattled(
        predictor, reference, starts, np.random.default_rng(RATTLED_STREAM)
    )
    return report


def against_own_optimiser(
    predictor: Predictor, reference: Predictor, starts: list[Structure], others: list[Structure]
) -> dict[str, float]:
    """Relax cubes free, on both by our optimiser, and by CHGNet's own; by that from others, too."""
    from chgnet.model import StructOptimizer  # noqa: PLC0415 - an extra

    own = StructOptimizer(use_device="cpu")
    theirs, again = (
        [own.relax(s, verbose=False, assign_magmoms=False)["final_structure"] for s in structures]
        for structures in (starts, others)
    )
    ours = relax_structures(starts, predictor, fmax=OWN_FMAX, max_steps=MAX_STEPS)
    swapped = relax_structures(starts, reference, fmax=OWN_FMAX, max_steps=MAX_STEPS)
    of_theirs = {"itself": again, "our_optimiser": _ends(swapped)[0]}
    return {
        "perovskites": len(starts),
        **agreement(*_ends(ours), theirs),
        **{
            f"{name}_{key}": value
            for name, ends in of_theirs.items()
            for key, value in agreement(ends, theirs).items()
        },
        **_rest(ours),
    }


def from_rattled(
    predictor: Predictor, reference: Predictor, starts: list[Structure], rng: np.random.Generator
) -> dict[str, float]:
    """Relax rattled crystals on both, free.

    The reference also from starts next to these, and from the same cubes rattled anew.
    """
    rattles = [rattled(start, RATTLE, rng) for start in starts]
    beside = [rattled(start, BESIDE, rng) for start in rattles]
    anew = [rattled(start, RATTLE, rng) for start in starts]
    ours = relax_structures(rattles, predictor, fmax=FMAX, max_steps=MAX_STEPS)
    theirs, next_to, again = _ends(
        *(
            relax_structures(s, reference, fmax=FMAX, max_steps=MAX_STEPS)
            for s in (rattles, beside, anew)
        )
    )
    return {
        "perovskites": len(starts),
        **agreement(*_ends(ours), theirs),
        **{f"itself_{key}": value for key, value in agreement(next_to, theirs).items()},
        **{f"itself_anew_{key}": value for key, value in agreement(again, theirs).items()},
        **_rest(ours),
    }


def in_cubes(structures: list[Structure], rng: np.random.Generator) -> list[Structure]:
    """The same crystals in cubes of 3 to 6 Å."""
    return [
        Structure(Lattice.cubic(rng.uniform(3.0, 6.0)), s.species, s.frac_coords)
        for s in structures
    ]


def _ends(*relaxed: list[Relaxed]) -> list[list[Structure]]:
    return [[r.structure for r in each] for each in relaxed]


def agreement(ours: list[Structure], theirs: list[Structure]) -> dict[str, float]:
    """Shares of crystals whose lattice lengths, all or their geometric mean, are alike."""
    off = lengths(ours) / lengths(theirs) - 1
    mean = np.abs(np.exp(np.log1p(off).mean(1)) - 1)
    return {
        "all_lengths_within_4_percent": float((np.abs(off).max(1) <= 0.04).mean()),
        "mean_length_within_4_percent": float((mean <= 0.04).mean()),
        "median_mean_length_error": float(np.median(mean)),
    }


def _rest(relaxed: list[Relaxed]) -> dict[str, float]:
    return {
        "at_rest": float(np.mean([r.converged for r in relaxed])),
        "median_steps": float(np.median([r.steps for r in relaxed])),
    }


def against_the_clock(predictor: Predictor, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Relax perovskites in cubes of 3.5 to 4.5 Å with rattled atoms."""
    starts = []
    for structure in random_perovskites(n, rng):
        cube = Lattice.cubic(rng.uniform(3.5, 4.5))
        starts.append(disturbed(Structure(cube, structure.species, structure.frac_coords), rng))
    starts = [s for s in starts if predictor.elements.issuperset(e.symbol for e in s.elements)]
    begin = time.perf_counter()
    relaxed = relax_structures(starts, predictor)
    return {"cells": len(starts), "seconds": time.perf_counter() - begin, **_rest(relaxed)}


def measure(
    predictor: Predictor, data: Path, *, crystals: int, perovskites: int, cells: int
) -> dict[str, dict[str, float]]:
    """All three measurements; 0 leaves one out."""
    rng = np.random.default_rng(0)
    report: dict[str, dict[str, float]] = {}
    if crystals:
        report["dft"] = against_dft(predictor, held_out(data, crystals, rng), rng)
    if cells:
        report["clock"] = against_the_clock(predictor, cells, rng)
    if perovskites:
        reference = load_predictor("chgnet", device="cpu")
        report |= against_chgnet(predictor, reference, perovskites, rng)
    return report


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Relaxation on the built-in formation energy.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--predictor", default=None, help="weights; the built-in ones if left out")
    parser.add_argument("--crystals", type=int, default=200)
    parser.add_argument("--perovskites", type=int, default=200)
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    report = measure(
        load_predictor(args.predictor, device="cpu"),
        args.data,
        crystals=args.crystals,
        perovskites=args.perovskites,
        cells=args.cells,
    )
    text = json.dumps(
        {name: {k: round(v, 4) for k, v in row.items()} for name, row in report.items()}, indent=1
    )
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
