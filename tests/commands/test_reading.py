"""Files of commands: a bad one costs itself only."""

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.cli import run


@pytest.fixture
def files(tmp_path):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    salt.to(str(tmp_path / "salt.cif"))
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 4\n")
    return [str(tmp_path / "bad.cif"), str(tmp_path / "salt.cif")]


@pytest.mark.parametrize("command", ["predict", "judge", "relax"])
def test_a_bad_file_among_others_is_named_and_the_exit_code_says_so(
    command, files, tmp_path, capsys
):
    out = tmp_path / "out"
    more = ["--max-steps", "1"] if command == "relax" else []
    assert run([command, *files, "--out", str(out), *more]) == 2
    assert "error: " + files[0] in capsys.readouterr().err
    table = pd.read_csv(out / "relaxed.csv" if command == "relax" else out)
    assert table["formula"].tolist() == ["NaCl"]
    strict = tmp_path / "strict"
    assert run([command, *files, "--out", str(strict), "--strict", *more]) == 2
    assert not strict.exists()


def test_a_format_can_be_forced_and_an_unknown_one_is_refused(files, tmp_path, capsys):
    assert run(["predict", files[1], "--format", "poscar"]) == 2
    assert "error: " + files[1] in capsys.readouterr().err
    assert run(["predict", files[1], "--format", "cfi"]) == 2
    assert "no format 'cfi'" in capsys.readouterr().err
    assert run(["predict", files[1], "--format", "cif"]) == 0
