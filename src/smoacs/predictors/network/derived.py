"""What follows from weights alone: worked out once, and again when a weight has changed."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

_Result = TypeVar("_Result")


class _Known(NamedTuple, Generic[_Result]):
    """A result and what tells that it still holds.

    Attributes:
        sources: Hold the memory, which so becomes no other tensor's.
        state: Place and version of each.
        result: Of the function.
    """

    sources: list[Tensor]
    state: list[tuple[int, int]]
    result: _Result


class Derived(Generic[_Result]):
    """A function of tensors that need no gradient, which remembers its last result."""

    def __init__(self, function: Callable[..., _Result]) -> None:
        """Take the function; it takes tensors."""
        self._function = function
        self._known: _Known[_Result] | None = None

    def __call__(self, *tensors: Tensor) -> _Result:
        """The function's result for these tensors, without a gradient."""
        state = [(x.data_ptr(), _version(x)) for x in tensors]
        known = self._known
        if known is None or known.state != state:
            with torch.inference_mode(mode=False), torch.no_grad():
                result = self._function(*tensors)
            self._known = known = _Known([x.detach() for x in tensors], state, result)
        return known.result


def _version(x: Tensor) -> int:
    """How often a tensor was changed in place; one made in inference mode does not count."""
    return 0 if x.is_inference() else x._version  # noqa: SLF001 - torch has no other name for it
