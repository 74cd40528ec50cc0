"""The settings of one design run: one pydantic model, the same in Python, in TOML and on disk.

Whatever is wrong with a setting becomes one sentence that names the setting, the value and what
would be right. The sentence "what would be right" is the field's own description, so that rule
and message cannot drift apart.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import tomli_w
import torch
from pydantic import (
    Field,
    InstanceOf,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pymatgen.core import Structure

from smoacs.errors import InputError, short, without_passwords
from smoacs.request.chemical_rules import EVERYWHERE, ChemicalRule, chemical_rules
from smoacs.request.chemical_settings import ChemicalSettings
from smoacs.request.database_address import database_address
from smoacs.request.feasible import narrowed, still_possible
from smoacs.request.geometry_rules import displacements, lattice_ranges
from smoacs.request.parsing import element_list, read_toml, sentence
from smoacs.request.site_rules import as_table, site_rules
from smoacs.targets import Target, Targets, check_together
from smoacs.templates import (
    GeometryRules,
    SeedTemplates,
    Template,
    build_template,
    distinguishable,
    ordered,
    seed_templates,
    with_geometry,
)

_MOST = 10_000_000
"""Of candidates and of steps: more have no end, and are a slip of the keyboard."""

OLD_REST = "at_rest"
"""The setting that `rest` has taken the place of; old files have it."""

_PATHS = ("template", "predictor")
"""Settings that may be the path of a file."""

_NAME_THEMSELVES = {"targets", "sites", "lattice", "max_displacement"} | set(
    ChemicalSettings.model_fields
)
"""Settings whose errors say which part of them is wrong."""


class DesignConfig(ChemicalSettings):
    """What to design, how many, and how; immutable, and complete enough to repeat a run.

    Raises:
        InputError: A setting is unknown (the nearest name is suggested) or has a wrong value.
    """

    template: str = Field(
        default="perovskite",
        min_length=1,
        description="the name of a template, the path of a structure file, or that of seeds (a "
        "folder of structure files, an extxyz file, a Parquet or CSV table)",
    )
    repeat: int = Field(
        default=1,
        ge=1,
        le=20,
        strict=True,
        description="a whole number from 1 to 20 (n for n×n×n)",
    )
    targets: tuple[InstanceOf[Target], ...] = Field(
        min_length=1,
        description="a list of at least one target, such as 'band_gap = 2.5 ± 0.2', "
        "'formation_energy < -0.5' or 'maximize critical_temperature'",
    )
    n: int = Field(
        default=256,
        ge=1,
        le=_MOST,
        strict=True,
        description="a whole number from 1 to 10 million (candidates)",
    )
    steps: int = Field(
        default=200,
        ge=1,
        le=_MOST,
        strict=True,
        description="a whole number from 1 to 10 million",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**63, strict=True, description="a whole number from 0 to 2^63 - 1"
    )
    preset: Literal["default", "paper"] = Field(
        default="default", description="'default' or 'paper'"
    )
    search: Literal["gradient", "exhaustive", "auto"] = Field(
        default="auto", description="'auto', 'exhaustive' or 'gradient'"
    )
    pareto: bool | None = Field(
        default=None,
        strict=True,
        description="true or false (whether candidates spread along the front of conflicting "
        "targets; left out, they do where two or more are to be maximized or minimized)",
    )
    functions: tuple[str, ...] = Field(
        default=(),
        description="the names of the properties that Python functions give; a run with them "
        "repeats from Python only",
    )
    rest: Literal["minimum", "symmetry", "none"] | None = Field(
        default=None,
        description="'minimum' (designs are let go, and judged where they end), 'symmetry' (at "
        "rest within the template's symmetry) or 'none'; left out, it is the first of these that "
        "predictor and constraints allow",
    )
    conservative: float = Field(
        default=0.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="a number from 0 to 100 (standard deviations by which every target must hold "
        "on the worse side)",
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
    lattice: Mapping[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="a table of lattice parameters of the whole cell and their values or ranges, "
        "in Å and degrees, such as { a = [3.8, 4.2], gamma = 90 }",
    )
    symmetry: Literal["free", "lattice", "space-group"] = Field(
        default="free", description="'free', 'lattice' or 'space-group'"
    )
    frozen: tuple[str, ...] = Field(
        default=(),
        description="a list of kinds of sites that do not move, such as ['A', 'X[0]']",
    )
    max_displacement: Mapping[str, float] = Field(
        default_factory=dict,
        description="a table of kinds of sites and how far their coordinates may go, as shares of "
        "the cell's edges, such as { X = 0.05 }",
    )
    min_distance: float | None = Field(
        default=None,
        gt=0,
        le=1.5,
        description="a number above 0 and at most 1.5 (shortest distance of two atoms as a share "
        "of the sum of their radii)",
    )
    distance_radii: Literal["covalent", "ionic"] = Field(
        default="covalent", description="'covalent' or 'ionic'"
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=_MOST,
        strict=True,
        description="a whole number from 1 to 10 million (candidates worked on at the same time)",
    )
    database: str | None = Field(
        default=None,
        min_length=1,
        repr=False,  # it may hold a password
        description="the address of an ASE database that gets the results, too, such as "
        "'postgresql://user@host/name' or the path of a file that ends in .db",
    )

    # At run time only: type checkers keep the signature that pydantic derives from the fields.
    if not TYPE_CHECKING:

        def __init__(self, **settings: object) -> None:
            """Check every setting."""
            try:
                super().__init__(**settings)
            except ValidationError as error:
                fields = self.own_first(type(self).model_fields)
                text = sentence(error.errors(), fields, _NAME_THEMSELVES)
                raise InputError(text) from None

    @model_validator(mode="before")
    @classmethod
    def _functions_named(cls, settings: object) -> object:
        """Functions come with their targets; a file can only say their names."""
        if not isinstance(settings, dict) or not isinstance(settings.get("targets"), (list, tuple)):
            return settings
        found = [t for t in settings["targets"] if isinstance(t, Target) and t.function]
        names = tuple(dict.fromkeys(target.property for target in found))
        return {**settings, "functions": names} if names else settings

    @model_validator(mode="before")
    @classmethod
    def _numbers_of_the_paper(cls, settings: object) -> object:
        """The paper's preset has the paper's oxidation numbers, unless others are asked for."""
        if isinstance(settings, dict) and settings.get("preset") == "paper":
            return {"oxidation_table": "common", **settings}
        return settings

    @field_validator("targets", mode="before")
    @classmethod
    def _targets_read(cls, value: object) -> object:
        if not isinstance(value, (list, tuple)) or not value:
            return value
        targets = tuple(Target.parse(item) if isinstance(item, str) else item for item in value)
        check_together([target for target in targets if isinstance(target, Target)])
        return targets

    @field_serializer("targets")
    def _targets_written(self, value: tuple[Target, ...]) -> tuple[str, ...]:
        return tuple(target.text or str(target) for target in value)

    @field_validator("elements", "forbidden", mode="before")
    @classmethod
    def _elements_known(cls, value: object, info: ValidationInfo) -> object:
        return element_list(value, forbidden=info.field_name == "forbidden")

    @field_validator("sites", mode="before")
    @classmethod
    def _sites_known(cls, value: object) -> object:
        table = as_table(value)
        if not isinstance(table, Mapping):
            return table
        checked: dict[object, object] = {}
        for kind, spec in table.items():
            try:
                checked[kind] = element_list(spec, forbidden=False)
            except InputError as error:
                raise InputError(f"sites.{kind}: {error}") from None
            if not checked[kind]:
                raise InputError(f"sites.{kind} is empty: name the elements to use there")
        return checked

    @field_validator("lattice", mode="before")
    @classmethod
    def _lattice_ranges(cls, value: object) -> object:
        return lattice_ranges(value)

    @field_validator("frozen", mode="before")
    @classmethod
    def _frozen_list(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("max_displacement", mode="before")
    @classmethod
    def _displacements(cls, value: object) -> object:
        return displacements(value)

    @field_validator("device")
    @classmethod
    def _device_known(cls, value: str) -> str:
        if value != "auto":
            try:
                torch.device(value)
            except (RuntimeError, ValueError, OverflowError):
                raise InputError(
                    f"torch knows no device {short(repr(value))}; 'auto' takes the best there is"
                ) from None
        return value

    @field_validator("database")
    @classmethod
    def _database_address(cls, value: str | None) -> str | None:
        return None if value is None else database_address(value)

    @field_serializer("database")
    def _no_password(self, value: str | None) -> str | None:
        return None if value is None else without_passwords(value)

    @model_validator(mode="before")
    @classmethod
    def _rest_by_its_name(cls, settings: object) -> object:
        """Point to the setting that has taken the place of another."""
        if isinstance(settings, dict) and OLD_REST in settings:
            raise InputError(
                f"{OLD_REST} is rest by now: rest = 'symmetry' for true, 'none' for false, and "
                "'minimum' for crystals that are at rest when all of their atoms may move"
            )
        return settings

    @model_validator(mode="after")
    def _rest_is_possible(self) -> Self:
        if self.rests and self.preset == "paper":
            raise InputError(
                f"rest = {self.rest} and the preset 'paper' exclude each other: leave one out"
            )
        if self.rest == "minimum" and (held := self.held_by()):
            raise InputError(
                f"rest = minimum lets all atoms and the lattice go, which {held} forbids: leave "
                "one out, or take rest = symmetry"
            )
        return self

    @property
    def rests(self) -> bool:
        """Whether the geometry follows the energy while elements are searched."""
        return self.rest in ("minimum", "symmetry")

    def held_by(self) -> str:
        """The first constraint that forbids to let a crystal go, such as frozen; empty if none."""
        held = {
            "lattice": bool(self.lattice),
            f"symmetry = {self.symmetry}": self.symmetry != "free",
            "frozen": bool(self.frozen),
            "max_displacement": bool(self.max_displacement),
        }
        return next((name for name, holds in held.items() if holds), "")

    @model_validator(mode="after")
    def _front_has_two_ends(self) -> Self:
        extremes = len(self.wanted.extremes)
        if self.pareto and extremes < 2:  # noqa: PLR2004 - a conflict takes two
            raise InputError(
                f"pareto = true needs at least two targets to maximize or minimize, not {extremes}"
            )
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
        settings = read_toml(path)
        for key in _PATHS:
            value = settings.get(key)
            if isinstance(value, str) and (path.parent / value).exists():
                settings[key] = str(path.parent / value)
        try:
            return cls.from_mapping({**settings, **(changes or {})})
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """Return all settings as TOML; those that are None are left out (TOML has no null).

        Paths of files are written absolute, so that the text works from anywhere.
        """
        settings = self.own_first(self.model_dump(exclude_none=True))
        for key in _PATHS:
            value = settings.get(key)
            if isinstance(value, str) and Path(value).exists():
                settings[key] = str(Path(value).resolve())
        return tomli_w.dumps(settings, multiline_strings=False)

    @property
    def wanted(self) -> Targets:
        """The targets together, cautious if asked to be."""
        return Targets(self.targets, self.conservative)

    def resolved_template(self, known: AbstractSet[str] | None = None) -> Template:
        """Build the template, restricted to the elements asked for.

        Elements above Z = 86 are used only where `elements` or `sites` names them.

        Args:
            known: The elements that the predictor knows; None for all.

        Raises:
            InputError: The template or file is unknown, it has no such site, or no combination of
                charges has an element left for every site (what excludes each other is named).
        """
        return self.restricted(self._built(), known)

    def resolved_seeds(
        self, known: AbstractSet[str] | None = None, structures: Sequence[Structure] | None = None
    ) -> SeedTemplates:
        """Build a template for each seed, restricted as `resolved_template` is.

        Args:
            known: The elements that the predictor knows; None for all.
            structures: The seeds; None takes those that `template` names.

        Raises:
            InputError: None of the seeds can be used.
        """
        return seed_templates(
            self.template if structures is None else structures,
            repeat=self.repeat,
            limit=self.n,
            seed=self.seed,
            restrict=lambda template: self.restricted(template, known),
            table=self.table_of_states(),
        )

    def restricted(self, template: Template, known: AbstractSet[str] | None = None) -> Template:
        """Restrict a template to what is asked for.

        Raises:
            InputError: Nothing is left (what excludes each other is named).
        """
        if not self._orders(template):
            return self._restricted(template, known)
        try:
            left = self._restricted(ordered(template), known)
            return left if left.order is None else distinguishable(left, left.order)
        except InputError:
            left = self._restricted(template, known)  # else it is not the order
            if self.mixed is None:
                return left
        raise InputError(
            f"mixed = false and what else is asked for exclude each other: equal sites of template "
            f"{template.name!r} would have to hold different elements, or different kinds of sites "
            "the same one"
        )

    def _orders(self, template: Template) -> bool:
        """Whether sites that the template's symmetry makes equal are to hold one element.

        As asked. Where nobody says, they are unless supercells, ratios, more than one element at a
        kind of site or the paper's preset say otherwise, or templates that are meant to be mixed.
        """
        if self.mixed is not None:
            return not self.mixed
        several = any(limit > 1 for key, limit in self.max_elements.items() if key != EVERYWHERE)
        asked = self.repeat > 1 or self.preset == "paper" or bool(self.ratios) or several
        return not (asked or template.mixes)

    def _restricted(self, template: Template, known: AbstractSet[str] | None) -> Template:
        """The same for a template whose equal sites are tied, or are not."""
        rules = self.chemical_rules(template)
        on_sites = site_rules(
            template,
            elements=self.elements,
            forbidden=self.forbidden,
            sites=self.sites,
            known=known,
            named=self.named_elements(),
        )
        restricted = narrowed(
            template, [*rules, *on_sites], self.table_of_states(), self.states_asked()
        )
        geometry = self.geometry_rules()
        return still_possible(with_geometry(restricted, geometry), rules, geometry.text())

    def chemical_rules(self, template: Template) -> list[ChemicalRule]:
        """Return the rules on elements, numbers of atoms and charges, on a template's sites."""
        return chemical_rules(self, template, self.repeat)

    def _built(self) -> Template:
        """Build the template with the oxidation numbers asked for."""
        table = self.table_of_states()
        try:
            return build_template(self.template, repeat=self.repeat, table=table)
        except InputError as error:
            if not self.states_asked():
                raise
            build_template(self.template, repeat=self.repeat)  # is it the table?
            asked = ", ".join(self.states_asked().values())
            raise InputError(f"{asked} and template {self.template!r}: {error}") from None

    def geometry_rules(self) -> GeometryRules:
        """Return what is asked of lattice and coordinates."""
        return GeometryRules(
            lattice=self.lattice,
            symmetry=self.symmetry,
            frozen=self.frozen,
            max_displacement=self.max_displacement,
            min_distance=self.min_distance,
            distance_radii=self.distance_radii,
        )
