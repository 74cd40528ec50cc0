"""The page as text: one file, nothing to fetch, nothing in a name that could run."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoacs.cli import run as command_line
from smoacs.report import build_payload, report_html
from smoacs.report.page import embedded

SVG_NAMESPACE = "http://www.w3.org/2000/svg"


class Tags(HTMLParser):
    """All tags of a page with their attributes, and the texts of its scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags = [("", {})]
        self.texts = {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):  # noqa: ARG002 - whichever tag ends, the text is no longer its
        self.tags.append(("", {}))

    def handle_data(self, data):
        tag, attributes = self.tags[-1]
        key = attributes.get("id", tag)
        self.texts[key] = self.texts.get(key, "") + data


def parsed(text):
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.fixture(scope="module")
def text(run):
    return report_html(run)


def test_the_data_come_back_whole(text, run):
    assert json.loads(parsed(text).texts["data"]) == json.loads(json.dumps(build_payload(run)))


def test_names_stay_text(text, evil):
    tags = parsed(text)
    assert [tag for tag, _ in tags.tags].count("script") == 2
    assert [tag for tag, _ in tags.tags].count("img") == 0
    assert tags.texts["title"].count(evil) == 1


def test_nothing_refers_to_another_file(text):
    assert set(re.findall(r"\w+://[^\s\"'`]*", text)) == {SVG_NAMESPACE}
    for _, attributes in parsed(text).tags:
        assert "src" not in attributes
        assert attributes.get("href", "#")[0] == "#" or attributes["href"] == "data:,"


def test_only_its_own_script_and_style_are_allowed(text):
    tags = parsed(text)
    policy = next(a["content"] for t, a in tags.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(tags.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


@given(st.text())
def test_any_text_in_the_data_comes_back_and_adds_no_tag(name):
    tags = parsed(f'<script id="data">{embedded({"rows": [[name]]})}</script><p>')
    assert json.loads(tags.texts["data"]) == {"rows": [[name]]}
    assert [tag for tag, _ in tags.tags if tag] == ["script", "p"]


def test_scripts_never_write_markup():
    assets = [a for a in (files("smoacs.report") / "assets").iterdir() if a.name.endswith(".js")]
    assert len(assets) > 5
    for asset in assets:
        text = asset.read_text(encoding="utf-8")
        for door in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "fetch(",
        ):
            assert door not in text, (asset.name, door)


def test_256_candidates_of_135_atoms_take_less_than_10_mb(large_run):
    assert len(report_html(large_run).encode()) < 10e6


def test_the_command_rewrites_the_page_and_names_it(broken_run, capsys):
    assert command_line(["report", str(broken_run)]) == 0
    file = broken_run / "report.html"
    assert capsys.readouterr().out.strip() == str(file.resolve())
    before = file.read_text()
    csv = (broken_run / "results.csv").read_text().splitlines()
    lines = [csv[0] + ",survives_relaxation", *(line + ",True" for line in csv[1:])]
    (broken_run / "results.csv").write_text("\n".join(lines) + "\n")
    assert command_line(["report", str(broken_run)]) == 0
    assert "survives_relaxation" not in before
    assert "survives_relaxation" in file.read_text()
    assert sorted(p.name for p in broken_run.iterdir()).count("report.html") == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert command_line(["report", str(tmp_path)]) == 2
    assert "no run directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
