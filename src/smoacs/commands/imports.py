"""Imports of what a command needs, at the speed that they can have."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage, of which modules make none.

    torch, pandas and pymatgen make some million objects on import, and Python stops after every
    few hundred to look for unreachable ones: a quarter of the time of a short command.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
