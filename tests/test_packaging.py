"""What pyproject.toml, the pinned versions and the messages say of the package fits together."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import smoacs
from smoacs.dft.gpaw_engine import INSTALL, SITECONFIG
from smoacs.errors import MissingExtraError

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _pinned():
    lines = (ROOT / "requirements/constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}


def _wanted():
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    return [Requirement(text) for text in texts if not text.startswith("smoacs[")]


@pytest.mark.parametrize("wanted", _wanted(), ids=str)
def test_whatever_an_installation_asks_for_is_pinned(wanted):
    assert wanted.specifier.contains(_pinned()[canonicalize_name(wanted.name)])
    assert re.search(">=", str(wanted.specifier)), "without a lowest version none can be tested"


def test_a_missing_extra_is_one_that_can_be_installed_from_here():
    sources = "".join(
        file.read_text("utf-8") for file in sorted(Path(smoacs.__file__).parent.rglob("*.py"))
    )
    named = set(re.findall(r"MissingExtraError\.of\([^()]*\"(\w+)\"\s*\)", sources))
    assert named == set(EXTRAS) - {"benchmark", "dev", "dft", "docs", "train"}
    assert "smoacs[" not in sources, "smoacs is on no index"
    said = str(MissingExtraError.of("this needs CHGNet", "chgnet"))
    assert said == "this needs CHGNet: pip install '.[chgnet]' in the folder of smoacs' sources"


def test_make_installs_all_extras_but_that_which_is_compiled():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    listed = re.search(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)[1].split(",")
    assert listed == sorted(set(EXTRAS) - {"dft"})


def test_how_to_compile_gpaw_travels_with_the_package():
    assert SITECONFIG.is_file()
    assert SITECONFIG.is_relative_to(Path(smoacs.__file__).parent)
    assert str(SITECONFIG) in INSTALL
    for wanted in EXTRAS["dft"]:
        assert f"'{wanted}'" in INSTALL


def test_the_version_is_that_of_the_package():
    assert smoacs.__version__ == version("smoacs") == PROJECT["version"]


def test_the_module_runs_and_knows_short_help():
    finished = _python("-m", "smoacs", "-h")
    assert finished.stdout.startswith("Usage: smoacs ")
    assert finished.stderr == ""
    assert _python("-m", "smoacs", "design", "-h").stdout.startswith("Usage: smoacs design ")


def test_a_shell_completes_commands_and_options():
    for words, expected in (("smoacs re", "resume\nrelax\nreport\n"),
                            ("smoacs design --min", "--min-distance\n")):  # fmt: skip
        asked = {"_SMOACS_COMPLETE": "complete_bash", "COMP_WORDS": words,
                 "COMP_CWORD": str(words.count(" "))}  # fmt: skip
        assert _python("-m", "smoacs", **asked).stdout == expected


def _python(*arguments, **environment):
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *arguments],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


@pytest.mark.parametrize(("allowed", "code"), [("^no moon", 0), ("^no sun", 1), ("# ^no moon", 1)])
def test_a_skip_that_nobody_foresaw_fails(allowed, code, tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text("utf-8"))
    (tmp_path / "test_moon.py").write_text(
        "import pytest\n\ndef test_moon():\n    pytest.skip('no moon tonight')\n"
    )
    (tmp_path / "skips").write_text(f"# what may be missing\n\n{allowed}\n")
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)])
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--only-skips", "skips", "."],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert finished.returncode == code, finished.stdout
    assert ("not in skips: no moon tonight" in finished.stdout) == bool(code)


def test_the_page_on_installing_lists_every_extra():
    page = (ROOT / "docs/install.md").read_text("utf-8").partition("| extra |")[2]
    first = re.findall(r"^\| (`.*?) \|", page.partition("\n\n")[0], re.MULTILINE)
    assert sorted(name for cell in first for name in re.findall(r"`(\w+)`", cell)) == sorted(EXTRAS)
