"""The folder of a run that is not finished: whatever moment a kill picks, the run goes on."""

import errno
import json
import sys

import pytest
import torch

from smoacs.errors import InputError
from smoacs.interrupt import Interrupt
from smoacs.request import DesignConfig
from smoacs.runs import checkpoint, run_directory
from smoacs.runs.checkpoint import Checkpoints, begin_run, is_interrupted, reopen_run
from smoacs.runs.marker import mark_run

CONFIG = DesignConfig(targets=("density > 1",), n=3)
BEGUN = 50
"""Changes of files that beginning a run takes."""

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


class Killed(BaseException):
    """Stands for a kill -9: nothing after it has an effect on the disk."""


class Killer:
    """Kills before the n-th change of a file, and at every later one."""

    def __init__(self):
        self.left = None

    def __call__(self, event, args):
        if self.left is None:
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if event in CHANGES or writes:
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.fixture(scope="module")
def killer():
    """An audit hook cannot be taken away again, so it is there once and mostly asleep."""
    hook = Killer()
    sys.addaudithook(hook)
    return hook


def write(folder, text, *, interrupted=False):
    with run_directory(folder, force=False) as inside:
        (inside / "results.csv").write_text(text)
        (inside / "summary.json").write_text(json.dumps({"interrupted": interrupted}))
        mark_run(inside)


def work(unfinished, *, interrupted=False):
    """What a search does to the disk; the result counts its steps, of which there are three."""
    keeper = Checkpoints(unfinished.state_file, Interrupt())
    step = (keeper.last() or {"step": 0})["step"]
    for done in range(step + 1, 2 if interrupted else 4):
        keeper.keep({"step": done})
    write(unfinished.result, "part" if interrupted else "whole", interrupted=interrupted)
    unfinished.deliver()


def go_on(out):
    with reopen_run(out) as unfinished:
        if unfinished is None:
            return
        if unfinished.result_is_final:
            unfinished.deliver()
            return
        assert unfinished.config() == CONFIG
        work(unfinished)


def begin(out, *, force=False, interrupted=False):
    with begin_run(CONFIG, out, force=force) as unfinished:
        work(unfinished, interrupted=interrupted)


def begin_and_go_on(out):
    begin(out, interrupted=True)
    go_on(out)


def replace(out):
    begin(out, force=True)


def read(unfinished):
    return unfinished.config(), Checkpoints(unfinished.state_file, Interrupt()).last()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("story", [begin, begin_and_go_on, replace])
def test_a_kill_at_any_change_of_a_file_is_survived(story, stride, killer, tmp_path):
    kills = 0
    for moment in range(0, 400, stride):
        parent = tmp_path / str(moment)
        parent.mkdir()
        out = parent / "run"
        if story is replace:
            write(out, "old")
        killer.left = moment
        try:
            story(out)
        except Killed:
            kills += 1
        finally:
            complete = killer.left >= 0
            killer.left = None
        try:
            go_on(out)
        except InputError:  # killed before config.toml was there, so give the command again
            assert moment < BEGUN
            assert story is not replace
            begin(out)
        if story is replace and (out / "results.csv").read_text() == "old":
            assert moment < BEGUN
            begin(out, force=True)
        assert (out / "results.csv").read_text() == "whole"
        assert not is_interrupted(out)
        assert names(parent) == ["run"]
        if complete:
            break
    assert complete
    assert kills > 60 // stride


@pytest.mark.parametrize("force", [False, True])
def test_an_unfinished_run_is_replaced_on_request_only(force, tmp_path):
    out = tmp_path / "run"
    with begin_run(CONFIG, out, force=False):
        pass
    if force:
        begin(out, force=True)
        assert names(tmp_path) == ["run"]
        return
    with pytest.raises(InputError, match=r"not finished.*smoacs resume .*run.*--force"):
        begin(out)
    assert names(tmp_path) == [".run.partial"]


def test_an_interrupted_run_points_to_resume(tmp_path):
    out = tmp_path / "run"
    begin(out, interrupted=True)
    assert is_interrupted(out)
    with pytest.raises(InputError, match="smoacs resume"):
        begin(out)
    go_on(out)
    with pytest.raises(InputError, match="already holds a run"):
        begin(out)


