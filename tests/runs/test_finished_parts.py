"""What is finished goes to the disk once, and comes back however the process ended."""

import errno

import pytest
import torch

from smoacs.errors import InputError
from smoacs.interrupt import Interrupt
from smoacs.runs import checkpoint, finished_parts
from smoacs.runs.checkpoint import Checkpoints
from smoacs.runs.finished_parts import FinishedParts
from smoacs.search.seeds.state import FINISHED
from smoacs.training.checkpoint import save_state

DONE = [{"number": k, "values": torch.arange(k, k + 100)} for k in range(40)]


def keeper_in(folder):
    return Checkpoints(folder / "state.pt", Interrupt())


def assert_equal(states, expected):
    assert [state["number"] for state in states] == [state["number"] for state in expected]
    for state, other in zip(states, expected, strict=True):
        assert torch.equal(state["values"], other["values"])


def written_by(folder, monkeypatch, n):
    """Bytes that n checkpoints write, each with one more finished part than the last."""
    sizes = []

    def noting(path, state):
        save_state(path, state)
        sizes.append(path.stat().st_size)

    for module in (finished_parts, checkpoint):
        monkeypatch.setattr(module, "save_state", noting)
    keeper = keeper_in(folder)
    for k in range(n):
        keeper.keep({"step": k, FINISHED: DONE[: k + 1]})
    monkeypatch.undo()
    return sum(sizes)


def test_what_checkpoints_write_grows_with_the_parts_and_no_faster(tmp_path, monkeypatch):
    few, many = (tmp_path / name for name in ("few", "many"))
    few.mkdir()
    many.mkdir()
    ratio = written_by(many, monkeypatch, 40) / written_by(few, monkeypatch, 10)
    assert ratio == pytest.approx(4, rel=0.02)
    state = keeper_in(many).last()
    assert state["step"] == 39
    assert_equal(state[FINISHED], DONE)


def test_a_resumed_search_adds_to_what_is_there(tmp_path):
    keeper_in(tmp_path).keep({"step": 1, FINISHED: DONE[:3]})
    again = keeper_in(tmp_path)
    assert_equal(again.last()[FINISHED], DONE[:3])
    again.keep({"step": 2, FINISHED: DONE[:5]})
    again.keep({"step": 3, FINISHED: DONE[:5]})
    assert len(list((tmp_path / "finished").iterdir())) == 2
    assert_equal(keeper_in(tmp_path).last()[FINISHED], DONE[:5])


def test_parts_that_no_state_counts_are_replaced(tmp_path):
    keeper_in(tmp_path).keep({"step": 1, FINISHED: DONE[:2]})
    state = (tmp_path / "state.pt").read_bytes()
    killed = keeper_in(tmp_path)
    killed.last()
    killed.keep({"step": 2, FINISHED: DONE[:9]})
    (tmp_path / "state.pt").write_bytes(state)  # the kill came before the state was there
    again = keeper_in(tmp_path)
    assert_equal(again.last()[FINISHED], DONE[:2])
    again.keep({"step": 2, FINISHED: DONE[:4]})
    assert_equal(keeper_in(tmp_path).last()[FINISHED], DONE[:4])


def test_what_did_not_fit_on_the_disk_is_tried_again(tmp_path, monkeypatch):
    keeper = keeper_in(tmp_path)
    keeper.keep({"step": 1, FINISHED: DONE[:2]})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        keeper.keep({"step": 2, FINISHED: DONE[:3]})
    assert keeper_in(tmp_path).last()["step"] == 1
    assert [path.name for path in (tmp_path / "finished").iterdir()] == ["000000.pt"]
    keeper.keep({"step": 3, FINISHED: DONE[:4]})
    assert_equal(keeper_in(tmp_path).last()[FINISHED], DONE[:4])


@pytest.mark.parametrize("damage", ["missing", "cut", "exchanged"])
def test_damaged_parts_are_said(tmp_path, damage):
    parts = FinishedParts(tmp_path / "finished")
    parts.add(DONE[:2])
    extent = parts.add(DONE[:3])
    file = tmp_path / "finished" / "000001.pt"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.write_bytes((tmp_path / "finished" / "000000.pt").read_bytes())
    with pytest.raises(InputError, match="damaged"):
        FinishedParts(tmp_path / "finished").read(extent)
