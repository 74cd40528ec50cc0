import json
import pickle
from dataclasses import replace
from importlib.resources import as_file, files

import pytest
import torch
from pymatgen.core import Lattice, Structure
from safetensors import safe_open
from safetensors.torch import save_file

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import InputError
from smoacs.predictors.builtin import BUILTIN, NetworkPredictor, load_network
from smoacs.predictors.weights.storage import read_weights, save_weights

FORMULAS = torch.tensor([3, 14, 159], dtype=torch.int64)


@pytest.fixture
def path(tmp_path, network, header):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network, header, FORMULAS)
    return path


def rewrite(path, *, meta=None, drop=(), change=None, tensors=None, old=False):
    """Write the file again with another `smoacs` entry, or without some tensors, or with others.

    With `old`, as a version wrote it that knew no fingerprint.
    """
    with safe_open(path, framework="pt") as file:
        entry = json.loads(file.metadata()["smoacs"])
        kept = {key: file.get_tensor(key) for key in file.keys() if key not in drop}  # noqa: SIM118
    tensors = kept | {name: change(kept[name]) for name, change in (tensors or {}).items()}
    entry |= change or {}
    if old:
        del entry["fingerprint"]
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutoff": float("nan")}, "cutoff = nan must be from 1.0 to 20.0"),
        ({"cutoff": float("inf")}, "cutoff = inf"),
        ({"cutoff": -1.0}, "cutoff = -1.0"),
        ({"cutoff": 1e9}, "cutoff = 1000000000.0"),
        ({"cutoff": 4.5}, "cutoff = 4.5 but the radial functions end at 5 Å"),
        ({"layers": 10**7}, "layers = 10000000 must be from 1 to 32"),
        ({"layers": 3}, "interactions.2"),
        ({"layers": 1.5}, "settings.layers"),
        ({"layers": True}, "settings.layers"),
        ({"channels": 0}, "channels = 0"),
        ({"channels": 10**400}, "channels = 1000"),
        ({"members": 2}, "size of"),
        ({"radial": 1}, "radial = 1"),
        ({"normalise_messages": 1}, "settings.normalise_messages"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_built(path, header, change, message):
    rewrite(path, change={"settings": vars(header.settings) | change}, old=True)
    assert message in refused(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"properties": {}}, "properties must be 1 to 256, not 0"),
        ({"properties": {"formation_energy": "eV/atom", "band_gap": "meV"}}, "band_gap is in eV"),
        ({"properties": {"formation_energy": "eV/atom", "a.std": "eV"}}, "no name of a property"),
        ({"elements": ["Xx"]}, "not 'Xx'"),
        ({"elements": []}, "symbols from H to Cf"),
        ({"log10": {"bulk_modulus": 3.0}}, "log10 names 'bulk_modulus'"),
        ({"log10": {"band_gap": float("nan")}}, "log10.band_gap = nan"),
        ({"readouts": {"band_gap": "cube"}}, "readouts.band_gap = 'cube'"),
        ({"readouts": {"band_gap": "sqrt"}}, "readouts.0.project"),
        ({"domain": {"element_counts": {}, "ranges": {"density": [2.0, 1.0]}}}, "domain.ranges"),
    ],
)
def test_parts_that_do_not_agree(path, change, message):
    rewrite(path, change=change, old=True)
    assert message in refused(path)


def test_header_nested_a_thousand_deep(path):
    rewrite(path, meta='{"format": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "nested too deeply" in refused(path)


@pytest.mark.parametrize(
    ("tensor", "change", "message"),
    [
        ("embedding", lambda x: x.double(), "is of type"),
        ("scale", lambda x: x.half(), "scale is of type torch.float16"),
        ("element_shift", lambda x: x / 0, "element_shift holds what is no finite number"),
        ("embedding", lambda x: x.int(), "embedding is of type torch.int32"),
        ("training_formulas", lambda x: x.flip(0), "sorted whole numbers"),
        ("training_formulas", lambda x: x.double(), "sorted whole numbers"),
    ],
)
def test_tensors_are_held_to_the_header(path, tensor, change, message):
    rewrite(path, tensors={tensor: change}, old=True)
    assert message in refused(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {"scale": lambda x: x * 1.01}},
        {"tensors": {"training_formulas": lambda x: x + 1}},
        {"change": {"properties": {"band_gap": "eV", "formation_energy": "eV/atom"}}},
        {"change": {"log10": {"band_gap": 2.0}}},
        {"change": {"fingerprint": "0" * 64}},
    ],
)
def test_what_was_changed_after_it_was_written_is_refused(path, changes):
    rewrite(path, **changes)
    assert "their fingerprint is another" in refused(path)


def test_files_of_versions_without_fingerprint_are_read(path, network):
    rewrite(path, old=True)
    again, _, _ = read_weights(path)
    assert torch.equal(again.embedding, network.embedding)


def test_the_weights_of_the_package_have_their_fingerprint():
    with as_file(files("smoacs.predictors") / "weights" / f"{BUILTIN}.safetensors") as path:
        with safe_open(path, framework="pt") as file:
            assert len(json.loads(file.metadata()["smoacs"])["fingerprint"]) == 64
        read_weights(path)


def test_default_precision_of_the_program_around_does_not_matter(path, network):
    torch.set_default_dtype(torch.float64)
    try:
        again, _, _ = read_weights(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {x.dtype for x in again.state_dict().values()} == {torch.float32}
    assert again.geometry.covalent_radii.dtype == torch.float32


def test_load_network_names_what_there_is(tmp_path):
    with pytest.raises(InputError, match=r"no predictor 'mp2019'.*mp2018"):
        load_network("mp2019")
    with pytest.raises(InputError, match="no predictor"):
        load_network(str(tmp_path))