def test_a_run_that_appeared_in_between_is_kept(tmp_path):
    out = tmp_path / "run"
    with begin_run(CONFIG, out, force=False):
        pass
    write(out, "other")
    with pytest.raises(InputError, match="already holds a run"):
        go_on(out)
    assert (out / "results.csv").read_text() == "other"
    out.rename(tmp_path / "moved")
    go_on(out)
    assert (out / "results.csv").read_text() == "whole"


def test_what_is_not_ours_in_the_hidden_folder_stays(tmp_path):
    out, hidden = tmp_path / "run", tmp_path / ".run.partial"
    hidden.mkdir()
    (hidden / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"'thesis.tex', which is not of it"):
        begin(out)
    with pytest.raises(InputError, match="no run to resume"):
        go_on(out)
    assert (hidden / "thesis.tex").read_text() == "mine"


def test_a_users_file_in_an_interrupted_run_stops_its_replacement_before_the_work(tmp_path):
    out = tmp_path / "run"
    begin(out, interrupted=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"'notes.txt', and would be lost"), reopen_run(out):
        pytest.fail("the work has begun")
    (out / "notes.txt").rename(tmp_path / "notes.txt")
    go_on(out)
    assert (out / "results.csv").read_text() == "whole"


def test_nothing_to_resume(tmp_path):
    with pytest.raises(InputError, match="no run to resume"):
        go_on(tmp_path / "run")
    write(tmp_path / "run", "old")
    go_on(tmp_path / "run")
    assert (tmp_path / "run" / "results.csv").read_text() == "old"
    write(tmp_path / "other", "old", interrupted=True)
    with pytest.raises(InputError, match=r"checkpoint.*is gone.*smoacs design"):
        go_on(tmp_path / "other")


def test_two_processes_do_not_work_on_one_run(tmp_path):
    out = tmp_path / "run"
    with begin_run(CONFIG, out, force=False):
        with pytest.raises(InputError, match="another process is at work"):
            go_on(out)
        with pytest.raises(InputError, match="another process is at work"):
            begin(out, force=True)


@pytest.mark.parametrize("change", ["version", "file", "no file", "folder", "state"])
def test_a_run_goes_on_as_it_began_or_not_at_all(change, tmp_path, monkeypatch):
    weights = tmp_path / "my.safetensors"
    weights.write_bytes(b"weights")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "a.cif").write_text("crystal")
    config = CONFIG.model_copy(update={"predictor": str(weights), "template": str(seeds)})
    out = tmp_path / "run"
    with begin_run(config, out, force=False) as unfinished:
        Checkpoints(unfinished.state_file, Interrupt()).keep({"step": 1})
        assert unfinished.config() == config
        if change == "version":
            monkeypatch.setattr(checkpoint, "version", lambda _package: "9.9")
            message = r"begun with smoacs .* this is 9\.9.*smoacs design"
        elif change == "file":
            weights.write_bytes(b"others")
            message = r"my\.safetensors has changed"
        elif change == "no file":
            weights.unlink()
            message = r"my\.safetensors has changed"
        elif change == "folder":
            (seeds / "a.cif").write_text("other")
            message = r"seeds has changed"
        else:
            unfinished.state_file.write_bytes(unfinished.state_file.read_bytes()[:-20])
            message = "damaged"
        with pytest.raises(InputError, match=message):
            read(unfinished)


def test_a_state_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch, caplog):
    keeper = Checkpoints(tmp_path / "state.pt", Interrupt())
    keeper.keep({"step": 1, "tensor": torch.arange(3)})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        keeper.keep({"step": 2})
        keeper.keep({"step": 3})
    assert names(tmp_path) == ["state.pt"]
    assert keeper.last()["step"] == 1
    (record,) = caplog.records
    assert record.message.startswith("no checkpoint could be written (")
    assert record.message.endswith("state.pt: the disk is full, nothing was written); going on")
    keeper.keep({"step": 4})
    assert keeper.last() == {"step": 4}


def test_checkpoints_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    keeper = Checkpoints(tmp_path / "state.pt", Interrupt())
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])

    def write_slowly(path, data):
        now[0] += 2

    monkeypatch.setattr(checkpoint, "save_state", write_slowly)
    keeper._next = 100.0
    assert keeper.due  # the first one at once
    keeper.keep({})
    assert now == [102.0]
    now[0] += 190
    assert not keeper.due
    now[0] += 15
    assert keeper.due
