"""Memory that stays with the process between one prediction and the next."""

from functools import cache

import torch

LARGEST_HELD = (32 << 20) - (64 << 10)
"""Bytes; glibc takes arrays of 32 MiB and more from the system whatever was freed before."""


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
