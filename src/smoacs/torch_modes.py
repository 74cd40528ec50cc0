"""The modes of torch that our own work needs, whatever the program around it has set."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def _stay_with_one_thread() -> None:
    """In a forked process torch's other threads are gone, and waiting for them has no end."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_stay_with_one_thread)


@contextmanager
def own_modes() -> Iterator[None]:
    """Gradients on, and float32 as the default of new tensors; a decorator, too.

    Inside `torch.no_grad` or `torch.inference_mode`, or with float64 as the default, a search would
    find no gradient, or mix precisions. What was set is set again afterwards.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)
