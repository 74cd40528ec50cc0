"""The examples of the documentation run, and show the commands that are there."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest

import smoacs.cli
import smoacs.runs
from smoacs.chemistry import PRESETS
from smoacs.errors import InputError
from smoacs.templates import template_rows

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/constraints.md",
    "docs/install.md",
    "docs/learning.md",
    "docs/results.md",
    "docs/search.md",
    "docs/templates.md",
)
BLOCK = re.compile(r"(?:<!-- (no-run|slow) -->\n)?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _examples(name, mark):
    """Code blocks of a document with that mark, each moved to its line in the document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [
        "\n" * text.count("\n", 0, match.start(2)) + match[2]
        for match in BLOCK.finditer(text)
        if match[1] == mark
    ]


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("CONTRIBUTING.md", None),
        ("docs/concepts/soft_crystals.md", None),
        ("docs/constraints.md", None),
        ("docs/howto/large_cells.md", None),
        ("docs/howto/own_seed.md", None),
        ("docs/howto/targets.md", None),
        ("docs/predictors.md", None),
        ("docs/results.md", None),
        ("docs/search.md", None),
        ("docs/templates.md", None),
        pytest.param("README.md", "slow", marks=pytest.mark.slow),
    ],
)
def test_examples_run(name, mark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = _examples(name, mark)
    assert blocks
    namespace = {"__name__": "__main__"}  # a block may use what an earlier one defined
    for block in blocks:
        exec(compile(block, ROOT / name, "exec"), namespace)  # noqa: S102


def test_the_toml_file_and_the_command_of_the_constraints_ask_for_the_same(monkeypatch, tmp_path):
    text = (ROOT / "docs/constraints.md").read_text(encoding="utf-8")
    (tmp_path / "design.toml").write_text(_block(text, "toml"), encoding="utf-8")
    asked = []
    monkeypatch.setattr(smoacs.runs, "execute", lambda config, *_, **__: asked.append(config))
    monkeypatch.chdir(tmp_path)
    command = shlex.split(_block(text, "sh").replace("\\\n", " "))
    for arguments in (command[1:], ["design", "design.toml", "--out", "run"]):
        with contextlib.suppress(InputError):  # the summary of a run that was not made
            smoacs.cli.app(args=arguments, standalone_mode=False)
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert asked[0].resolved_template().n_combinations == 1


def _block(text, language):
    return re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def test_the_tables_of_the_docs_are_complete():
    presets = (ROOT / "docs/constraints.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", presets, re.MULTILINE) == list(PRESETS)
    templates = (ROOT / "docs/templates.md").read_text("utf-8")
    listed = re.findall(
        r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", templates, re.MULTILINE
    )
    assert listed == [row[:5] for row in template_rows()[1:]]


def test_readme_shows_the_command_of_the_demo():
    demo = re.search(r"\$\(BIN\)/(smoacs design .*)", (ROOT / "Makefile").read_text("utf-8"))
    shown = (ROOT / "README.md").read_text("utf-8").replace("\\\n", " ")
    commands = [
        shlex.split(line.strip().removeprefix(".venv/bin/"))
        for line in shown.splitlines()
        if line.strip().startswith(".venv/bin/smoacs design")
    ]
    assert demo is not None
    assert shlex.split(demo[1]) in commands


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


def test_every_public_name_is_in_the_reference():
    pages = "".join(p.read_text("utf-8") for p in (ROOT / "docs/reference").glob("*.md"))
    named = {
        name.rpartition(".")[2]
        for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)", pages, re.MULTILINE)
    }
    assert set(smoacs.__all__) - named == set()
