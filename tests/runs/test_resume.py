"""Runs that are killed, interrupted, or short of disk or memory end as if nothing had happened."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import smoacs
from smoacs.cli import run
from smoacs.errors import InputError, ResourceError
from smoacs.request import DesignConfig
from smoacs.runs import execute, save
from smoacs.targets import Target
from toys import Bowl

CONFIG = DesignConfig(targets=("toy < 0.3",), n=4, steps=20, device="cpu")
PARTIAL = ".run.partial"


class Stop(BaseException):
    """Ends the run from within, and nobody catches it."""


def at_step(step, act):
    """Progress callback that acts once, at a step."""
    return lambda event: act() if event.step == step else None


def stop():
    raise Stop


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _interruptible():
    """Ctrl-C reaches the tests, also where a shell started them in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run directory of a run that nothing happened to."""
    return execute(CONFIG, tmp_path_factory.mktemp("whole") / "run", predictor=Bowl())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def assert_complete(out, whole):
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    for name in ("results.csv", "structures.extxyz", "history.parquet", "config.toml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (out, whole)]
    for summary in summaries:
        del summary["seconds"], summary["timings"]
    assert summaries[0] == summaries[1]
    assert summaries[0]["interrupted"] is False


def test_a_run_that_is_stopped_again_and_again(out, whole):
    with pytest.raises(Stop):
        execute(CONFIG, out, predictor=Bowl(), progress=at_step(1, stop))
    for step in (2, 9, 20):
        with pytest.raises(Stop):
            smoacs.resume(out, predictor=Bowl(), progress=at_step(step, stop))
    assert [path.name for path in out.parent.iterdir()] == [PARTIAL]
    with pytest.raises(InputError, match="smoacs resume"):
        execute(CONFIG, out, predictor=Bowl())
    assert smoacs.resume(out, predictor=Bowl()) == out
    assert_complete(out, whole)
    before = (out / "summary.json").stat()
    assert smoacs.resume(out) == out  # complete: nothing is done
    assert (out / "summary.json").stat() == before


def test_ctrl_c_writes_what_there_is(out, whole, caplog):
    execute(CONFIG, out, predictor=Bowl(), progress=at_step(12, ctrl_c))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    summary = json.loads((out / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["steps"] == 12
    assert len((out / "results.csv").read_text().splitlines()) == 1 + CONFIG.n
    assert "stopping after this step" in caplog.text
    smoacs.resume(out, predictor=Bowl(), progress=at_step(13, ctrl_c))
    assert json.loads((out / "summary.json").read_text())["steps"] == 13
    smoacs.resume(out, predictor=Bowl())
    assert_complete(out, whole)


def test_what_was_checked_of_an_interrupted_run_is_kept(out, whole, caplog):
    execute(CONFIG, out, predictor=Bowl(), progress=at_step(12, ctrl_c))
    findings = out / "checks" / "dft_gpaw.jsonl"
    findings.parent.mkdir()
    findings.write_text('{"key": "a"}\n')
    smoacs.resume(out, predictor=Bowl(), progress=at_step(13, ctrl_c))
    assert findings.read_text() == '{"key": "a"}\n'
    caplog.clear()
    smoacs.resume(out, predictor=Bowl())
    assert findings.read_text() == '{"key": "a"}\n'
    assert f"smoacs check {out}" in caplog.text
    assert_complete(out, whole)


def test_the_findings_of_another_run_are_not_taken_over(out):
    execute(CONFIG, out, predictor=Bowl(), progress=at_step(12, ctrl_c))
    (out / "checks").mkdir()
    (out / "checks" / "relaxation.jsonl").write_text("")
    execute(CONFIG.model_copy(update={"seed": 1}), out, predictor=Bowl(), force=True)
    assert not (out / "checks").exists()


def test_ctrl_c_twice_stops_at_once(out, whole, caplog):
    def twice():
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        execute(CONFIG, out, predictor=Bowl(), progress=at_step(12, twice))
    assert f"smoacs resume {out}" in caplog.text
    assert [path.name for path in out.parent.iterdir()] == [PARTIAL]
    smoacs.resume(out, predictor=Bowl())
    assert_complete(out, whole)


def test_ctrl_c_at_the_last_step_changes_nothing(out, whole):
    execute(CONFIG, out, predictor=Bowl(), progress=at_step(20, ctrl_c))
    assert_complete(out, whole)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full.*smoacs resume"),
        (MemoryError(), "out of memory.*smoacs resume"),
    ],
)
def test_no_room_for_the_results(error, message, out, whole, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(save, "write_structures", fail)
        with pytest.raises(ResourceError, match=message):
            execute(CONFIG, out, predictor=Bowl())
    assert [path.name for path in out.parent.iterdir()] == [PARTIAL]
    smoacs.resume(out, predictor=Bowl())
    assert_complete(out, whole)


def test_a_mistake_found_late_leaves_nothing(out):
    config = CONFIG.model_copy(update={"targets": (Target.parse("band_gap > 1"),)})
    with pytest.raises(InputError, match="band_gap"):
        execute(config, out, predictor=Bowl())
    assert list(out.parent.iterdir()) == []


def test_the_command_line_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "perovskite",
        "-t",
        "density > 0.001",
        "-n",
        "2",
        "--steps",
        "6",
        "--rest",
        "symmetry",
    ]
    real = smoacs.runs.execute
    monkeypatch.setattr(
        smoacs.runs,
        "execute",
        lambda *args, **kw: real(*args, **(kw | {"progress": at_step(3, ctrl_c)})),
    )
    assert run(["design", *arguments, "--out", "run"]) == 130
    assert (
        "interrupted after 3 of 6 steps; go on with: smoacs resume run" in capsys.readouterr().out
    )
    assert run(["design", *arguments, "--out", "run"]) == 2
    assert "smoacs resume" in capsys.readouterr().err
    assert run(["resume", "run"]) == 0
    assert "of 2 candidates succeed" in capsys.readouterr().out
    assert run(["resume", "run"]) == 0
    assert run(["resume", "none"]) == 2


DRIVER = """
import os, random, shutil, signal, sys, time
import smoacs.judging, smoacs.runs
from smoacs.request import DesignConfig

