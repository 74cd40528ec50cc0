import json
import pickle
from dataclasses import replace

import pytest
import torch
from pymatgen.core import Lattice, Structure
from safetensors import safe_open
from safetensors.torch import save_file

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import InputError
from smoacs.predictors.builtin import NetworkPredictor, load_network
from smoacs.predictors.storage import read_weights, save_weights

FORMULAS = torch.tensor([3, 14, 159], dtype=torch.int64)


@pytest.fixture
def path(tmp_path, network, header):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network, header, FORMULAS)
    return path


def rewrite(path, *, meta=None, drop=(), change=None):
    """Write the file again with another `smoacs` entry, or without some tensors."""
    with safe_open(path, framework="pt") as file:
        entry = json.loads(file.metadata()["smoacs"])
        tensors = {key: file.get_tensor(key) for key in file.keys() if key not in drop}  # noqa: SIM118
    entry |= change or {}
    entry = json.dumps(entry) if meta is None else meta
    save_file(tensors, path, metadata={"smoacs": entry})


def refused(path):
    """The message with which a file is refused: one line that names it."""
    with pytest.raises(InputError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))
    return message


def test_round_trip_bit_for_bit(path, network, header):
    again, header_again, formulas = read_weights(path)
    assert header_again == header
    assert torch.equal(formulas, FORMULAS)
    state, state_again = network.state_dict(), again.state_dict()
    assert state.keys() == state_again.keys()
    assert all(torch.equal(state[key], state_again[key]) for key in state)
    structure = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.4, 0.5, 0.6]])
    crystals = Crystals.from_structures([structure])
    neighbors = neighbor_list(crystals, 5.0)
    before = NetworkPredictor(network, header, FORMULAS)(crystals, neighbors)
    after = load_network(str(path))(crystals, neighbors)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_writing_leaves_no_other_file(path):
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_same_weights_same_file(path, network, header):
    other = path.with_name("other.safetensors")
    save_weights(other, network, header, FORMULAS)
    assert other.read_bytes() == path.read_bytes()


def test_precision_of_the_file_is_that_of_the_network(tmp_path, network, header):
    path = tmp_path / "double.safetensors"
    save_weights(path, network.double(), header, FORMULAS)
    again, _, _ = read_weights(path)
    torch.testing.assert_close(again.embedding.double(), network.embedding)


def test_missing_file(tmp_path):
    assert "no weights file" in refused(tmp_path / "nothing.safetensors")


def test_folder(tmp_path):
    assert "not a readable safetensors file" in refused(tmp_path)


def test_text_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not weights at all, but quite some text\n" * 10)
    assert "not a readable safetensors file" in refused(path)


def test_empty_file(tmp_path):
    path = tmp_path / "empty.safetensors"
    path.touch()
    assert "not a readable safetensors file" in refused(path)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("save", ["pickle", "torch"])
def test_pickle_is_refused_and_never_opened(tmp_path, save):
    trace, path = tmp_path / "trace", tmp_path / "weights.pt"
    if save == "pickle":
        path.write_bytes(pickle.dumps({"weights": Bomb(trace)}))
    else:
        torch.save({"weights": Bomb(trace)}, path)
    assert "not a readable safetensors file" in refused(path)
    assert not trace.exists()


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(3)}, path, metadata={"format": "pt"})
    assert "not written by smoacs" in refused(path)
    save_file({"weight": torch.ones(3)}, path)
    assert "not written by smoacs" in refused(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_truncated_file(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "not a readable safetensors file" in refused(path)


@pytest.mark.parametrize("meta", ["not JSON", "null", "[]", "3", '"text"', "{}", '{"format": 1}'])
def test_header_that_is_no_header(path, meta):
    rewrite(path, meta=meta)
    assert "do not fit their header" in refused(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format"),
        ({"settings": None}, ""),
        ({"settings": {"channels": "many"}}, ""),
        ({"settings": {"depth": 3}}, "depth"),
        ({"settings": {"channels": -3}}, ""),
        ({"elements": 3}, ""),
        ({"properties": 3}, ""),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_header_with_wrong_entries(path, change, message):
    rewrite(path, change=change)
    assert message in refused(path)


def test_header_of_another_network(path, header):
    settings = vars(replace(header.settings, channels=32))
    rewrite(path, change={"settings": settings})
    message = refused(path)
    assert "do not fit their header" in message
    assert "embedding" in message or "size" in message  # says what does not fit


@pytest.mark.parametrize("tensor", ["embedding", "training_formulas"])
def test_tensor_missing(path, tensor):
    rewrite(path, drop=(tensor,))
    assert tensor in refused(path)


def test_load_network_names_what_there_is(tmp_path):
    with pytest.raises(InputError, match=r"no predictor 'mp2019'.*mp2018"):
        load_network("mp2019")
    with pytest.raises(InputError, match="no predictor"):
        load_network(str(tmp_path))
