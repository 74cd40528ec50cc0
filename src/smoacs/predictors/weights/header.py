"""The header of a weights file: what it says of the network, and whether that can be so.

Nothing of it is believed before it is checked: types, ranges, and whether its parts agree. What the
tensors must look like is for `smoacs.predictors.weights.storage`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pydantic import ConfigDict, TypeAdapter, ValidationError

from smoacs.chemistry import ELEMENTS
from smoacs.predictors.domain import TrainingDomain
from smoacs.predictors.network.readout import LINEAR, SQRT
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.properties import PROPERTIES, SPREAD_SUFFIX
from smoacs.predictors.widening import KINDS, Widening

FORMAT = 1

_MOST_PROPERTIES = 256
_LARGEST_EXPONENT = 30.0
"""Decades beyond which 10 to the exponent is no float32 with a slope."""


@dataclass(frozen=True, kw_only=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes:
        name: Name of the predictor.
        settings: Sizes of the network.
        properties: Unit of each property, in the order of the network's outputs.
        elements: Symbols of the elements in the training data.
        training_data: Sources and licences, in words.
        metrics: Fixed-out errors: property -> {"mae": ..., "n": ...} in the property's unit.
        log10: Properties that the network holds as logarithms (see `Network`).
        domain: What the relaxed training crystals cover; None in older files.
        scales: Words for what the values of a property are, such as the functional of a band gap.
        readouts: Properties with a kernel readout in place of a head, and its form (`readout`).
        widening: By how much the spread is wider for kinds of chemistry; None in older files.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    settings: NetworkSettings
    properties: Mapping[str, str]
    elements: tuple[str, ...]
    training_data: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    log10: Mapping[str, float] = field(default_factory=dict)
    domain: TrainingDomain | None = None
    scales: Mapping[str, str] = field(default_factory=dict)
    readouts: Mapping[str, str] = field(default_factory=dict)
    widening: Widening | None = None

    def decisive(self) -> str:
        """The parts that decide what the network gives for a crystal, always as the same text."""
        names = ["settings", "properties", "log10", "readouts"]
        if self.widening is not None:
            names.append("widening")
        content = asdict(self)
        # The order of properties is that of the outputs.
        return json.dumps([[n, list(content[n].items())] for n in names], ensure_ascii=True)


_HEADERS = TypeAdapter(WeightsHeader)


def header_text(header: WeightsHeader, fingerprint: str) -> str:
    """The header as it is written, with the fingerprint of the tensors."""
    return json.dumps({"format": FORMAT, "fingerprint": fingerprint, **asdict(header)})


def parse_header(text: str) -> tuple[WeightsHeader, str | None]:
    """Read and check what `header_text` wrote.

    Returns:
        The header, and the fingerprint of the tensors; None in files of earlier versions.

    Raises:
        ValueError: It is no header, or says what cannot be.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    if not isinstance(content, dict):
        raise TypeError("the header is no table")
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"unknown format, this version reads format {FORMAT}")
    fingerprint = content.pop("fingerprint", None)
    if not isinstance(fingerprint, str | None):
        raise TypeError("the fingerprint is no text")
    try:
        header = _HEADERS.validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg'].lower()}") from None
    header.settings.check()
    problem = next(_contradictions(header), None)
    if problem is not None:
        raise ValueError(problem)
    return header, fingerprint


def _contradictions(header: WeightsHeader) -> Iterator[str]:
    """What parts of a header say that cannot be so, or not together."""
    yield from _of_properties(header.properties)
    strange = set(header.elements).difference(ELEMENTS)
    if strange or not header.elements:
        yield f"elements must be symbols from H to Cf, not {min(strange, default='none')!r}"
    for part in ("log10", "readouts", "scales"):
        foreign: set[str] = getattr(header, part).keys() - header.properties.keys()
        if foreign:
            yield f"{part} names {min(foreign)!r}, which is no property of the file"
    yield from _of_widening(header.widening or Widening(), header.properties)
    for name, limit in header.log10.items():
        if not abs(limit) <= _LARGEST_EXPONENT:
            yield f"log10.{name} = {limit} must be from -{_LARGEST_EXPONENT} to {_LARGEST_EXPONENT}"
    for name, form in header.readouts.items():
        if form not in {SQRT, LINEAR}:
            yield f"readouts.{name} = {form!r} must be {SQRT!r} or {LINEAR!r}"
    for name, (low, high) in () if header.domain is None else header.domain.ranges.items():
        if not low <= high:
            yield f"domain.ranges.{name} must go from a number to a larger one"


def _of_widening(widening: Widening, properties: Mapping[str, str]) -> Iterator[str]:
    foreign = (widening.factors.keys() | widening.filled_bands.keys()) - properties.keys()
    if foreign:
        yield f"widening names {min(foreign)!r}, which is no property of the file"
    for name, factors in widening.factors.items():
        for kind, factor in factors.items():
            if kind not in KINDS or not 1 <= factor < math.inf:
                yield f"widening.factors.{name}: {kind!r} = {factor} is no factor of at least 1"
    for name, added in widening.filled_bands.items():
        if not 0 <= added < math.inf:
            yield f"widening.filled_bands.{name} = {added} is no standard deviation"


def _of_properties(properties: Mapping[str, str]) -> Iterator[str]:
    if not 1 <= len(properties) <= _MOST_PROPERTIES:
        yield f"properties must be 1 to {_MOST_PROPERTIES}, not {len(properties)}"
    for name, unit in properties.items():
        if not name or name.endswith(SPREAD_SUFFIX):
            yield f"{name!r} is no name of a property"
        if name in PROPERTIES and PROPERTIES[name].unit != unit:
            yield f"{name} is in {PROPERTIES[name].unit}, not in {unit!r}"
