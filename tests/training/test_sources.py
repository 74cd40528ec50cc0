"""From the data of a config to one checked table."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.training.config import TrainConfig
from smoacs.training.data import build_dataset
from smoacs.training.sources import load_table


def config_for(*data, properties=("formation_energy", "band_gap"), **settings):
    return TrainConfig(
        name="mine",
        out="mine.safetensors",
        data=data,
        properties=properties,
        **{"epochs": 1, **settings},
    )


@pytest.fixture
def whole(rows, tmp_path):
    """A file with all three splits, and at least one relaxed crystal in each."""
    split = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    path = tmp_path / "whole.parquet"
    rows.assign(split=split).to_parquet(path)
    return path


def changed(path, **columns):
    table = pd.read_parquet(path)
    table.assign(**columns).to_parquet(path)
    return path


def test_files_of_different_properties_join(whole, rows, tmp_path):
    other = tmp_path / "stiff.parquet"
    stiff = rows.drop(columns=["kind", "split", "formation_energy_per_atom", "band_gap"])
    stiff.assign(bulk_modulus_vrh=100.0, mine=["train", "val", "test"] * 10).to_parquet(other)
    config = config_for(
        whole,
        {"path": other, "split": "mine"},
        properties=("formation_energy", "band_gap", "bulk_modulus"),
    )
    table = load_table(config)
    assert len(table) == 60
    assert table["source"].tolist() == [0] * 30 + [1] * 30
    assert table.loc[:29, "bulk_modulus"].isna().all()
    assert table.loc[30:, "formation_energy"].isna().all()
    assert (table.loc[30:, "kind"] == "relaxed").all()
    assert table["split"].value_counts().to_dict() == {"train": 30, "val": 15, "test": 15}
    data = build_dataset(table, config.properties, 4.0)
    assert np.isfinite(data.labels).sum(0).tolist() == [30, 24, 30]


def test_folder_and_file_in_one_table(whole, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    salt = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    salt.to(folder / "salt.cif")
    (folder / "id_prop.csv").write_text("salt,5.5\n")
    source = {"path": folder, "columns": {"band_gap": 1}}
    table = load_table(config_for(whole, source, properties=("band_gap",)))
    last = table.iloc[-1]
    assert (last["material_id"], last["formula"], last["band_gap"]) == ("salt", "NaCl", 5.5)
    assert last["split"] in {"train", "val", "test"}
    assert len(table) == 25  # rows without a gap teach nothing


def test_crystals_with_forces_alone_stay(whole):
    forces = [[0.1] * (3 * len(z)) for z in pd.read_parquet(whole)["numbers"]]
    forces[1:] = [None] * 29
    changed(whole, forces=forces, band_gap=[np.nan] + [1.0] * 29)
    table = load_table(config_for(whole, properties=("band_gap",)))
    assert len(table) == 30
    assert build_dataset(table, ("band_gap",), 4.0).has_derivatives.sum() == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"band_gap": np.nan}, r"'band_gap' has no label in the split 'train': all are NaN"),
        ({"band_gap": np.inf}, r"has band_gap = inf: a label is a finite number"),
        ({"band_gap": "wide"}, r"the column 'band_gap' holds no numbers"),
        ({"split": "train"}, r"the split 'val' has no labelled crystal at rest"),
        ({"split": "training"}, r"must hold train, val, test, not 'training'"),
        ({"numbers": [[120]] * 30}, r"row 0 \(0\): 120 is no atomic number"),
    ],
)
def test_mistakes_in_a_file(whole, columns, message):
    with pytest.raises(InputError, match=message):
        load_table(config_for(changed(whole, **columns)))


def test_small_crystals_only(whole):
    rows = pd.read_parquet(whole)
    rows[rows["numbers"].map(len) > 1].to_parquet(whole)
    with pytest.raises(InputError, match="'train' has no labelled crystal at rest with at most 1"):
        load_table(config_for(whole, max_atoms=1))


def test_logarithms_need_positive_labels(whole):
    changed(whole, bulk_modulus=[5.0, -3.0] + [7.0] * 28)
    with pytest.raises(InputError, match=r"bulk_modulus = -3: log10 needs values above 0"):
        load_table(config_for(whole, properties=("bulk_modulus",)))
    plain = {"bulk_modulus": {"log10": False}}
    assert len(load_table(config_for(whole, properties=("bulk_modulus",), heads=plain))) == 30


def test_columns_that_are_not_there(whole, tmp_path):
    with pytest.raises(InputError, match=r"no column 'gap' \(for band_gap\)"):
        load_table(config_for({"path": whole, "columns": {"band_gap": "gap"}}))
    with pytest.raises(InputError, match=r"columns must be given by name"):
        load_table(config_for({"path": whole, "columns": {"band_gap": 1}}))
    with pytest.raises(InputError, match=r"no training data have a column for .*'bulk_modulus'"):
        load_table(config_for(whole, properties=("band_gap", "bulk_modulus")))
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"cannot read training data .*text\.parquet"):
        load_table(config_for(tmp_path / "text.parquet"))
    pd.DataFrame({"numbers": [], "band_gap": []}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"none\.parquet has no rows"):
        load_table(config_for(tmp_path / "none.parquet"))
