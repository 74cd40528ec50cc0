"""Each input is read back by the program's own reader, or run, and compared with the design."""

import ast
import csv
import json
import runpy
import sys
import types
import warnings

import ase.io
import numpy as np
import pytest
from ase.io.espresso import read_fortran_namelist
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from smoacs.dft import DftSettings, gpaw_engine, plan_calculation
from smoacs.errors import InputError
from smoacs.export import FORMATS, choose_designs, export_designs
from smoacs.structures import read_structures

NAMES = ["0001_SrTiO3", "0002_KFeF3", "0003_TlCdCl2F", "0004_YbCoO3"]


def same_crystal(left, right):
    """Same cell shape and, whatever their order, the same sites."""
    np.testing.assert_allclose(left.lattice.parameters, right.lattice.parameters, atol=1e-6)
    sites = [
        sorted((s.specie.symbol, *(np.round(s.frac_coords, 5) % 1.0)) for s in structure)
        for structure in (left, right)
    ]
    assert sites[0] == sites[1]
    return True


def test_plain_formats(folder, crystals):
    cif = export_designs(folder, "cif")
    poscar = export_designs(folder, "poscar")
    extxyz = export_designs(folder, "extxyz")
    assert cif == folder.with_name("run-cif")
    assert sorted(path.name for path in cif.iterdir()) == [
        *(f"{name}.cif" for name in NAMES),
        "designs.csv",
    ]
    frames = read_structures([extxyz / "designs.extxyz"])
    for (name, crystal), frame in zip(crystals.items(), frames, strict=True):
        (file,) = cif.glob(f"*_{name}.cif")
        from_cif = read_structures([file])[0].structure
        assert same_crystal(from_cif, crystal)
        assert sorted(from_cif.species) == sorted(crystal.species)
        (file,) = poscar.glob(f"*_{name}.vasp")
        assert same_crystal(Poscar.from_file(file).structure, crystal)
        assert same_crystal(frame.structure, crystal)
        assert frame.structure.species == crystal.species
    rows = list(csv.DictReader((cif / "designs.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == ["0001", "0002", "0003", "0004"]


def test_vasp(folder, crystals):
    out = export_designs(folder, "vasp")
    assert sorted(path.name for path in out.iterdir()) == [*NAMES, "designs.csv"]
    for name, (formula, crystal) in zip(NAMES, crystals.items(), strict=True):
        assert sorted(path.name for path in (out / name).iterdir()) == [
            "INCAR",
            "KPOINTS",
            "POSCAR",
            "POTCAR.spec",
        ]
        poscar = Poscar.from_file(out / name / "POSCAR")
        assert same_crystal(poscar.structure, crystal)
        potentials = (out / name / "POTCAR.spec").read_text().split()
        assert [p.split("_")[0] for p in potentials] == list(poscar.site_symbols)
        incar = Incar.from_file(out / name / "INCAR")
        assert incar["ISIF"] == 3
        assert incar.get("LDAU", False) == (formula in {"KFeF3", "YbCoO3"})
        if formula == "KFeF3":
            assert incar["LDAUU"][poscar.site_symbols.index("Fe")] == 5.3
            assert incar["MAGMOM"][[s.symbol for s in poscar.structure.species].index("Fe")] == 5
        assert min(Kpoints.from_file(out / name / "KPOINTS").kpts[0]) >= 4


@pytest.fixture
def pseudo_dir(tmp_path):
    folder = tmp_path / "sssp"
    folder.mkdir()
    elements = ("Sr", "Ti", "O", "K", "Fe", "F", "Tl", "Cd", "Cl", "Yb", "Co")
    for element in elements:
        (folder / f"{element.lower()}_pbe_v1.uspp.UPF").touch()
    return folder


def test_espresso(folder, crystals, pseudo_dir):
    out = export_designs(folder, "qe", pseudo_dir=pseudo_dir)
    for name, (formula, crystal) in zip(NAMES, crystals.items(), strict=True):
        text = (out / name / "pw.in").read_text()
        atoms = ase.io.read(out / name / "pw.in", format="espresso-in")
        back = Structure(
            atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions()
        )
        assert same_crystal(back, crystal)
        namelists, _ = read_fortran_namelist(text.splitlines())
        assert namelists["control"]["calculation"] == "vc-relax"
        assert namelists["control"]["pseudo_dir"] == str(pseudo_dir)
        plan = plan_calculation(crystal, DftSettings())
        assert namelists["system"].get("nspin", 1) == 1 + plan.spin_polarized
        assert namelists["system"]["degauss"] == pytest.approx(0.05 / 13.605693, abs=1e-6)
        grid = text.split("K_POINTS automatic\n")[1].split()[:6]
        assert grid == [*map(str, plan.kpoints), "0", "0", "0"]
        species = text.split("ATOMIC_SPECIES\n")[1].split("\n\n")[0].splitlines()
        for line in species:
            label, _, file = line.split()
            assert file == f"{label.rstrip('0123456789').lower()}_pbe_v1.uspp.UPF"
        labels = [line.split()[0] for line in species]
        card = text.partition("HUBBARD (ortho-atomic)\n")[2].split("\n")
        if formula == "KFeF3":
            assert card == ["U Fe-3d 5.3", ""]
            iron = labels.index("Fe") + 1
            assert namelists["system"][f"starting_magnetization({iron})"] == pytest.approx(0.4)
        elif formula != "YbCoO3":
            assert card == [""]


def test_espresso_by_convention(folder):
    out = export_designs(folder, "qe", ids=[1])
    text = (out / NAMES[0] / "pw.in").read_text()
    assert "'../pseudo'" in text
    for element in ("Sr", "Ti", "O"):
        assert f" {element}.upf\n" in text


def test_espresso_with_a_table_of_sssp(folder, tmp_path):
    pseudo = tmp_path / "library"
    pseudo.mkdir()
    table = {
        element: {"filename": f"{element}.x.UPF", "cutoff_wfc": wave, "cutoff_rho": 8 * wave}
        for element, wave in (("Sr", 30), ("Ti", 35), ("O", 50))
    }
    (pseudo / "SSSP_1.3.0_PBE_efficiency.json").write_text(json.dumps(table))
    out = export_designs(folder, "qe", ids=["0001"], pseudo_dir=pseudo)
    text = (out / NAMES[0] / "pw.in").read_text()
    namelists, _ = read_fortran_namelist(text.splitlines())
    assert namelists["system"]["ecutwfc"] == 50
    assert namelists["system"]["ecutrho"] == 400
    assert "Ti.x.UPF" in text
    with pytest.raises(InputError, match=r"no pseudopotential .* of F"):
        export_designs(folder, "qe", ids=[2], pseudo_dir=pseudo, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no pseudopotentials"),
        (["Ti.upf", "ti_pbe.UPF"], "several pseudopotentials of Ti"),
        (["SSSP_1.json"], "is no table of SSSP"),
        (["SSSP_1.json", "SSSP_2.json"], "several SSSP tables"),
    ],
)
def test_folders_of_pseudopotentials_that_will_not_do(folder, tmp_path, files, words):
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    for name in files:
        (pseudo / name).write_text('{"Ti": {}}')
    with pytest.raises(InputError, match=words):
        export_designs(folder, "qe", pseudo_dir=pseudo)


class FakeGpaw:
    """Stands for GPAW: keeps what it was given, and answers."""

    def __init__(self):
        self.calls = []

    def PW(self, cutoff):  # noqa: N802
        return ("PW", cutoff)

    def GPAW(self, **settings):  # noqa: N802
        self.calls.append(settings)
        return types.SimpleNamespace(
            get_potential_energy=lambda _, **__: -20.0,
            get_forces=lambda atoms: np.zeros((len(atoms), 3)),
            get_stress=lambda _: np.zeros(6),
            get_ibz_k_points=lambda: np.zeros((1, 3)),
            get_number_of_spins=lambda: 1,
            get_eigenvalues=lambda **_: np.array([-1.0, 1.5]),
            get_fermi_level=lambda: 0.0,
            write=lambda _: None,
        )


def test_gpaw_scripts_run_with_the_settings_of_the_oracle(folder, crystals, monkeypatch, capsys):
    out = export_designs(folder, "gpaw", settings=DftSettings(smearing=0.1))
    fake = FakeGpaw()
    module = types.ModuleType("gpaw")
    module.GPAW, module.PW = fake.GPAW, fake.PW
    monkeypatch.setitem(sys.modules, "gpaw", module)
    for name, crystal in zip(NAMES, crystals.values(), strict=True):
        path = out / name / "gpaw_input.py"
        ast.parse(path.read_text())
        namespace = runpy.run_path(str(path))
        atoms = namespace["atoms"]
        plan = plan_calculation(crystal, DftSettings(smearing=0.1))
        assert atoms.get_chemical_symbols() == list(plan.symbols)
        scaled = atoms.get_scaled_positions(wrap=False)
        np.testing.assert_allclose(scaled, crystal.frac_coords, atol=1e-8)
        np.testing.assert_allclose(atoms.cell.cellpar(), crystal.lattice.parameters, atol=1e-6)
        assert atoms.get_initial_magnetic_moments().tolist() == list(plan.moments)
        settings = fake.calls.pop()
        gpaw_engine._calculator(fake, plan)
        assert settings | {"txt": None} == fake.calls.pop()
        assert "2.5" in capsys.readouterr().out


def test_nothing_is_replaced_and_nothing_half_written(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export_designs(folder, "cif", out=out)
    before = {path: path.read_text() for path in out.iterdir()}
    with pytest.raises(InputError, match="is there already"):
        export_designs(folder, "poscar", out=out)
    assert {path: path.read_text() for path in out.iterdir()} == before

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("smoacs.export.api.csv_text", fail)
    listing = sorted(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError):
        export_designs(folder, "cif", out=tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == listing


def test_choosing(folder):
    assert [design.name for design in choose_designs(folder)] == NAMES
    assert [design.id for design in choose_designs(folder, everything=True)][-1] == "0005"
    assert [design.id for design in choose_designs(folder, ids=[5, 2])] == ["0005", "0002"]
    assert [design.id for design in choose_designs(folder, limit=1)] == ["0001"]


@pytest.mark.parametrize(
    ("to", "arguments", "words"),
    [
        ("lammps", {}, f"the formats are {', '.join(FORMATS)}"),
        ("cif", {"pseudo_dir": "."}, "belong to qe"),
        ("vasp", {"settings": DftSettings()}, "belong to qe and gpaw"),
        ("cif", {"ids": [77]}, "no candidate '77'"),
        ("cif", {"limit": 0}, "at least 1"),
    ],
)
def test_mistakes(folder, to, arguments, words):
    with pytest.raises(InputError, match=words):
        export_designs(folder, to, **arguments)


def test_no_warning_reaches_the_user(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_designs(folder, "vasp", ids=[4])
