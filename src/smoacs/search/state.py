"""The state of a search between two steps: what decides all that is still to come.

A part of the search is a generator, a mapping of tensors that are written in place, or any object.
Of an object every attribute is state but for those that its class names in `NOT_STATE`: settings,
and other objects, which are parts of their own or belong to whoever built it. What is neither named
there nor can be kept is refused, so that nobody can forget a new attribute.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

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


def state_of(part: object) -> Any:  # noqa: ANN401 - a tensor or a dictionary
    """Copy of a part's state.

    Raises:
        TypeError: The part holds what cannot be kept.
    """
    if isinstance(part, torch.Generator):
        return part.get_state()
    return {name: _copy(name, value, part) for name, value in _items(part).items()}


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
    items = _items(part)
    if set(items) != set(state):
        changed = ", ".join(sorted(set(items) ^ set(state)))
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


def _items(part: object) -> Mapping[str, Any]:
    """Attributes or entries that are state."""
    if isinstance(part, Mapping):
        return part
    left_out: frozenset[str] = getattr(type(part), "NOT_STATE", frozenset())
    return {name: value for name, value in vars(part).items() if name not in left_out}


def _copy(name: str, value: Any, owner: object) -> Any:  # noqa: ANN401 - as State
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, dict):
        return {key: _copy(f"{name}[{key!r}]", item, owner) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(f"{name}[{k}]", item, owner) for k, item in enumerate(value)]
    raise TypeError(
        f"a checkpoint cannot keep {name} of {type(owner).__name__}, a {type(value).__name__}: "
        "make it a tensor, a number or a text, or name it in NOT_STATE"
    )


def _moved(value: Any, device: torch.device) -> Any:  # noqa: ANN401 - as State
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value
