"""What stands in two places says the same: layers, settings of a design, public names."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import smoacs
from smoacs.cli import app, run

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

NAMED_DIFFERENTLY = {
    "target": "targets",
    "source": "template",
    "forbid": "forbidden",
    "site": "sites",
    "require": "required",
    "count": "counts",
}
"""Options of `smoacs design` that are not called as the setting is."""

NO_SETTINGS = {"out", "force", "check_designs", "assignments", "help"}
"""Options that say where a run goes and what follows it."""

BY_SET = {
    "functions",
    "lattice",
    "max_displacement",
    "distance_radii",
    "ratios",
    "oxidation_table",
    "oxidation_states",
    "site_charges",
}
"""Settings without an option of their own, tables most of them: `--set KEY=VALUE` takes them."""


def test_contributing_lists_the_layers_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    checked = [
        {name.strip().removeprefix("smoacs.") for name in layer.split("|")}
        for layer in contracts["contracts"][0]["layers"]
    ]
    table = CONTRIBUTING.partition("| layer |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == checked


def test_every_room_is_a_layer():
    source = ROOT / "src/smoacs"
    rooms = {p.stem for p in source.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    table = CONTRIBUTING.partition("| layer |")[2].partition("\n\n")[0]
    assert rooms - {"__init__", "__main__"} == set(re.findall(r"`(\w+)`", table)) & rooms


def test_python_and_the_command_line_take_every_setting_of_a_design():
    settings = set(smoacs.DesignConfig.model_fields)
    python = set(inspect.signature(smoacs.design).parameters)
    # functions come with targets that are functions; a database is a place for files of a run
    assert python - {"progress"} == settings - {"functions", "database"}
    options = {
        parameter.name for parameter in typer.main.get_command(app).commands["design"].params
    }
    named = {NAMED_DIFFERENTLY.get(name, name) for name in options - NO_SETTINGS}
    assert named | BY_SET == settings
    assert not named & BY_SET


def test_the_constraints_page_shows_every_constraint():
    page = (ROOT / "docs/constraints.md").read_text("utf-8")
    chemistry = smoacs.DesignConfig.__base__.model_fields
    geometry = {"lattice", "symmetry", "frozen", "max_displacement", "min_distance"}
    elements = {"elements", "forbidden", "sites"}
    missing = [name for name in {*chemistry, *geometry, *elements} if f"`{name}" not in page
               and f"\n{name} =" not in page and f"[{name}]" not in page]  # fmt: skip
    assert missing == []


def _shown_options():
    page = (ROOT / "docs/constraints.md").read_text("utf-8")
    cells = re.findall(r"(?<=\| )`(--[^`]+)`(?: \||,)", page)
    assert len(cells) > 15
    return cells


@pytest.mark.parametrize("options", _shown_options())
def test_options_of_the_constraints_page_are_understood(options, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("smoacs.runs.execute", lambda config, *_, **__: asked.append(config))
    run(["design", "perovskite", "--out", "run", "-t", "density > 1", *shlex.split(options)])
    plain = smoacs.DesignConfig(targets=("density > 1",))
    (config,) = asked
    assert config != plain
