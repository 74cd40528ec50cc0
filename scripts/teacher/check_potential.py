"""Compare `potential.Potential` with `nequix.calculator`, on rattled crystals of a table.

    python scripts/teacher/check_potential.py --teacher nequix-oam-1-pft.nqx \
        --data megnet_mp2018.parquet

One thread; compiling the calculator takes most of the time, some ten seconds for each crystal.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from compositions import database
from distortions import rattled
from nequix.calculator import NequixCalculator
from potential import Potential

RATTLE = 0.08
"""Å."""


def main() -> None:
    """Print the largest differences and the time for each crystal."""
    parser = argparse.ArgumentParser(description="Compare the fast potential with nequix's own.")
    parser.add_argument("--teacher", type=Path, required=True, help="the potential's .nqx file")
    parser.add_argument("--data", type=Path, required=True, help="crystals, Parquet")
    parser.add_argument("-n", type=int, default=6, help="crystals")
    args = parser.parse_args()
    potential = Potential(args.teacher)
    calculator = NequixCalculator(model_path=str(args.teacher), backend="jax", use_kernel=False)
    rng = np.random.default_rng(0)
    known = (
        recipe.atoms
        for recipe in database(args.data, 0, test=True)
        if potential.supports(recipe.atoms.numbers.tolist())
    )
    worst = np.zeros(3)
    for crystal in itertools.islice(known, args.n):
        atoms = rattled(crystal, RATTLE, rng)
        began = time.process_time()
        (ours,) = potential([atoms])
        seconds = time.process_time() - began
        atoms.calc = calculator
        differences = [
            abs(ours.energy - atoms.get_potential_energy()) / len(atoms),
            float(np.abs(ours.forces - atoms.get_forces()).max()),
            float(np.abs(ours.stress - atoms.get_stress(voigt=False)).max()),
        ]
        worst = np.maximum(worst, differences)
        print(f"{atoms.get_chemical_formula()}: {1000 * seconds:.0f} ms", differences)
    print(f"largest: {worst[0]:.1e} eV/atom, {worst[1]:.1e} eV/Å, {worst[2]:.1e} eV/Å³")


if __name__ == "__main__":
    main()