config, kills = DesignConfig.from_toml("run.toml"), int(sys.argv[1])

def begin(out, work, delay=None):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def design():
    smoacs.runs.execute(config, "run", force=True)

def resume():
    smoacs.runs.resume("run")

config.resolved_template()  # reads tables, once for all
started = time.perf_counter()
assert begin("run", design) == 0
seconds = time.perf_counter() - started
os.rename("run", "whole")
rng = random.Random(0)
while kills:
    work = design
    while kills:
        code = begin("run", work, rng.uniform(0, seconds))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills -= 1
        begun = os.path.exists(".run.partial/config.toml")
        print("killed", os.path.exists(".run.partial/state.pt"), begun, flush=True)
        if begun:
            work = resume
    if work is resume:
        assert begin("run", resume) == 0
        print("ended", open("run/results.csv").read() == open("whole/results.csv").read())
        shutil.rmtree("run")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("settings", "kills"),
    [({"rest": "symmetry"}, 20), ({"n": 2}, 3), ({"preset": "paper"}, 5)],
    ids=str,
)
def test_kill_9_at_random_moments(settings, kills, tmp_path):
    targets = ("formation_energy < -0.5",)
    config = DesignConfig(targets=targets, **({"n": 12, "steps": 60, "device": "cpu"} | settings))
    (tmp_path / "run.toml").write_text(config.to_toml())
    environment = os.environ | {"PYTHONPATH": str(Path(smoacs.__file__).parents[1])}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", DRIVER, str(kills)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed") == kills
    assert "killed True True" in done.stdout  # in the midst of the work
    assert "ended True" in done.stdout
    assert "ended False" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.toml", "whole"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_signals_of_slurm_are_like_ctrl_c(name, out, whole, caplog):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    execute(
        CONFIG, out, predictor=Bowl(), progress=at_step(12, lambda: signal.raise_signal(number))
    )
    assert signal.getsignal(number) is signal.SIG_DFL
    signal.signal(number, before)
    assert json.loads((out / "summary.json").read_text())["interrupted"] is True
    assert f"{name}: stopping after this step" in caplog.text
    smoacs.resume(out, predictor=Bowl())
    assert_complete(out, whole)
