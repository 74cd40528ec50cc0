"""The state of a training on disk, written in one step so that a kill leaves the last one."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from smoacs.errors import InputError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at any moment there is the old or the new one, never half of one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, text, and lists and dictionaries of them."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, onto the CPU; no other objects are unpickled.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(
            f"the checkpoint {path} is damaged: delete its folder to start afresh"
        ) from error
    return state
