"""What a search has finished for good, in files that are written once.

A search over thousands of seeds has the results of all that it is done with among its state.
Written anew with every checkpoint they would take time that grows with the square of their number,
so each goes to the disk once, before the first checkpoint that counts it: in the folder `finished`,
a file for each checkpoint that found new ones. Files that no checkpoint counts, because the process
was killed in between, are replaced.
"""

from collections.abc import Sequence
from pathlib import Path

from smoacs.errors import InputError
from smoacs.search.state import State
from smoacs.training.checkpoint import load_state, save_state

Extent = dict[str, int]
"""How much counts: `parts` in as many `files`."""


class FinishedParts:
    """The files of one search."""

    def __init__(self, folder: Path) -> None:
        """Take their folder, which need not exist."""
        self._folder = folder
        self._parts = self._files = 0

    def add(self, states: Sequence[State]) -> Extent:
        """Write what is not on the disk yet, and say how much then is.

        Args:
            states: All that is finished, in its order; a later call has the same and more.

        Raises:
            InputError: The files may not be written.
            ResourceError: The disk is full; the next call tries again.
        """
        new = list(states[self._parts :])
        if new:
            self._folder.mkdir(exist_ok=True)
            save_state(self._file(self._files), {"states": new})
            self._parts, self._files = len(states), self._files + 1
        return {"parts": self._parts, "files": self._files}

    def read(self, extent: Extent) -> list[State]:
        """All that counts; later calls of `add` go on from there.

        Raises:
            InputError: A file is missing or damaged.
        """
        states: list[State] = []
        for number in range(extent["files"]):
            states += load_state(self._file(number))["states"]
        if len(states) != extent["parts"]:
            raise InputError(f"the checkpoint {self._folder} is damaged: delete it to start afresh")
        self._parts, self._files = extent["parts"], extent["files"]
        return states

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.pt"
