"""`smoacs check` and `smoacs design --check` on the command line."""

import pytest

from smoacs import checking
from smoacs.cli import run as smoacs
from smoacs.errors import MissingExtraError


def test_chemistry_alone(folder, capsys):
    assert smoacs(["check", str(folder), "--potential", "none"]) == 0
    text = capsys.readouterr().out
    assert "chemistry, 2 designs: 2 valid by SMACT" in text
    assert f"columns in {folder}" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--potential", "mace"), "no potential 'mace'"),
        (("--dft", "abinit", "--potential", "none"), "no DFT engine 'abinit'"),
        (("--limit", "1", "--random", "1"), "not both"),
        (("--reference", "gone.json", "--potential", "none"), "gone.json: no such file"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, options, message):
    assert smoacs(["check", str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_design_with_a_check_that_is_not_installed(tmp_path, capsys, monkeypatch):
    def missing(name="chgnet"):
        raise MissingExtraError("the predictor chgnet needs CHGNet: pip install '.[chgnet]'")

    monkeypatch.setattr(checking, "load_potential", missing)
    out = tmp_path / "run"
    arguments = ["design", "perovskite", "--out", str(out), "-t", "band_gap > 1", "--check"]
    assert smoacs(arguments) == 2
    assert ".[chgnet]" in capsys.readouterr().err
    assert not out.exists()
