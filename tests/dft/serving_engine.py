"""An engine that uses `serve`: slow, noisy, and out of memory for lithium."""

import os
import sys
import time
from pathlib import Path

from smoacs.dft import Calculation, DftError, DftValues, serve


def run(calculation: Calculation) -> DftValues:
    sys.stdout.write("noise that must not reach the answer\n")
    sys.stdout.flush()
    if calculation.symbols[0] == "Li":
        bytearray(2**40)
    if calculation.symbols[0] == "He":
        raise DftError("no result")
    if calculation.symbols[0] == "Be":
        raise KeyError("a bug")
    for _ in range(20):
        time.sleep(0.02)
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        log.write(f"{calculation.lattice[0]}\n")
    return DftValues(
        band_gap=calculation.lattice[0],
        band_gap_direct=1.0,
        energy_per_atom=-1.0,
        pressure=0.5,
        stress=(-0.5, -0.5, -0.5, 0.0, 0.0, 0.0),
        forces=((0.0, 0.0, 0.0),) * len(calculation.symbols),
        max_force=0.0,
        magnetic_moment=0.0,
        spin_polarized=calculation.spin_polarized,
        hubbard_u=calculation.hubbard_u,
        cutoff=calculation.cutoff,
        kpoints=calculation.kpoints,
        iterations=1,
        engine="serving 1",
    )


if __name__ == "__main__":
    serve(run)
