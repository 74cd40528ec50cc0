"""Freed memory is there for the next arrays, without a page from the system."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from smoacs.predictors.memory import hold_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "held":
    hold_freed_memory()
for turn in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [torch.zeros(150_000) for _ in range(30)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(which):
    command = [sys.executable, "-c", COUNT, which]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_freed_memory_is_held():
    assert pages("held") < 100 < pages("as it is")
