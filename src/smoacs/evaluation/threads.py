"""One thread inside torch: these networks are too small for more, and sums keep their order."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

ATOMS_PER_CHUNK = (80, 320)
"""Fewest and most atoms evaluated together on a CPU. A chunk costs as much as 75 atoms more, most
of it Python's, which one thread at a time can do; more than the most are too many for the caches.
"""

ATOMS_PER_CHUNK_GPU = 20_000

LARGEST_HELD = (32 << 20) - (64 << 10)
"""Bytes; glibc takes arrays of 32 MiB and more from the system whatever was freed before."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Workers = TypeVar("_Workers", bound="Workers")


@contextmanager
def single_thread() -> Iterator[None]:
    """Keep torch to one thread, so that the same input gives the same digits, run after run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """Cores that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def atoms_per_chunk(counts: Tensor) -> int:
    """Atoms to evaluate together, forward and backward, of crystals with `counts` [B] atoms.

    Cores have as many chunks each, and chunks as many atoms, so that no core waits for another.
    """
    if counts.device.type != "cpu":
        return ATOMS_PER_CHUNK_GPU
    fewest, most = ATOMS_PER_CHUNK
    total = max(1, int(counts.sum()))
    chunks = cores() * math.ceil(total / (cores() * most))
    return math.ceil(total / max(1, min(chunks, total // fewest)))


@cache
def hold_freed_memory() -> None:
    """Let the C library keep arrays that were freed, for the next ones; once in a process.

    glibc gives memory back to the system when arrays larger than a threshold are freed, and takes
    it again page by page, which is an eighth of the time of a step with a hundred atoms. The
    threshold rises to the largest array that was freed (`man mallopt`, M_MMAP_THRESHOLD): here it
    rises at once, with an array that is never written and so takes no memory. What is kept beyond
    need stays below 64 MiB. Other C libraries take no notice.
    """
    torch.empty(LARGEST_HELD, dtype=torch.uint8)


class Workers:
    """As many threads as cores, each with one thread inside torch; a context manager.

    Chunks of crystals run side by side: the networks are too small for the threads inside torch to
    pay off.
    """

    def __init__(self, threads: int | None = None) -> None:
        """Take so many threads; as many as cores that the process may use if None."""
        hold_freed_memory()
        self._pool = ThreadPoolExecutor(
            threads or cores(), initializer=torch.set_num_threads, initargs=(1,)
        )

    def __enter__(self: _Workers) -> _Workers:  # noqa: PYI019 - beartype does not know Self here
        """Keep torch to one thread per worker."""
        self._one_thread = single_thread()
        self._one_thread.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers and give torch its threads back."""
        self._pool.shutdown(cancel_futures=True)
        self._one_thread.__exit__(kind, error, trace)

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Do the work for each item, and give the results in their order.

        A single item is worked on in this thread: to hand it over and wait takes milliseconds.
        """
        items = list(items)
        if len(items) == 1:
            return [work(items[0])]
        return list(self._pool.map(work, items))
