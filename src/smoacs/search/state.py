"""The state of a search between two steps: what decides all that is still to come.

A part of the search is a generator, a mapping of leaf tensors, or any object. Of an object, every
tensor, number and text is state, and so is every list and dictionary of these; what else it holds
(settings, other objects) belongs to whoever built it. So a new attribute is kept without a word.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from smoacs.crystals import SoftCrystals
from smoacs.errors import InputError

State = dict[str, Any]
"""Tensors (on the CPU), numbers, text, None, and lists and dictionaries of them."""


class Keeper(Protocol):
    """Keeps the states of a search, and may ask it to stop."""

    def last(self) -> State | None:
        """State to go on from; None to begin."""

    @property
    def due(self) -> bool:
        """Whether it is time to keep a state."""

    @property
    def stop_asked(self) -> bool:
        """Whether the search is to stop after this step."""

    def keep(self, state: State) -> None:
        """Keep a state in place of the last one."""


def leaves(soft: SoftCrystals) -> dict[str, Tensor]:
    """Variables of the candidates, by their names, and what each may hold where they differ."""
    found = {n: t for n, t in vars(soft).items() if isinstance(t, Tensor) and t.requires_grad}
    if soft.space.individual:
        found["allowed"] = soft.space.allowed
        found["combination_used"] = soft.space.combination_used
    return found


def state_of(part: object) -> Any:  # noqa: ANN401 - a tensor or a dictionary
    """Copy of a part's state.

    Raises:
        TypeError: A list or dictionary of the part holds what cannot be kept.
    """
    if isinstance(part, torch.Generator):
        return part.get_state()
    items = part if isinstance(part, Mapping) else vars(part)
    return {name: _copy(value) for name, value in items.items() if _is_state(value)}


def put_back(part: object, state: Any, device: torch.device) -> None:  # noqa: ANN401 - as above
    """Give a part, built as it was before, the state that it had.

    Args:
        part: Changed in place.
        state: What `state_of` gave.
        device: Where the tensors of the part belong.

    Raises:
        InputError: The part has other tensors and numbers than the state.
    """
    if isinstance(part, torch.Generator):
        part.set_state(state)
        return
    items = part if isinstance(part, Mapping) else vars(part)
    names = {name for name, value in items.items() if _is_state(value)}
    if names != set(state):
        changed = ", ".join(sorted(names ^ set(state)))
        raise InputError(
            f"the checkpoint was written by another version of smoacs (it differs in {changed}): "
            "resume with that version, or start afresh"
        )
    for name, value in state.items():
        current = items[name]
        if isinstance(current, Tensor) and (current.requires_grad or isinstance(part, Mapping)):
            with torch.no_grad():  # others hold the same tensor
                current.copy_(value)
        elif isinstance(current, dict):
            current.clear()
            current.update(_moved(value, device))
        else:
            setattr(part, name, _moved(value, device))


def _is_state(value: object) -> bool:
    if isinstance(value, (Tensor, bool, int, float, str)) or value is None:
        return True
    if isinstance(value, (set, list, dict)):
        contents = value.values() if isinstance(value, dict) else value
        if isinstance(value, set) or not all(_is_state(item) for item in contents):
            raise TypeError(f"a checkpoint cannot keep {value!r}")
        return True
    return False


def _copy(value: Any) -> Any:  # noqa: ANN401 - as State
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _moved(value: Any, device: torch.device) -> Any:  # noqa: ANN401 - as State
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value
