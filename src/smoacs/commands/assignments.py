"""`--set KEY=VALUE`: any setting of a design, on the command line."""

import re
import tomllib
from collections.abc import Iterable, Mapping

from smoacs.errors import InputError, short


def read_assignments(texts: Iterable[str], given: Mapping[str, object]) -> dict[str, object]:
    """Settings by name, each value read as TOML; what is no TOML is a text.

    Args:
        texts: Such as "oxidation_table=smact" or "lattice={a=[3.8, 4.2]}".
        given: Settings that options have given already.

    Raises:
        InputError: A text is not of this form, or a setting is given twice.
    """
    settings: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not re.fullmatch(r"\w+", key):
            raise InputError(
                f"--set {short(text)!r} is not of the form KEY=VALUE, with the name of a setting "
                'and its value as in TOML, such as --set "lattice={a=[3.8, 4.2]}"'
            )
        if key in settings or key in given:
            raise InputError(f"{key} is given twice: leave one out")
        settings[key] = _value(value.strip())
    return settings


def _value(text: str) -> object:
    try:
        read = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return read["value"] if set(read) == {"value"} else text  # a newline may begin another key
