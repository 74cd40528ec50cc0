from pymatgen.core import Lattice, Structure

from smoacs.checking.findings import open_findings, record_key


def test_what_was_kept_comes_back(tmp_path):
    path = tmp_path / "findings.jsonl"
    with open_findings(path) as file:
        file.append("a", {"x": 1})
        file.append("a", {"x": 2})
        file.append("b", {"x": None})
    with open_findings(path) as file:
        assert file.records == {"a": {"x": 2}, "b": {"x": None}}


def test_keys_tell_crystals_and_settings_apart():
    one = Structure(Lattice.cubic(3), ["Na+"], [[0, 0, 0]])
    bare = Structure(Lattice.cubic(3), ["Na"], [[0, 0, 0]])
    other = Structure(Lattice.cubic(3.001), ["Na"], [[0, 0, 0]])
    keys = {record_key(s, {"fmax": f}) for s in (one, bare, other) for f in (0.05, 0.1)}
    assert len(keys) == 4
