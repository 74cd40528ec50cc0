"""The examples of the documentation run, and show the commands that are there."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
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
    assert [link for link in links if not (ROOT / link).exists()] == []
