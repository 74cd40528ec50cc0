"""Every kind of structure file in every command: the right crystal, or one sentence."""

import gzip
import re

import ase.io
import gemmi
import pandas as pd
import pytest
from ase.build import bulk

from smoacs.checking import read_reference
from smoacs.cli import run
from smoacs.errors import InputError
from smoacs.request import DesignConfig
from smoacs.structures import read_structures
from smoacs.templates import seed_templates
from smoacs.training.data.id_prop import read_id_prop

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

SITES = "loop_\n" + "".join(
    f"_atom_site_{n}\n" for n in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
)
ROCK_SALT = "Mg1 Mg 0 0 0\nO1 O 0.5 0.5 0.5\n"
POSCAR = "x\n1.0\n0 2.106 2.106\n2.106 0 2.106\n2.106 2.106 0\nMg O\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def cif(cell, said, sites, columns=SITES):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = "".join(f"_cell_{n} {v}\n" for n, v in zip(names, cell.split(), strict=True))
    return f"data_x\n{lines}{said}\n{columns}{sites}"


MAGNESIA = cif("4.212 4.212 4.212 90 90 90", "_space_group_name_Hall '-F 4 2 3'", ROCK_SALT)
GOOD = {
    "origin": (
        cif("8.083 8.083 8.083 90 90 90", "_symmetry_space_group_name_H-M 'F d -3 m:2'",
            "Mg1 Mg 0.125 0.125 0.125\nAl1 Al 0.5 0.5 0.5\nO1 O 0.262 0.262 0.262\n"),
        "MgAl2O4", 56,
    ),
    "axes": (
        cif("2.8166 2.8166 14.052 90 90 120", "_symmetry_space_group_name_H-M 'R -3 m:H'",
            "Li1 Li 0 0 0.5\nCo1 Co 0 0 0\nO1 O 0 0 0.2395\n"),
        "LiCoO2", 12,
    ),
    "hall": (MAGNESIA, "MgO", 8),
    "full": (MAGNESIA.replace("_space_group_name_Hall '-F 4 2 3'",
                              "_symmetry_space_group_name_H-M 'F 4/m -3 2/m'"), "MgO", 8),
    "occupancy": (
        cif("3.905 3.905 3.905 90 90 90", "_symmetry_space_group_name_H-M 'P m -3 m'",
            "Sr1 Sr 0 0 0 0.999\nTi1 Ti 0.5 0.5 0.5 ?\nO1 O 0.5 0.5 0 .\n",
            SITES + "_atom_site_occupancy\n"),
        "SrTiO3", 5,
    ),
    "rounded": (
        cif("3.1604 3.1604 12.295 90 90 120", "_symmetry_space_group_name_H-M 'P 63/m m c'",
            "Mo1 Mo 0.333 0.667 0.25\nS1 S 0.333 0.667 0.621\n"),
        "MoS2", 6,
    ),
    "blocks": ("data_global\n_journal_name_full 'J. Test'\n" + MAGNESIA, "MgO", 8),
    "mmcif": (
        re.sub("_(cell|atom_site|space_group)_", r"_\1.", MAGNESIA), "MgO", 8,
    ),
    "bom": ("\ufeff" + MAGNESIA, "MgO", 8),
    "poscar": (POSCAR, "MgO", 2),
}  # fmt: skip
BAD = {
    "vasp4": (POSCAR.replace("Mg O\n", ""), "no line of elements"),
    "hydrogen": (
        cif("3.142 3.142 4.766 90 90 120",
            "_symmetry_space_group_name_H-M 'P -3 m 1'\n_chemical_formula_sum 'H2 Mg O2'",
            "Mg1 Mg 0 0 0\nO1 O 0.3333 0.6667 0.2216\n"),
        "H has no positions",
    ),
    "unknown": (MAGNESIA.replace("Hall '-F 4 2 3'", "H-M_alt 'F q -3 m'"), "is unknown"),
    "partial": (
        cif("4.212 4.212 4.212 90 90 90", "_symmetry_space_group_name_H-M 'F m -3 m'",
            "Mg1 Mg 0 0 0 0.5\nO1 O 0.5 0.5 0.5 1\n", SITES + "_atom_site_occupancy\n"),
        "partially occupied sites",
    ),
    "contradiction": (
        cif("4.212 4.212 4.212 90 90 90",
            "_symmetry_space_group_name_H-M 'F m -3 m'\n_space_group_IT_number 227", ROCK_SALT),
        "contradict each other",
    ),
}  # fmt: skip
PACKED = "packed"
FRAMES = "frames"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of each kind, all called .cif, whatever they are; and one of frames."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, (text, *_) in {**GOOD, **BAD}.items():
        (folder / f"{name}.cif").write_text(text, encoding="utf-8")
    (folder / f"{PACKED}.cif").write_bytes(gzip.compress(MAGNESIA.encode("utf-16")))
    frames = [bulk("MgO", "rocksalt", a=4.1 + k / 10) for k in range(2)]
    ase.io.write(folder / f"{FRAMES}.cif", frames, format="traj")
    return folder


