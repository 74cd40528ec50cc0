"""Engines through ASE: inputs as the programs want them, results read from recorded files."""

import configparser
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.genericfileio import GenericFileIOCalculator
from ase.config import Config
from ase.units import GPa, Rydberg, create_units
from pymatgen.core import Lattice, Structure

from smoacs.dft import DftError, DftSettings, engine_command, label, load_factory, plan_calculation
from smoacs.dft.ase_engine import gaps_at_fermi_level, run
from smoacs.errors import InputError, MissingExtraError

DATA = Path(__file__).parent / "data"


def calculation(**settings):
    lattice = Lattice.from_parameters(3, 3, 3, 60, 60, 60)
    structure = Structure(lattice, ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return plan_calculation(structure, DftSettings(**settings))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def vasp(tmp_path, monkeypatch):
    """POTCARs that say whose they are, and a VASP that copies recorded results."""
    for symbol in ("Mg", "O", "Ni"):
        potcar = tmp_path / "pp" / "potpaw_PBE" / symbol / "POTCAR"
        potcar.parent.mkdir(parents=True)
        potcar.write_text(f"  PAW_PBE {symbol}\n   ZVAL = 6.000\n")
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path / "pp"))
    monkeypatch.setenv("ASE_VASP_COMMAND", f"cp {DATA / 'vasp'}/* .")


@pytest.fixture
def espresso(tmp_path, monkeypatch):
    """Pseudopotentials without content, and a pw.x that prints recorded results."""
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    for name in ("Mg.pbe-n.UPF", "Mn.pbe.UPF", "o_pbe_v1.upf"):
        (pseudo / name).touch()
    script = tmp_path / "pw.sh"
    script.write_text(f"cat {DATA / 'espresso' / 'espresso.pwo'}\n")
    config = Config()
    config.parser = configparser.ConfigParser()
    config.parser.read_dict({"espresso": {"command": f"sh {script}", "pseudo_dir": str(pseudo)}})
    monkeypatch.setattr(GenericFileIOCalculator, "cfg", config)


def test_vasp_input(folder, vasp):
    run(calculation(), "vasp")
    incar = dict(
        line.split(" = ") for line in (folder / "INCAR").read_text().splitlines() if " = " in line
    )
    incar = {key.strip(): value.strip() for key, value in incar.items()}
    assert float(incar["ENCUT"]) == 800
    assert (incar["ISMEAR"], float(incar["SIGMA"])) == ("-1", 0.05)
    assert (incar["NELM"], incar["NSW"], incar["ISPIN"]) == ("150", "0", "1")
    assert float(incar["EDIFF"]) == pytest.approx(2e-7)
    kpoints = (folder / "KPOINTS").read_text().split()
    assert "Gamma" in kpoints
    assert kpoints[-6:-3] == ["6", "6", "6"]
    assert (folder / "POTCAR").read_text().split()[1::5] == ["Mg", "O"]


def test_vasp_results(folder, vasp):
    values = run(calculation(), "vasp")
    assert values.band_gap == pytest.approx(4.7)
    assert values.band_gap_direct == pytest.approx(4.7)
    assert values.energy_per_atom == pytest.approx(-11.89 / 2), "extrapolated to no smearing"
    assert values.pressure == pytest.approx(-1.2, abs=1e-4), "in kbar, as a pressure"
    assert values.max_force == pytest.approx(0.015)
    assert values.engine == "vasp 6.4.2"
    assert values.iterations == 11


