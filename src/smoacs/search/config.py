"""The settings of one design run: one pydantic model, the same in Python, in TOML and on disk.

Whatever is wrong with a setting becomes one sentence that names the setting, the value and what
would be right. The sentence "what would be right" is the field's own description, so that rule
and message cannot drift apart.
"""

import difflib
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import tomli_w
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from smoacs.chemistry import element_items
from smoacs.errors import InputError
from smoacs.search.site_rules import as_table, site_rules
from smoacs.targets import Target
from smoacs.templates import Template, build_template

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PATHS = ("template", "predictor")
"""Settings that may be the path of a file."""


class DesignConfig(BaseModel):
    """What to design, how many, and how; immutable, and complete enough to repeat a run.

    Raises:
        InputError: A setting is unknown (the nearest name is suggested) or has a wrong value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: str = Field(
        default="perovskite",
        min_length=1,
        description="the name of a template or the path of a structure file",
    )
    repeat: int = Field(
        default=1, ge=1, strict=True, description="a whole number of at least 1 (n for n×n×n)"
    )
    targets: tuple[str, ...] = Field(
        min_length=1,
        description="a list of at least one target, such as 'band_gap = 2.5 ± 0.2', "
        "'formation_energy < -0.5' or 'maximize critical_temperature'",
    )
    n: int = Field(
        default=256, ge=1, strict=True, description="a whole number of at least 1 (candidates)"
    )
    steps: int = Field(default=200, ge=1, strict=True, description="a whole number of at least 1")
    seed: int = Field(
        default=0, ge=0, lt=2**63, strict=True, description="a whole number from 0 to 2^63 - 1"
    )
    preset: Literal["default", "paper"] = Field(
        default="default", description="'default' or 'paper'"
    )
    at_rest: bool = Field(
        default=False,
        strict=True,
        description="true or false (whether lattice and coordinates must be at an energy minimum)",
    )
    predictor: str | None = Field(
        default=None,
        min_length=1,
        description="the name of a predictor or the path of a weights file",
    )
    device: str = Field(
        default="auto", min_length=1, description="'auto' or a torch device such as 'cpu'"
    )
    elements: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="a list of elements, the only ones to use, such as ['K', 'Mg', 'F'], or a "
        "preset such as ['earth-abundant']",
    )
    forbidden: tuple[str, ...] = Field(
        default=(),
        description="a list of elements never to use, such as ['Pb', 'Cd'] or ['no-toxic']",
    )
    sites: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="a table of kinds of sites and the only elements to use there, such as "
        "{ A = 'K Rb', X = 'F' }",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="a whole number of at least 1 (candidates worked on at the same time)",
    )

    # At run time only: type checkers keep the signature that pydantic derives from the fields.
    if not TYPE_CHECKING:

        def __init__(self, **settings: object) -> None:
            """Check every setting."""
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise InputError(_sentence(error.errors())) from None

    @field_validator("targets")
    @classmethod
    def _targets_parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            Target.parse(text)
        return value

    @field_validator("elements", "forbidden", mode="before")
    @classmethod
    def _elements_known(cls, value: object, info: ValidationInfo) -> object:
        return _items(value, forbidden=info.field_name == "forbidden")

    @field_validator("sites", mode="before")
    @classmethod
    def _sites_known(cls, value: object) -> object:
        table = as_table(value)
        if not isinstance(table, Mapping):
            return table
        checked: dict[object, object] = {}
        for kind, spec in table.items():
            try:
                checked[kind] = _items(spec, forbidden=False)
            except InputError as error:
                raise InputError(f"sites.{kind}: {error}") from None
            if not checked[kind]:
                raise InputError(f"sites.{kind} is empty: name the elements to use there")
        return checked

    @field_validator("device")
    @classmethod
    def _device_known(cls, value: str) -> str:
        if value != "auto":
            try:
                torch.device(value)
            except RuntimeError:
                raise InputError(
                    f"torch knows no device {value!r}; 'auto' takes the best there is"
                ) from None
        return value

    @model_validator(mode="after")
    def _presets_agree(self) -> Self:
        if self.at_rest and self.preset == "paper":
            raise InputError("at_rest and the preset 'paper' exclude each other: leave one out")
        return self

    @classmethod
    def from_mapping(cls, settings: Mapping[str, object]) -> Self:
        """Build a config from a mapping of settings, all of them checked.

        Raises:
            InputError: A setting is unknown or wrong.
        """
        return cls(**settings)  # type: ignore[arg-type]  # checked by pydantic

    @classmethod
    def from_toml(cls, path: str | Path, changes: Mapping[str, object] | None = None) -> Self:
        """Read the settings from a TOML file.

        Relative paths (template, predictor) that exist beside the TOML file are taken from there,
        so that a run repeats from any working directory.

        Args:
            path: The file.
            changes: Settings that replace those of the file.

        Raises:
            InputError: The file is missing, unreadable or not TOML, or a setting is wrong.
        """
        path = Path(path)
        settings = _read_toml(path)
        for key in _PATHS:
            value = settings.get(key)
            if isinstance(value, str) and (path.parent / value).is_file():
                settings[key] = str(path.parent / value)
        try:
            return cls.from_mapping({**settings, **(changes or {})})
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """Return all settings as TOML; those that are None are left out (TOML has no null).

        Paths of files are written absolute, so that the text works from anywhere.
        """
        settings = self.model_dump(exclude_none=True)
        for key in _PATHS:
            value = settings.get(key)
            if isinstance(value, str) and Path(value).is_file():
                settings[key] = str(Path(value).resolve())
        return tomli_w.dumps(settings, multiline_strings=False)

    def parsed_targets(self) -> tuple[Target, ...]:
        """Return the targets as objects, in the order given."""
        return tuple(Target.parse(text) for text in self.targets)

    def resolved_template(self, known: AbstractSet[str] | None = None) -> Template:
        """Build the template, restricted to the elements asked for.

        Elements above Z = 86 are used only where `elements` or `sites` names them.

        Args:
            known: The elements that the predictor knows; None for all.

        Raises:
            InputError: The template or file is unknown, it has no such site, or no combination of
                charges has an element left for every site (what excludes each other is named).
        """
        template = build_template(self.template, repeat=self.repeat)
        return template.with_rules(
            site_rules(
                template,
                elements=self.elements,
                forbidden=self.forbidden,
                sites=self.sites,
                known=known,
            )
        )


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path}: no such file; give a TOML file with at least a line targets = [...]"
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror})"
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: is not valid TOML ({error})"
    raise InputError(msg)


def _items(value: object, *, forbidden: bool) -> object:
    """Items of a list of elements, checked; anything else is left to pydantic."""
    if isinstance(value, str):
        return element_items(value, forbidden=forbidden)
    if isinstance(value, (list, tuple, set, frozenset)) and all(
        isinstance(item, str) for item in value
    ):
        return element_items(value, forbidden=forbidden)
    return value


def _sentence(errors: "list[ErrorDetails]") -> str:
    """Turn pydantic's errors into one sentence: setting, value, what would be right."""
    # A misspelt setting explains why another is missing.
    error = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    location = error["loc"]
    cause = error.get("ctx", {}).get("error")
    if not location:  # two settings that do not go together
        return str(cause)
    name = str(location[0])
    fields = DesignConfig.model_fields
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "the settings are " + ", ".join(fields)
        return f"unknown setting {name!r}; {hint}"
    right = fields[name].description
    if error["type"] == "missing":
        return f"the setting {name!r} is missing: it must be {right}"
    where = name if len(location) == 1 else f"{name}[{location[1]}]"
    if isinstance(cause, InputError):
        return str(cause) if name in {"targets", "sites"} else f"{name}: {cause}"
    return f"{where} = {error['input']!r} is not right: {name} must be {right}"
