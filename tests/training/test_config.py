"""Settings of a training, and one sentence for each mistake in them."""

from pathlib import Path

import pytest

from smoacs.errors import InputError
from smoacs.training.config import TrainConfig

LINES = {
    "name": '"mine"',
    "out": '"mine.safetensors"',
    "data": '["crystals.parquet"]',
    "properties": '["formation_energy", "band_gap"]',
    "epochs": "3",
}


@pytest.fixture
def toml(path, monkeypatch):
    """Writes a TOML file of the needed settings with changes (None leaves one out)."""
    monkeypatch.chdir(path.parent)

    def write(extra="", **changes):
        lines = {**LINES, **changes}
        text = "\n".join(f"{k} = {v}" for k, v in lines.items() if v is not None)
        (path.parent / "training.toml").write_text(f"{text}\n{extra}\n", encoding="utf-8")
        return "training.toml"

    return write


def test_short_and_long_forms_of_data(toml):
    tables = """
        [[data]]
        path = "crystals.parquet"
        columns = { band_gap = 2 }
        split = "formula"
        [[data]]
        jarvis = "dft_3d"
        columns = { band_gap = "optb88vdw_bandgap" }
    """
    config = TrainConfig.from_toml(toml(tables, data=None))
    assert [str(s) for s in config.data] == [
        "training data crystals.parquet",
        "JARVIS set 'dft_3d'",
    ]
    assert config.data[0].columns == {"band_gap": 2}
    short = TrainConfig.from_toml(toml())
    assert str(short.data[0].path) == "crystals.parquet"
    assert short.epochs == 3
    assert short.minutes is None


def test_units_and_logarithms(toml):
    config = TrainConfig.from_toml(
        toml(
            "[heads]\ncharm = { unit = 'K', log10 = true }\nshear_modulus = { log10 = false }",
            properties='["bulk_modulus", "shear_modulus", "charm", "band_gap"]',
        )
    )
    assert [config.unit(p) for p in config.properties] == ["GPa", "GPa", "K", "eV"]
    assert [config.uses_log10(p) for p in config.properties] == [True, False, True, False]


def test_shipped_config_is_valid(monkeypatch, tmp_path):
    shipped = Path(__file__).parents[2] / "configs" / "train-mp2018.toml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "dft_perovskites").mkdir(parents=True)
    for name in (
        "megnet_mp2018",
        "mp_elasticity",
        "jarvis_supercon",
        "off_equilibrium",
        "resting",
        "boxes",
        "dft_perovskites/dft_perovskites",
    ):
        (tmp_path / "data" / f"{name}.parquet").touch()
    assert TrainConfig.from_toml(shipped).name == "mp2018"


@pytest.mark.parametrize(
    ("changes", "extra", "message"),
    [
        ({"name": None}, "", r"'name' is missing: it must be the name in the weights' header"),
        ({"data": None}, "", r"'data' is missing"),
        ({"bach_size": "3"}, "", r"unknown setting 'bach_size'; did you mean 'batch_size'"),
        ({}, "[noise]\nshear_ = 0.1", r"unknown setting 'noise.shear_'; did you mean 'shear'"),
        ({}, "[network]\nchanels = 3", r"'network.chanels'; did you mean 'channels'"),
        ({}, "[network]\nchannels = 0", r"network.channels = 0 must be from 1 to 8192"),
        ({}, "[network]\nmembers = 2", r"ensemble's size is 'members'"),
        ({}, "[heads.band_gap]\nunits = 'eV'", r"did you mean 'unit'"),
        ({}, "[heads.band_gap]\nunit = 'meV'", r"unit is 'meV', but band_gap is in eV"),
        ({}, "[heads.band_gap]\nshare = 2", r"heads.band_gap.share: .*it must be the share"),
        ({}, "[heads.band_gap]\nshare = 0.8", r"make 1.1 of a batch"),
        (
            {"data": "[{ path = 'crystals.parquet', share = 0.75 }]"},
            "",
            r"heads and data make 1.05 of a batch",
        ),
        ({}, "[heads.bandgap]\nshare = 0.1", r"'bandgap' is not among.*did you mean 'band_gap'"),
        ({}, "[heads.formation_energy]\nlog10 = true", r"formation_energy has no logarithm"),
        ({"properties": '["charm"]'}, "", r"'charm' is new to smoacs: give its unit"),
        ({"properties": '["a b"]'}, "", r"'a b' must be one word"),
        ({"properties": '["band_gap", "band_gap"]'}, "", r"named once"),
        ({"minutes": "3.0"}, "", r"either 'minutes' or 'epochs'"),
        ({"epochs": None}, "", r"either 'minutes' or 'epochs'"),
        ({"epochs": "0"}, "", r"epochs: .*whole number of at least 1"),
        ({"out": '"mine.pt"'}, "", r"'mine.pt' must end in .safetensors"),
        ({"data": '["none.parquet"]'}, "", r"there is no training data file none.parquet"),
        ({"data": "[{ columns = {} }]"}, "", r"needs either path or jarvis"),
        ({"data": "[{ pth = 'x' }]"}, "", r"unknown setting 'data.0.pth'; did you mean 'path'"),
        ({"data": '"crystals.parquet"'}, "", r"data: .*it must be a list"),
        ({"name": ""}, "", r"not valid TOML"),
    ],
)
def test_mistakes(toml, changes, extra, message):
    with pytest.raises(InputError, match=message) as caught:
        TrainConfig.from_toml(toml(extra, **changes))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("training.toml")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        TrainConfig.from_toml(tmp_path / "none.toml")
