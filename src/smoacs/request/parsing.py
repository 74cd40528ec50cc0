"""Settings as users write them, and what to tell them of mistakes."""

import difflib
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from smoacs.chemistry import element_items
from smoacs.errors import InputError, short
from smoacs.text import decode

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


def read_toml(path: Path, needed: str = "a line targets = [...]") -> dict[str, object]:
    """Read a TOML file of settings.

    Args:
        path: The file.
        needed: What is in it at least.

    Raises:
        InputError: It is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(decode(path.read_bytes()))
    except FileNotFoundError:
        msg = f"{path}: no such file; give a TOML file with at least {needed}"
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror})"
    except RecursionError:
        msg = f"{path}: is not valid TOML (nested too deeply)"
    except ValueError as error:  # no TOML, no text, or a number of thousands of digits
        msg = f"{path}: is not valid TOML ({error})"
    raise InputError(msg)


def element_list(value: object, *, forbidden: bool) -> object:
    """Items of a list of elements, checked; anything else is left to pydantic.

    Raises:
        InputError: An item is neither an element nor a preset.
    """
    if isinstance(value, str):
        return element_items(value, forbidden=forbidden)
    if isinstance(value, (list, tuple, set, frozenset)) and all(
        isinstance(item, str) for item in value
    ):
        return element_items(value, forbidden=forbidden)
    return value


def sentence(
    errors: "list[ErrorDetails]",
    fields: "Mapping[str, FieldInfo]",
    complete: AbstractSet[str],
) -> str:
    """Turn pydantic's errors into one sentence: setting, value, what would be right.

    Args:
        errors: At least one.
        fields: Settings in the order in which they are listed.
        complete: Settings whose errors say themselves which part of them is wrong.
    """
    # A misspelt setting explains why another is missing.
    error = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    location = error["loc"]
    cause = error.get("ctx", {}).get("error")
    if not location:  # two settings that do not go together
        return str(cause)
    name = str(location[0])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "the settings are " + ", ".join(fields)
        return f"unknown setting {short(repr(name))}; {hint}"
    right = fields[name].description
    if error["type"] == "missing":
        return f"the setting {name!r} is missing: it must be {right}"
    where = name if len(location) == 1 else f"{name}[{location[1]}]"
    if isinstance(cause, InputError):
        return str(cause) if name in complete else f"{name}: {cause}"
    return f"{where} = {short(repr(error['input']))} is not right: {name} must be {right}"
