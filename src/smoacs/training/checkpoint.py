"""The state of a training on disk, written in one step so that a kill leaves the last one."""

import pickle
from pathlib import Path
from typing import Any

import torch

from smoacs.errors import InputError
from smoacs.files import new_file


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, text, and lists and dictionaries of them.

    Raises:
        InputError: The file may not be written.
        ResourceError: The disk is full.
    """
    with new_file(path) as file:
        torch.save(state, file)


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
