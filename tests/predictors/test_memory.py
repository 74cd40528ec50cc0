"""Freed memory is there for the next arrays, without a page from the system."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from smoacs.predictors.memory import hold_freed_memory

torch.set_num_threads(1)
hold_freed_memory()
for turn in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [torch.zeros(150_000) for _ in range(30)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_freed_memory_is_held():
    # Without it there are thousands, but none where something happens to lie behind the heap.
    command = [sys.executable, "-c", COUNT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert int(done.stdout) < 100
