"""Exceptions of the package; the command line maps each to its exit code."""

import re
import sys
from typing import Self

LONGEST = 380
"""Characters of a message at most: it is to be read, whatever of the input it quotes."""


class SmoacsError(Exception):
    """Root of everything that the package raises on purpose.

    Of a message longer than `LONGEST` the middle is left out; what is not printable is escaped, and
    passwords in addresses are left out.
    """

    def __init__(self, message: str = "") -> None:
        text = without_passwords(" ".join(message.splitlines()))
        super().__init__(short(text, LONGEST))


class InputError(SmoacsError, ValueError):
    """A mistake in what the user gave (command line: exit code 2)."""


class ResourceError(SmoacsError):
    """Out of memory, disk or time; the run can be resumed (command line: exit code 3)."""


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    @classmethod
    def of(cls, needs: str, extra: str) -> Self:
        """Say what is needed, and how to get it: the package is on no index, but in a folder.

        Args:
            needs: The sentence's beginning, such as "the predictor needs CHGNet".
            extra: Name of the extra in pyproject.toml.
        """
        return cls(f"{needs}: pip install '.[{extra}]' in the folder of smoacs' sources")


def short(value: object, length: int = 80) -> str:
    """Text of something that a user gave, fit to be quoted in one line of an error.

    What is not printable is escaped; of a long text, the middle is left out.

    Args:
        value: A text as it is; of anything else, its `repr`.
        length: At most so many characters.
    """
    text = value if isinstance(value, str) else repr(value)
    half = (length - len(_LEFT_OUT)) // 2
    if len(text) > length:
        text = f"{text[:half]}{_LEFT_OUT}{text[-half:]}"
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= length else f"{text[:half]}{_LEFT_OUT}{text[-half:]}"


_LEFT_OUT = " ... "


def without_passwords(text: str) -> str:
    """A text without the passwords of the addresses in it (`scheme://user:password@host`)."""
    text = re.sub(r"(://[^\s:/@'\"]*):[^\s'\"]*@", r"\1@", text)
    text = re.sub(r"[?&]\w*password=[^\s&#'\"]*", "", text)
    return re.sub(r"(\bpassword\s*=\s*)[^\s'\"]+", r"\1***", text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, of Python or of torch, says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
