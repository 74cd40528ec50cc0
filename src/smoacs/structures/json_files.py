"""JSON files of pymatgen: a structure, an entry with one, or many of either."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pymatgen.core import Structure

from smoacs.errors import InputError

_INSIDE: Final = ("structure", "final_structure", "initial_structure")


def read_json(text: str) -> Iterator[tuple[Structure, list[str]]]:
    """Structures of a JSON text, in order.

    Raises:
        InputError: It holds none.
    """
    data = json.loads(text)
    structure = _structure(data)
    if structure is not None:
        yield structure, []
        return
    items = list(data.values()) if isinstance(data, dict) else data
    for number, item in enumerate(items):
        structure = _structure(item)
        if structure is None:
            raise InputError(
                f"its item {number} is no structure: JSON files hold dictionaries of pymatgen's "
                "Structure, with lattice and sites, or entries with a structure"
            )
        yield structure, []


def _structure(item: object) -> Structure | None:
    """The structure that an item is or has; None if it has none."""
    if not isinstance(item, Mapping):
        return None
    if "lattice" in item and "sites" in item:
        content: dict[str, Any] = dict(item)
        return Structure.from_dict(content)
    inside = next((item[key] for key in _INSIDE if isinstance(item.get(key), Mapping)), None)
    return None if inside is None else _structure(inside)
