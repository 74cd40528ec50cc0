"""Text of any encoding, in structure files and in settings."""

import gzip

import pytest

from smoacs.errors import InputError
from smoacs.request import DesignConfig
from smoacs.text import decode, read_bytes
from smoacs.training.config import TrainConfig

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
TOML = 'template = "perovskite"\ntargets = ["band_gap = 2.5 ± 0.2"]\nn = 2\n'


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(encoding):
    text = "band_gap = 2.5 ± 0.2 eV, Å\nzwei\n"
    assert decode(text.replace("\n", "\r\n").encode(encoding)) == text
    assert decode(b"") == ""


def test_what_is_in_no_encoding_is_refused_or_read_as_asked():
    data = "Å\n".encode("latin-1")
    with pytest.raises(UnicodeDecodeError):
        decode(data)
    assert decode(data, fallback="latin-1") == "Å\n"


def test_packed_bytes(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"text"))
    assert read_bytes(tmp_path / "a") == b"text"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_of_a_design(encoding, tmp_path):
    (tmp_path / "a.toml").write_bytes(TOML.encode(encoding))
    (target,) = DesignConfig.from_toml(tmp_path / "a.toml").targets
    assert str(target) == "2.3 <= band_gap <= 2.7"


def test_settings_in_another_encoding_are_a_sentence(tmp_path):
    (tmp_path / "a.toml").write_bytes(TOML.encode("latin-1"))
    with pytest.raises(InputError, match="is not valid TOML"):
        DesignConfig.from_toml(tmp_path / "a.toml")


def test_settings_of_a_training(tmp_path):
    lines = ('name = "ä"', 'out = "x.safetensors"', 'properties = ["band_gap"]', "epochs = 1")
    text = "\n".join([*lines, f'data = [{{ path = "{tmp_path}/x.parquet" }}]'])
    (tmp_path / "x.parquet").touch()
    read = []
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "t.toml").write_bytes(text.encode(encoding))
        read.append(TrainConfig.from_toml(tmp_path / "t.toml"))
    assert read[0] == read[1]
