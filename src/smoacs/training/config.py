"""Settings of `smoacs train`: what to train on, from where to start, how large, how long."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from smoacs.errors import InputError
from smoacs.predictors import ENERGY
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.properties import PROPERTIES
from smoacs.request.parsing import read_toml
from smoacs.training.data.batches import Noise
from smoacs.training.fitting.loss import DEFAULT_TERM, LOSS_TERMS

WEIGHTS_SUFFIX = ".safetensors"
_NAME = re.compile(r"[^\W\d][\w.]*")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSource(_Settings):
    """One table of training data; a string in its place is its `path`."""

    path: Path | None = Field(
        default=None,
        description="a Parquet file, a CSV with a column of CIFs, an extxyz file with labels, or a "
        "folder with an id_prop.csv and structure files",
    )
    jarvis: str | None = Field(
        default=None, min_length=1, description="the name of a JARVIS set, such as 'dft_3d'"
    )
    columns: dict[str, str | int] = Field(
        default={}, description="property -> column, by name or (without a header) by number"
    )
    split: str | None = Field(
        default=None, description="the column with train, val or test, or 'formula'"
    )
    share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="the share of a batch that is drawn from this table (0: as it comes)",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.jarvis is None):
            raise ValueError("an entry of 'data' needs either path or jarvis")
        return self

    def __str__(self) -> str:
        """Where the data come from, for messages."""
        return f"training data {self.path}" if self.path else f"JARVIS set {self.jarvis!r}"


class HeadSettings(_Settings):
    """What the network must know of one property."""

    unit: str | None = Field(
        default=None, description="the unit, needed for a property that smoacs does not know"
    )
    log10: bool | None = Field(
        default=None, description="true to fit the logarithm; values are in the unit all the same"
    )
    share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="the share of a batch that has this label (0: as it comes)",
    )
    weight: float = Field(default=1.0, gt=0, description="the weight in the loss, above 0")
    scale: str | None = Field(
        default=None,
        min_length=1,
        description="words for what the values are, such as 'PBE (Materials Project; GPAW)'",
    )
    readout: Literal["head", "kernel"] = Field(
        default="head",
        description="'head' to learn with the trunk, 'kernel' to fit to the finished trunk",
    )

    @model_validator(mode="after")
    def _a_kernel_takes_no_part_in_batches(self) -> Self:
        given = sorted({"share", "weight"} & self.model_fields_set)
        if self.readout == "kernel" and given:
            raise ValueError(
                f'a property with readout = "kernel" has no {given[0]}: it is fitted when the '
                "training has ended"
            )
        return self


class TrainConfig(_Settings):
    """One ensemble: its data, its network, its budget.

    Paths are relative to the working directory.
    """

    name: str = Field(min_length=1, description="the name in the weights' header")
    out: Path = Field(description="the weights file to write, ending in .safetensors")
    data: tuple[DataSource, ...] = Field(
        min_length=1, description="a list of Parquet files, folders or tables (docs/training.md)"
    )
    properties: tuple[str, ...] = Field(
        min_length=1, description="property names, such as ['formation_energy', 'band_gap']"
    )
    heads: dict[str, HeadSettings] = Field(default={}, description="tables, one for a property")
    sources: tuple[str, ...] = Field(
        default=(), description="the data's sources and licences, in words, for the header"
    )
    validation_share: float = Field(default=0.1, gt=0, lt=0.5, description="between 0 and 0.5")
    test_share: float = Field(default=0.1, gt=0, lt=0.5, description="between 0 and 0.5")
    split_seed: int = Field(default=0, description="a whole number (seed of splits by formula)")
    max_atoms: int = Field(default=30, ge=1, description="the largest crystals to train on")
    start: str | None = Field(
        default=None, description="the name of built-in weights, or a weights file"
    )
    trunk_rate: float = Field(
        default=1.0, ge=0, le=1, description="the trunk's share of the learning rate, 0 to 1"
    )
    members: int = Field(default=2, ge=1, description="the number of networks in the ensemble")
    minutes: float | None = Field(default=None, gt=0, description="the training time, above 0")
    epochs: int | None = Field(default=None, ge=1, description="a whole number of at least 1")
    patience: int | None = Field(
        default=None, ge=1, description="validations without gain before an early stop"
    )
    validations: int = Field(default=15, ge=1, description="how often to validate, at least 1")
    batch_size: int = Field(default=32, ge=2, description="crystals per step, at least 2")
    learning_rate: float = Field(default=3e-3, gt=0, description="the largest learning rate")
    off_equilibrium_share: float = Field(
        default=0.3, ge=0, lt=1, description="the share of unrelaxed crystals in a batch"
    )
    force_weight: float = Field(default=0.2, ge=0, description="the weight of forces, 0 or more")
    stress_weight: float = Field(default=0.2, ge=0, description="the weight of stress, 0 or more")
    rest_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="the share of small relaxed crystals taught to have no forces and stress",
    )
    mixtures: int = Field(
        default=0, ge=0, description="crystals per step whose blends are bounded, 0 or more"
    )
    mixture_weight: float = Field(default=0.3, ge=0, description="the weight of blends, 0 or more")
    compiled: bool = Field(
        default=False, description="true to make steps faster by torch.compile (needs a compiler)"
    )
    seed: int = Field(default=0, ge=0, description="the first member's seed; others count on")
    device: str = Field(default="auto", description="'auto', 'cpu' or a GPU such as 'cuda'")
    noise: Noise = Field(default=Noise(), description="a table of shares and widths")
    network: NetworkSettings = Field(
        default=NetworkSettings(), description="a table of sizes, each above 0"
    )

    @field_validator("data", mode="before")
    @classmethod
    def _paths_are_sources(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return [{"path": item} if isinstance(item, str | Path) else item for item in value]
        return value

    @field_validator("out")
    @classmethod
    def _suffix(cls, value: Path) -> Path:
        if value.suffix != WEIGHTS_SUFFIX:
            raise ValueError(f"out = {str(value)!r} must end in {WEIGHTS_SUFFIX}")
        return value

    @field_validator("network")
    @classmethod
    def _sizes(cls, value: NetworkSettings) -> NetworkSettings:
        if value.members != 1:
            raise ValueError("network.members must be left out: the ensemble's size is 'members'")
        try:
            value.check()
        except ValueError as error:
            raise ValueError(f"network.{error}") from None
        return value

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.minutes is None) == (self.epochs is None):
            raise ValueError("give either 'minutes' or 'epochs', one of the two")
        return self

    @model_validator(mode="after")
    def _shares(self) -> Self:
        total = self.off_equilibrium_share + sum(head.share for head in self.heads.values())
        total += sum(source.share for source in self.data)
        if total >= 1:
            raise ValueError(
                f"off_equilibrium_share and the shares of heads and data make {total:g} of a "
                "batch; they must leave room for the other crystals, so less than 1"
            )
        return self

    @model_validator(mode="after")
    def _properties_are_known(self) -> Self:
        if len(set(self.properties)) != len(self.properties):
            raise ValueError("properties must be named once each")
        for name in self.properties:
            if not _NAME.fullmatch(name):
                raise ValueError(f"property {name!r} must be one word that starts with a letter")
            given = self.head(name).unit
            if name not in PROPERTIES and given is None:
                raise ValueError(
                    f"property {name!r} is new to smoacs: give its unit as heads.{name}.unit"
                )
            if name in PROPERTIES and given not in (None, PROPERTIES[name].unit):
                raise ValueError(
                    f"heads.{name}.unit is {given!r}, but {name} is in {PROPERTIES[name].unit}"
                )
        if set(self.readouts) == set(self.properties):
            raise ValueError('a trunk needs a property without readout = "kernel" to learn from')
        if ENERGY in self.readouts:
            raise ValueError(f"{ENERGY} is a sum over atoms: leave out heads.{ENERGY}.readout")
        if self.head(ENERGY).log10:
            raise ValueError(f"{ENERGY} has no logarithm: leave out heads.{ENERGY}.log10")
        stray = [name for name in self.heads if name not in self.properties]
        stray += [n for s in self.data for n in s.columns if n not in self.properties]
        if stray:
            near = difflib.get_close_matches(stray[0], self.properties, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "add it to properties"
            raise ValueError(f"{stray[0]!r} is not among the properties; {hint}")
        return self

    def head(self, name: str) -> HeadSettings:
        """Settings of one property."""
        return self.heads.get(name, HeadSettings())

    def unit(self, name: str) -> str:
        """Unit of one property."""
        return PROPERTIES[name].unit if name in PROPERTIES else self.head(name).unit or "1"

    def uses_log10(self, name: str) -> bool:
        """Whether a property is fitted as its logarithm."""
        chosen = self.head(name).log10
        return LOSS_TERMS.get(name, DEFAULT_TERM).log10 if chosen is None else chosen

    @property
    def readouts(self) -> tuple[str, ...]:
        """Properties that are fitted to the finished trunk."""
        return tuple(name for name in self.properties if self.head(name).readout == "kernel")

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read the settings.

        Raises:
            InputError: If the file is missing or no TOML, or a setting is unknown or wrong.
        """
        settings = read_toml(Path(path), "name, out, data and properties")
        try:
            config = cls.model_validate(settings)
        except ValidationError as error:
            raise InputError(f"{path}: {_sentence(error)}") from None
        missing = [s.path for s in config.data if s.path is not None and not s.path.exists()]
        if missing:
            raise InputError(f"{path}: there is no training data file {missing[0]}")
        return config


_TABLES: Mapping[str, Any] = {
    "data": DataSource.model_fields,
    "heads": HeadSettings.model_fields,
    "noise": Noise.__dataclass_fields__,
    "network": NetworkSettings.__dataclass_fields__,
}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def _sentence(error: ValidationError) -> str:
    """The first error: where, what, and what would be right. A misspelling explains the others."""
    first = min(error.errors(), key=lambda e: e["type"] not in _UNKNOWN)
    location = [str(part) for part in first["loc"]]
    where = ".".join(location)
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    known = TrainConfig.model_fields if len(location) == 1 else _TABLES[location[0]]
    if first["type"] in _UNKNOWN:
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}"
        return f"unknown setting {where!r}; {hint}"
    field = TrainConfig.model_fields[location[0]]
    if len(location) > 1:
        field = next((known[p] for p in location if hasattr(known.get(p), "description")), field)
    right = f"it must be {field.description}"
    if first["type"] == "missing":
        return f"the setting {where!r} is missing: {right}"
    return f"{where}: {first['msg'].lower()}; {right}"
