"""Some frames of a long extxyz file; the others are passed over, not parsed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.structures.ase_files import read_ase

_LINE_END = 10


class Frames:
    """An extxyz file, whose frames are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Find where the frames begin.

        Raises:
            InputError: The file cannot be read, or is no extxyz file.
        """
        self._path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        self._begins = self._find()

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._begins) - 1

    def read(self, numbers: Sequence[int]) -> list[Structure]:
        """Crystals of some frames, in the order asked for.

        Raises:
            InputError: A frame is damaged or no crystal.
        """
        chosen = [self._data[self._begins[k] : self._begins[k + 1]] for k in numbers]
        try:
            found = [s for s, _ in read_ase(self._path, b"".join(chosen), "extxyz")]
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from error
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{self._path}: cannot be read as a crystal structure ({reason})"
            ) from error
        if len(found) != len(chosen):
            raise InputError(f"{self._path}: is damaged")
        return found

    def _find(self) -> list[int]:
        """Where each frame begins, in bytes, and the last ends."""
        ends: NDArray[np.intp] = np.flatnonzero(
            np.frombuffer(self._data, dtype=np.uint8) == _LINE_END
        )
        begins, line = [0], 0
        while begins[-1] < len(self._data):
            first = self._data[begins[-1] : int(ends[line]) if line < len(ends) else None]
            if not first.strip().isdigit():
                raise InputError(f"{self._path}: is damaged: a frame begins with a number of atoms")
            line += int(first) + 2  # and a line of the cell
            if line > len(ends):
                raise InputError(f"{self._path}: is damaged: the last frame is cut off")
            begins.append(int(ends[line - 1]) + 1)
        return begins
