"""`.ci/gpaw`: where GPAW cannot be built, one line says why."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "gpaw"
TOOLS = ("bash", "dirname", "env")


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose Python has no GPAW, and a PATH with no compiler."""
    (tmp_path / ".ci").mkdir()
    for script in (SCRIPT, SCRIPT.with_name("apt")):
        shutil.copy(script, tmp_path / ".ci" / script.name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    program(python, "exit 1")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    return tmp_path


def program(path, text):
    path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    path.chmod(0o755)


def run(checkout):
    found = subprocess.run(  # noqa: S603 - our own script
        [checkout / ".ci" / "gpaw"],
        env={"PATH": str(checkout / "tools")},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout.strip()


def test_without_apt(checkout):
    needs = "it needs g++ libxc-dev libopenblas-dev libfftw3-dev, and there is no apt-get"
    assert run(checkout) == (1, f"GPAW is not installed: {needs}")


def test_without_root(checkout):
    program(checkout / "tools" / "apt-get", "exit 0")
    program(checkout / "tools" / "id", "echo 1000")
    code, said = run(checkout)
    assert code == 1
    assert said.endswith("and only root can install them")


def test_without_a_network(checkout):
    program(checkout / "tools" / "apt-get", "exit 100")
    program(checkout / "tools" / "id", "echo 0")
    assert run(checkout) == (1, "GPAW is not installed: apt-get finds no package lists")


def test_it_builds_with_the_siteconfig(checkout):
    program(checkout / "tools" / "g++", "exit 0")
    log = checkout / "log"
    program(
        checkout / ".venv" / "bin" / "python",
        f'[ "$1" = -m ] || exit 1\necho "$GPAW_CONFIG $*" > {log}',
    )
    assert run(checkout) == (0, "")
    text = log.read_text()
    assert "src/smoacs/dft/gpaw_siteconfig.py -m pip install" in text
    assert ".[dft]" in text
