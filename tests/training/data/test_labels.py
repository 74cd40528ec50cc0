"""Labels that cannot be right, and data in files of crystals."""

import logging

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from smoacs.errors import InputError
from smoacs.training.config import TrainConfig
from smoacs.training.data.crystal_files import read_csv_with_cifs, read_frames_with_labels
from smoacs.training.data.id_prop import read_id_prop
from smoacs.training.data.labels import note_dropped, warn_of_units, without_doubles
from smoacs.training.sources import load_table

PROPERTIES = ("band_gap", "formation_energy")


def salt(symbol="Na", a=3.5):
    return Structure(Lattice.cubic(a), [symbol, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def rows(ids, gaps, **more):
    return pd.DataFrame({"material_id": ids, "band_gap": gaps, **more})


def test_one_id_with_two_values_is_refused():
    with pytest.raises(InputError, match=r"a has two values of band_gap, 1 and 1\.5; keep one"):
        without_doubles(rows(["a", "b", "a"], [1.0, 2.0, 1.5]), PROPERTIES, "data")


def test_rows_that_repeat_are_left_out_and_named(caplog):
    found = without_doubles(rows(["a", "b", "a"], [1.0, 2.0, 1.0]), PROPERTIES, "data")
    assert found["material_id"].tolist() == ["a", "b"]
    assert "1 row is left out" in caplog.text
    assert caplog.text.rstrip().endswith(": a")


def test_crystals_away_from_rest_may_share_an_id():
    table = rows(["a", "a"], [1.0, 2.0], kind=["strained", "strained"])
    assert len(without_doubles(table, PROPERTIES, "data")) == 2


@pytest.mark.parametrize(
    ("name", "values", "warns"),
    [
        ("band_gap", [1200.0, 2300.0, 0.0], True),
        ("band_gap", [1.2, 2.3, 0.0, 30.0] * 10 + [1.0] * 999, False),  # outliers are not a unit
        ("formation_energy", [-250.0, -80.0], True),
        ("formation_energy", [-2.5, 0.8], False),
        ("charm", [1e9], False),
    ],
)
def test_labels_in_another_unit(caplog, name, values, warns):
    warn_of_units(pd.DataFrame({name: values}), [name], "data")
    assert ("another unit" in caplog.text) is warns
    if warns:
        assert f"of {name} are beyond" in caplog.text


def test_many_dropped_rows_are_counted_and_some_named(caplog):
    caplog.set_level(logging.WARNING)
    note_dropped(range(12), "have no label", "data")
    assert "12 rows are left out" in caplog.text
    assert "0, 1, 2, 3, 4 and 7 more" in caplog.text


def write(folder, text):
    (folder / "id_prop.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["POSCAR-1.vasp", "one.cif", "two", "three"])
def test_ids_that_name_their_file(tmp_path, name):
    salt().to(tmp_path / "POSCAR-1.vasp", fmt="poscar")
    salt().to(tmp_path / "one.cif")
    salt().to(tmp_path / "two.vasp", fmt="poscar")
    salt().to(tmp_path / "POSCAR_three", fmt="poscar")
    found = read_id_prop(write(tmp_path, f"{name},1.5\n"), {"band_gap": 1}, ("band_gap",))
    assert found["formula"].tolist() == ["NaCl"]
    assert found["band_gap"].tolist() == [1.5]


def test_semicolons_and_decimal_commas_are_a_sentence(tmp_path):
    salt().to(tmp_path / "one.cif")
    with pytest.raises(InputError, match=r"id_prop\.csv has ';' between its cells"):
        read_id_prop(write(tmp_path, "one;1,5\n"), {"band_gap": 1}, ("band_gap",))
    path = tmp_path / "table.csv"
    path.write_text("cif;band_gap\nx;1,5\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"table.csv has ';' between its cells"):
        read_csv_with_cifs(path, {}, ("band_gap",))


def test_csv_with_a_column_of_cifs(tmp_path):
    table = pd.DataFrame(
        {
            "id": ["a", "b"],
            "cif": [str(CifWriter(salt(symbol))) for symbol in ("Na", "K")],
            "band_gap": ["5.0", ""],
            "e_form": ["-2.1", "-2.2"],
            "split": ["train", "val"],
        }
    )
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    found = read_csv_with_cifs(path, {"formation_energy": "e_form"}, PROPERTIES)
    assert found["formula"].tolist() == ["NaCl", "KCl"]
    assert found["formation_energy"].tolist() == [-2.1, -2.2]
    assert np.isnan(found["band_gap"][1])
    assert found["split"].tolist() == ["train", "val"]
    table.assign(band_gap=["5,0", "1"]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"row 0 \(a\): band_gap = '5,0' is no number: decimals"):
        read_csv_with_cifs(path, {}, PROPERTIES)
    table.drop(columns="cif").to_csv(path, index=False)
    with pytest.raises(InputError, match="has no column cif"):
        read_csv_with_cifs(path, {}, PROPERTIES)


def test_extxyz_with_labels_forces_and_stress(tmp_path):
    stress = np.diag([1.0, 2.0, 3.0]) * GPa
    forces = np.array([[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]])
    frames = []
    for k, symbol in enumerate(("Na", "K")):
        atoms = AseAtomsAdaptor.get_atoms(salt(symbol))
        atoms.info |= {"band_gap": 5.0 - k, "material_id": f"mp-{k}", "split": "train"}
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces, stress=stress)
        frames.append(atoms)
    path = tmp_path / "data.extxyz"
    ase.io.write(path, frames)
    found = read_frames_with_labels(path, {}, PROPERTIES)
    assert found["band_gap"].tolist() == [5.0, 4.0]
    assert found["material_id"].tolist() == ["mp-0", "mp-1"]
    assert np.reshape(found["forces"][0], (2, 3)) == pytest.approx(forces)
    assert np.reshape(found["stress"][0], (3, 3)) == pytest.approx(np.diag([1.0, 2.0, 3.0]))
    molecule = AseAtomsAdaptor.get_atoms(salt())
    molecule.pbc = False
    molecule.info["band_gap"] = 1.0
    ase.io.write(path, molecule)
    with pytest.raises(InputError, match="frame 0: is no crystal"):
        read_frames_with_labels(path, {}, PROPERTIES)


def config(*data):
    return TrainConfig(
        name="mine", out="mine.safetensors", data=data, properties=("band_gap",), epochs=1
    )


def frames_of(gaps):
    splits = ("train", "val", "test")
    for k, gap in enumerate(gaps):
        atoms = AseAtomsAdaptor.get_atoms(salt(("Na", "K", "Li")[k % 3], 3.5 + 0.1 * k))
        atoms.info |= {"material_id": f"mp-{k}", "split": splits[k % 3]}
        if gap is not None:
            atoms.info["band_gap"] = gap
        yield atoms


def test_a_training_reads_extxyz_names_what_it_drops_and_doubts_the_unit(tmp_path, caplog):
    path = tmp_path / "data.extxyz"
    ase.io.write(path, list(frames_of([1200.0, 900.0, 3000.0, None, 1500.0, 10.0])))
    table = load_table(config(str(path)))
    assert table["material_id"].tolist() == ["mp-0", "mp-1", "mp-2", "mp-4", "mp-5"]
    assert "1 row is left out, without a label of what is learnt: mp-3" in caplog.text
    assert "are they in another unit? They are taken as eV" in caplog.text


def test_a_training_refuses_two_values_of_one_id(tmp_path):
    path = tmp_path / "data.extxyz"
    frames = list(frames_of([1.0, 2.0, 3.0, 4.0]))
    frames[3].info["material_id"] = "mp-0"
    ase.io.write(path, frames)
    with pytest.raises(InputError, match="mp-0 has two values of band_gap, 1 and 4"):
        load_table(config(str(path)))
