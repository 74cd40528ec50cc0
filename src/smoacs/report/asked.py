"""What was asked of a design, in words: every setting that is not what it is by default."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from smoacs.request import DesignConfig

_ELSEWHERE = {"template", "repeat", "targets", "n", "steps", "seed"}
"""Settings of every run, which have a place of their own wherever settings are shown."""

_LABELS = {
    "search": "search",
    "pareto": "spread along the front",
    "functions": "functions of your own",
    "elements": "only these elements",
    "forbidden": "never these",
    "sites": "elements by site",
    "lattice": "lattice within",
    "symmetry": "symmetry kept",
    "frozen": "sites that do not move",
    "max_displacement": "farthest displacement",
    "min_distance": "shortest distance, of radii",
    "distance_radii": "radii of distances",
    "batch_size": "candidates at a time",
    "required": "must occur",
    "counts": "numbers of atoms",
    "same": "same element on",
    "mixed": "equal sites may differ",
    "max_elements": "most elements",
    "oxidation_table": "table of oxidation numbers",
    "oxidation_states": "oxidation numbers",
    "site_charges": "charges by site",
}
"""Words for settings whose own name is not clear by itself."""


def settings_asked(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value, in words, of each setting that differs from its default.

    Template, repeat, targets, candidates, steps and seed are left out: every run has them.

    Args:
        config: The settings as summary.json has them; what an older version did not know yet is
            as by default.
    """
    defaults = _defaults()
    return [
        (_LABELS.get(name, name.replace("_", " ")), _WORDS.get(name, _words)(value))
        for name, value in DesignConfig.own_first(config).items()
        if name not in _ELSEWHERE and name in defaults and value != defaults[name]
    ]


@cache
def _defaults() -> Mapping[str, object]:
    return {
        name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in DesignConfig.model_fields.items()
        if not field.is_required()
    }


def _words(value: object) -> str:
    """A setting of any kind."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_words(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        texts = [_words(item) for item in value]
        return ("; " if any(" " in text for text in texts) else " ").join(texts)
    return str(value)


def _ranges(lattice: Mapping[str, tuple[float, float]]) -> str:
    """Ranges of lattice parameters: "a 3.8 to 4.2 Å; gamma 90°"."""
    parts = []
    for name, (low, high) in lattice.items():
        numbers = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        parts.append(f"{name} {numbers}{' Å' if name in 'abc' else '°'}")
    return "; ".join(parts)


def _charges(table: Mapping[str, list[int]]) -> str:
    return "; ".join(f"{k}: {' '.join(f'{n:+d}' for n in v)}" for k, v in table.items())


def _ratios(table: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{kind}: {' '.join(f'{symbol} {share:g}' for symbol, share in shares.items())}"
        for kind, shares in table.items()
    )


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "lattice": _ranges,
    "oxidation_states": _charges,
    "site_charges": _charges,
    "ratios": _ratios,
    "rest": {
        "minimum": "at a minimum of the predicted energy, all atoms and the lattice free",
        "symmetry": "at a minimum of the predicted energy within the template's symmetry",
        "none": "not asked for: crystals may be strained",
    }.__getitem__,
    "conservative": lambda value: f"by {value:g} × the standard deviation",
}