def test_vasp_with_spin_and_u(folder, vasp):
    structure = Structure(Lattice.cubic(3), ["Ni2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(Exception):  # noqa: B017, PT011 - the recorded crystal is another
        run(plan_calculation(structure, DftSettings()), "vasp")
    incar = (folder / "INCAR").read_text()
    assert "ISPIN = 2" in incar
    assert "LDAU = .TRUE." in incar
    assert "LDAUL = 2 -1" in incar
    assert "LDAUU = 6.200 0.000" in incar


def test_vasp_that_did_not_converge(folder, vasp, tmp_path, monkeypatch):
    recorded = shutil.copytree(DATA / "vasp", tmp_path / "unconverged")
    outcar = recorded / "OUTCAR"
    outcar.write_text(
        outcar.read_text().replace("because EDIFF is reached", "EDIFF was not reached")
    )
    monkeypatch.setenv("ASE_VASP_COMMAND", f"cp {recorded}/* .")
    with pytest.raises(DftError, match="not self-consistent after 150 iterations"):
        run(calculation(), "vasp")


def test_vasp_not_set_up(folder, monkeypatch):
    for name in ("ASE_VASP_COMMAND", "VASP_COMMAND", "VASP_SCRIPT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingExtraError, match=r"vasp is not set up for ASE: .*ASE_VASP_COMMAND"):
        run(calculation(), "vasp")


def test_espresso_input(folder, espresso):
    run(calculation(), "espresso")
    text = (folder / "espresso.pwi").read_text()
    words = {
        line.split("=")[0].strip(): line.split("=")[1].strip()
        for line in text.splitlines()
        if "=" in line
    }
    assert float(words["ecutwfc"]) == pytest.approx(800 / Rydberg)
    assert float(words["degauss"]) == pytest.approx(0.05 / Rydberg)
    assert words["occupations"] == "'smearing'"
    assert words["input_dft"] == "'pbe'"
    assert words["tstress"] == ".true."
    assert "nspin" not in words
    assert "Mg.pbe-n.UPF" in text
    assert "o_pbe_v1.upf" in text
    assert text.split("K_POINTS automatic")[1].split()[:6] == ["6", "6", "6", "0", "0", "0"]


def test_espresso_results(folder, espresso):
    values = run(calculation(), "espresso")
    units = create_units("2006")  # those of ASE's reader
    assert values.band_gap == pytest.approx(4.7)
    assert values.energy_per_atom == pytest.approx(-17 * units["Ry"])
    assert values.max_force == pytest.approx(5e-4 * units["Ry"] / units["Bohr"], abs=1e-6)
    pressure = -8e-5 * units["Ry"] / units["Bohr"] ** 3 / GPa
    assert values.pressure == pytest.approx(pressure, abs=1e-5)
    assert pressure == pytest.approx(-1.177, abs=1e-3)


def test_espresso_without_a_pseudopotential(folder, espresso):
    structure = Structure(Lattice.cubic(4), ["Na+", "F-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(DftError, match="no pseudopotential for F in"):
        run(plan_calculation(structure, DftSettings()), "espresso")


def test_espresso_refuses_a_hubbard_u(folder, espresso):
    structure = Structure(Lattice.cubic(4), ["Ni2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(DftError, match="without Hubbard U"):
        run(plan_calculation(structure, DftSettings()), "espresso")


def test_espresso_not_set_up(folder, monkeypatch):
    config = Config()
    config.parser = configparser.ConfigParser()
    monkeypatch.setattr(GenericFileIOCalculator, "cfg", config)
    with pytest.raises(MissingExtraError, match=r"espresso is not set up .*pseudo_dir"):
        run(calculation(), "espresso")


def test_gaps_around_the_fermi_level():
    bands = np.array([[-5.0, 0.5, 3.0], [-4.0, 0.0, 1.5]])
    assert gaps_at_fermi_level([bands], 1.0) == (pytest.approx(1.0), pytest.approx(1.5))
    assert gaps_at_fermi_level([bands], 2.0) == (0.0, 0.0), "a metal"
    up, down = np.array([[0.0, 5.0]]), np.array([[3.0, 6.0]])
    assert gaps_at_fermi_level([up, down], 1.0) == (pytest.approx(3.0), pytest.approx(5.0))
    with pytest.raises(DftError, match="no empty bands"):
        gaps_at_fermi_level([bands], 9.0)


def test_unknown_engines():
    assert engine_command("vasp")[-1] == "vasp"
    with pytest.raises(InputError, match="no DFT engine 'abinit'; it is 'gpaw', 'vasp'"):
        engine_command("abinit")
    with pytest.raises(InputError, match="'no_such:thing' cannot be imported"):
        load_factory("no_such:thing")
    with pytest.raises(InputError, match="is no function"):
        load_factory("math:pi")


FACTORY = """
import numpy as np
from ase.calculators.emt import EMT


class Calculator(EMT):
    def get_number_of_spins(self):
        return 1

    def get_ibz_k_points(self):
        return np.zeros((1, 3))

    def get_fermi_level(self):
        return 0.0

    def get_eigenvalues(self, kpt=0, spin=0):
        return np.array([-1.0, 1.5])


def make(calculation):
    return Calculator()
"""


def test_a_calculator_of_ones_own_in_a_process(folder):
    Path("my_calculator.py").write_text(FACTORY)
    structure = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    engine = engine_command("my_calculator:make")
    assert engine[0] == sys.executable
    (found,) = label([structure], DftSettings(spin="off"), cache="labels.jsonl", engine=engine)
    assert found.failure == ""
    assert found.results.band_gap == pytest.approx(2.5)
    assert found.results.engine == "my_calculator:make"


def test_a_calculator_that_is_not_there_ends_the_round(folder):
    structure = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    with pytest.raises(MissingExtraError, match="cannot be imported"):
        label([structure], cache="labels.jsonl", engine=engine_command("no_such:make"))
