"""What `smoacs judge` measures crystals by: a template and hard constraints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smoacs.errors import InputError

if TYPE_CHECKING:
    from smoacs.chemistry import OxidationTable
    from smoacs.judging import Benchmark, RuleCheck
    from smoacs.templates import Template

_ANY_TARGET = "formation_energy < 0"
"""Settings of a design have a target; the judge takes its own."""

_KIND_OF_CRYSTAL = {"template", "repeat"}


@dataclass(frozen=True)
class Measure:
    """What crystals are held against.

    Attributes:
        template: The kind of crystal to be kept, if any.
        rules: The constraints, if there are any.
        table_of_states: Oxidation numbers in use; None for the common table.
    """

    template: "Template | None" = None
    rules: "RuleCheck | None" = None
    table_of_states: "OxidationTable | None" = None


def measure_of(rules: Path | None, asked: Mapping[str, object]) -> Measure:
    """Read the template and the constraints from a file and from options.

    Args:
        rules: TOML file with the settings of a design.
        asked: Settings that were given as options; they replace those of the file.

    Raises:
        InputError: A setting is wrong or impossible.
    """
    from smoacs.judging import RuleCheck, Rules
    from smoacs.request import DesignConfig
    from smoacs.templates import build_template, is_seed_source

    if rules is None and set(asked) <= {"repeat"}:
        return Measure()
    if rules is None:
        config = DesignConfig.from_mapping({"targets": [_ANY_TARGET], **asked})
    else:
        config = DesignConfig.from_toml(rules, asked)
    if rules is None and "template" not in asked:
        return Measure(rules=RuleCheck(Rules.from_settings(config.model_dump())))
    if is_seed_source(config.template):
        raise InputError(
            f"{config.template}: crystals are judged by one template; name the one with --template"
        )
    table = config.table_of_states()
    original = build_template(config.template, repeat=config.repeat, table=table)
    if rules is None and _KIND_OF_CRYSTAL.issuperset(asked):
        return Measure(original)
    check = RuleCheck(Rules.from_settings(config.model_dump()), original)
    return Measure(config.resolved_template(), check, table)


def measure_of_row(row: "Benchmark") -> Measure:
    """The template and the charges of a row of the paper's tables."""
    from smoacs.chemistry import oxidation_table
    from smoacs.templates import build_template

    states = oxidation_table(row.oxidation_table)
    template = None
    if row.template is not None:
        template = build_template(row.template, repeat=row.repeat, table=states)
    return Measure(template, table_of_states=states)
