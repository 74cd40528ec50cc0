import numpy as np
import pandas as pd
from ase.io import read
from pymatgen.core import Structure

from smoacs.cli import run

FIXED = """MgO, O is displaced and held
1.0
0 2.106 2.106
2.106 0 2.106
2.106 2.106 0
Mg O
1 1
Selective dynamics
Direct
0 0 0 F F F
0.45 0.5 0.5 F F F
"""


def test_selective_dynamics_are_held_and_fixed_cells_stay(tmp_path):
    (tmp_path / "POSCAR").write_text(FIXED)
    command = ["relax", str(tmp_path / "POSCAR"), "--max-steps", "5"]
    assert run([*command, "--out", str(tmp_path / "held")]) == 0
    end = read(tmp_path / "held" / "relaxed.extxyz")
    delta = end.get_scaled_positions()[1] - end.get_scaled_positions()[0]
    np.testing.assert_allclose(delta, [0.45, 0.5, 0.5], atol=1e-5)
    assert abs(end.cell.volume / (2 * 2.106**3) - 1) > 1e-3
    assert run([*command, "--fix-cell", "--out", str(tmp_path / "cell")]) == 0
    end = read(tmp_path / "cell" / "relaxed.extxyz")
    np.testing.assert_allclose(end.cell.volume, 2 * 2.106**3, rtol=1e-5)


def test_outside_the_domain_there_is_a_warning(tmp_path, capsys):
    loose = Structure([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]], ["Mg", "O"], [[0] * 3, [0.5] * 3])
    loose.to(str(tmp_path / "loose.cif"))
    out = tmp_path / "out"
    assert run(["relax", str(tmp_path / "loose.cif"), "--max-steps", "1", "--out", str(out)]) == 0
    assert "1 of 1 structures lie outside" in capsys.readouterr().err
    row = pd.read_csv(out / "relaxed.csv").iloc[0]
    assert not row["in_domain"]
    assert "volume per atom" in row["domain_warning"]


def test_what_cannot_be_relaxed_costs_itself_only(tmp_path, capsys):
    salt = Structure(
        [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    salt.to(str(tmp_path / "a.vasp"), fmt="poscar")
    salt.replace(0, "Cf")
    salt.to(str(tmp_path / "b.vasp"), fmt="poscar")
    files = [str(tmp_path / name) for name in ("b.vasp", "a.vasp")]
    assert run(["relax", *files, "--max-steps", "1", "--out", str(tmp_path / "out")]) == 2
    assert "b.vasp: structure 0 holds Cf" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "out" / "relaxed.csv")["formula"].tolist() == ["NaCl"]
    assert run(["relax", *files, "--strict", "--out", str(tmp_path / "strict")]) == 2
    assert not (tmp_path / "strict").exists()
