"""An engine that calculates nothing: what it does is up to the first element of the crystal.

Standard library only, so that it starts quickly. It logs every finished calculation.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def answer(reply):
    sys.stdout.write(json.dumps(reply))
    sys.exit()


calculation = json.loads(sys.stdin.readline())
first = calculation["symbols"][0]
if first == "He":
    answer({"failure": "not self-consistent after 150 iterations"})
if first == "Be":
    while True:  # burns CPU time
        pass
if first == "B":
    time.sleep(600)
if first == "C":
    os.kill(os.getpid(), signal.SIGABRT)
if first == "N":
    sys.stdout.write("garbage")
    sys.exit("the engine exploded")
if first == "O":
    answer({"missing": "the fake engine is not installed"})
values = {
    "band_gap": float("nan") if first == "F" else calculation["lattice"][0],
    "band_gap_direct": 1.0,
    "energy_per_atom": -1.0,
    "pressure": None,
    "stress": None,
    "forces": [[0.0, 0.0, 0.0]] * len(calculation["symbols"]),
    "max_force": 0.0,
    "magnetic_moment": 0.0,
    "spin_polarized": calculation["spin_polarized"],
    "hubbard_u": calculation["hubbard_u"],
    "cutoff": calculation["cutoff"],
    "kpoints": calculation["kpoints"],
    "iterations": int(os.environ["OMP_NUM_THREADS"]),
    "engine": "fake 1",
}
with Path(os.environ["FAKE_LOG"]).open("a") as log:
    log.write(f"{calculation['lattice'][0]}\n")
answer({"values": values})
