"""Directives that write pages from the package: the commands' help and the tables of settings."""

import importlib
from collections.abc import Iterable

import typer.testing
from docutils import nodes
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import smoacs.cli


class Commands(SphinxDirective):
    """A section for each command, with its --help."""

    def run(self) -> list[nodes.Node]:
        """Ask every command for its help."""
        names = typer.main.get_command(smoacs.cli.app).commands
        return [_command_section(name) for name in names]


def _command_section(name: str) -> nodes.section:
    section = nodes.section(ids=[f"smoacs-{name}"], names=[f"smoacs {name}"])
    section += nodes.title("", f"smoacs {name}")
    answer = typer.testing.CliRunner().invoke(
        smoacs.cli.app, [name, "--help"], prog_name="smoacs", env={"COLUMNS": "88"}
    )
    section += nodes.literal_block("", answer.output.strip(), language="none")
    return section


class Settings(SphinxDirective):
    """A table of the fields of a pydantic model: name, default, description."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the model's fields."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        rows = [
            (key, _default(field), field.description or "")
            for key, field in sorted(model.model_fields.items(), key=lambda item: item[0])
        ]
        return [_table(("setting", "default", "what it takes"), rows)]


def _default(field: object) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()  # as in TOML
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, tuple | list | dict):
        return "" if not value else str(value)
    return "see its own table"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> nodes.table:
    table = nodes.table()
    group = nodes.tgroup(cols=3)
    group += [nodes.colspec(colwidth=width) for width in (20, 12, 68)]
    group += nodes.thead("", _row(head, as_code=0))
    group += nodes.tbody("", *(_row(row, as_code=2) for row in rows))
    table += group
    return table


def _row(cells: Iterable[str], as_code: int) -> nodes.row:
    row = nodes.row()
    for index, text in enumerate(cells):
        content = nodes.literal(text, text) if index < as_code and text else nodes.Text(text)
        row += nodes.entry("", nodes.paragraph("", "", content))
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("commands", Commands)
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
