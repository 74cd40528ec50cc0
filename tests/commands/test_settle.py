import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from smoacs.cli import app, run
from smoacs.structures import read_structure


def settle(*arguments):
    result = CliRunner().invoke(app, ["settle", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A cubic perovskite that tilts, a rock salt that stays, and one that is too tight."""
    folder = tmp_path_factory.mktemp("settle")
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    Structure(Lattice.cubic(4.1), ["Sr2+", "Zr4+", *["O2-"] * 3], sites).to(
        str(folder / "cubic.cif")
    )
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5] * 3]).to(
        str(folder / "salt.cif")
    )
    Structure(Lattice.cubic(4.0), ["Mg", "O"], [[0, 0, 0], [0.2, 0, 0]]).to(
        str(folder / "tight.cif")
    )
    files = [folder / name for name in ("cubic.cif", "salt.cif", "tight.cif")]
    result = settle(*files, "--out", folder / "out", "--starts", "1")
    return folder / "out", result, pd.read_csv(folder / "out" / "settled.csv")


def test_table_and_files_tell_what_became_of_each(done):
    out, result, table = done
    assert result.exit_code == 0
    assert "2 of 3 structures settled" in result.output
    assert table["formula"].tolist() == ["SrZrO3", "MgO", "MgO"]
    tilted, salt, tight = (row for _, row in table.iterrows())
    assert tilted["parent_space_group"] == 221
    assert tilted["space_group"] == 62
    assert tilted["energy_gain"] == pytest.approx(
        tilted["parent_formation_energy"] - tilted["formation_energy"], abs=1e-5
    )
    assert tilted["energy_gain"] > 0.01
    assert tilted["parent_frequency"] < -1 < -0.1 < tilted["lowest_frequency"]
    assert tilted["converged"]
    assert tilted["in_domain"]
    assert salt["space_group"] == salt["parent_space_group"] == 225
    assert salt["energy_gain"] == 0
    assert "too close" in tight["failure"]
    assert pd.isna(tight["structure_file"])
    written = read_structure(out / tilted["structure_file"])
    assert len(written) == tilted["n_atoms"] == 20
    assert {str(kind) for kind in written.species} == {"Sr2+", "Zr4+", "O2-"}
    assert "'P n m a'" in (out / tilted["structure_file"]).read_text("utf-8")


def test_failures_and_what_lies_outside_the_domain_are_said(done):
    _, result, _ = done
    assert "tight.cif: structure 0 has atoms too close to each other" in result.stderr


def test_a_folder_with_a_run_is_left_alone(done, tmp_path, capsys):
    out, *_ = done
    assert run(["settle", str(out / "structures"), "--out", str(out)]) == 2
    assert "choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"), [(["--starts", "0"], "starts"), (["--supercell", "100"], "supercell")]
)
def test_settings_out_of_range_are_refused(done, options, said, tmp_path, capsys):
    out, *_ = done
    file = next((out / "structures").glob("*.cif"))
    assert run(["settle", str(file), "--out", str(tmp_path / "new"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
