"""Freed memory is there for the next prediction, without a page from the system."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource

from smoacs.crystals import Crystals
from smoacs.evaluation import Evaluator
from smoacs.predictors import load_predictor
from smoacs.templates import perovskite

structure = perovskite().to_structure(["Sr", "Ti", "O", "O", "O"]) * (3, 3, 3)
crystals = Crystals.from_structures([structure.perturb(0.05)])
counts = []
with Evaluator(load_predictor(device="cpu"), ()) as evaluator:
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        evaluator.energy_slopes(crystals)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(counts))  # a busy system may take pages away in between
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_freed_memory_is_held():
    command = [sys.executable, "-c", COUNT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert int(done.stdout) < 300, "1 or 2 here; without it 3,000 to 6,000"
