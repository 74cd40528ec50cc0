"""500 command lines that are wrong: each is refused in one sentence, or is right after all."""

import shutil

import pytest

from hostile.conftest import numbers
from hostile.mutations import command_line
from smoacs.cli import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["-t", "density > 0.001", "-n", "3", "--steps", "2", "--rest", "symmetry"]
    options += ["--predictor", str(tiny)]
    assert run(["design", "perovskite", *options, "--device", "cpu", "--out", str(out)]) in {0, 1}
    return out


@pytest.mark.usefixtures("no_work")
@numbers(500)
def test_command_lines_that_are_wrong_are_a_sentence(chosen, here, finished, watch):
    (here / "settings.toml").write_text('targets = ["band_gap > 1"]\nn = 3\nsteps = 2\n')
    (here / "train.toml").write_text('name = "x"\nout = "x.safetensors"\ndata = ["none.parquet"]\n')
    before = None
    for number in chosen:
        shutil.copytree(finished, here / "run", dirs_exist_ok=True)
        before = before or {path.name for path in here.iterdir()}
        watch(number, command_line(number))
        for path in here.iterdir():
            if path.name not in before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not watch.faults, "\n".join(watch.faults)
    assert watch.refused > len(chosen) / 2