RIGHT = {
    **{name: (formula, n) for name, (_, formula, n) in GOOD.items()},
    PACKED: ("MgO", 8),
    FRAMES: ("MgO", 2),
}
"""Formula and number of atoms, which gemmi and ASE find, too: see the last test."""


def name_of(file):
    return str(file).rpartition("/")[2].removesuffix(".cif")


def check(table, err):
    """A command has all good ones, right, and names each bad one with its sentence."""
    found = [(name_of(file), formula) for file, formula in zip(table["file"], table["formula"])]  # noqa: B905
    expected = [(name, formula) for name, (formula, _) in RIGHT.items()]
    expected.append((FRAMES, "MgO"))
    assert sorted(found) == sorted(expected)
    for name, (_, words) in BAD.items():
        (line,) = [
            line for line in err.splitlines() if f"/{name}.cif: " in line and "error" in line
        ]
        assert words in line


@pytest.mark.parametrize("command", ["predict", "judge", "relax"])
def test_commands_that_take_files(command, folder, tmp_path, capsys):
    files = sorted(map(str, folder.glob("*.cif")))
    out = tmp_path / "out"
    more = {"relax": ["--max-steps", "0"]}.get(command, [])
    assert run([command, *files, "--out", str(out), *more]) == 2
    table = pd.read_csv(out / "relaxed.csv" if command == "relax" else out)
    check(table, capsys.readouterr().err)
    if command == "judge":
        atoms = dict(zip(map(name_of, table["file"]), table["n_atoms"], strict=True))
        assert atoms == {name: n for name, (_, n) in RIGHT.items()}


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_design_on_a_structure(name, folder):
    config = DesignConfig(template=str(folder / f"{name}.cif"), targets=("density > 0",))
    if name in BAD:
        with pytest.raises(InputError, match=BAD[name][1]):
            config.resolved_template()
    else:
        assert config.resolved_template().n_sites == RIGHT[name][1]


def test_seeds(folder):
    seeds = seed_templates(folder, repeat=1, limit=100, seed=0, restrict=lambda template: template)
    sites = {template.name.partition(".")[0]: template.n_sites for template in seeds.templates}
    assert sites == {name: n for name, (_, n) in RIGHT.items()}
    assert len(seeds.templates) == len(RIGHT) + 1
    for name, (_, words) in BAD.items():
        (reason,) = [reason for reason in seeds.skipped if f"/{name}.cif: " in reason]
        assert words in reason


def test_a_reference(folder):
    formulas = {formula for formula, _ in RIGHT.values()}
    reference = read_reference(str(folder), formulas)
    sizes = {
        item.name.partition(".")[0]: len(item.structure)
        for known in reference.by_formula.values()
        for item in known
        if item.structure is not None
    }
    assert sizes == {name: n for name, (_, n) in RIGHT.items()}


@pytest.mark.parametrize("name", [name for name in {**RIGHT, **BAD} if name != FRAMES])
def test_training(name, folder, tmp_path):
    (tmp_path / f"{name}.cif").write_bytes((folder / f"{name}.cif").read_bytes())
    (tmp_path / "id_prop.csv").write_text(f"{name},1.0\n")
    if name in BAD:
        with pytest.raises(InputError, match=BAD[name][1]):
            read_id_prop(tmp_path, {"density": 1}, ("density",))
    else:
        (row,) = read_id_prop(tmp_path, {"density": 1}, ("density",)).to_dict("records")
        assert (row["formula"], len(row["numbers"])) == RIGHT[name]


@pytest.mark.parametrize("name", ["origin", "axes", "hall", "blocks"])
def test_the_right_values_are_those_of_gemmi(name, folder):
    text = (folder / f"{name}.cif").read_text("utf-8")
    block = gemmi.cif.read_string(text)[-1]
    small = gemmi.make_small_structure_from_block(block)
    assert len(small.get_all_unit_cell_sites()) == RIGHT[name][1]
    (item,) = read_structures([folder / f"{name}.cif"])
    assert item.structure.volume == pytest.approx(small.cell.volume)
