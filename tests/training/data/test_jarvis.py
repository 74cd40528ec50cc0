"""JARVIS sets: records as jarvis-tools gives them, from a file instead of a download."""

import json
import sys
import types

import numpy as np
import pytest

from smoacs.errors import InputError, MissingExtraError
from smoacs.training.data.jarvis import read_jarvis

PROPERTIES = ("formation_energy", "band_gap")
COLUMNS = {"formation_energy": "formation_energy_peratom", "band_gap": "optb88vdw_bandgap"}


def record(jid, elements, coords, *, cartesian=False, **labels):
    cell = [[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]]
    atoms = {
        "lattice_mat": cell,
        "coords": coords,
        "elements": elements,
        "abc": [2.83] * 3,
        "angles": [60.0] * 3,
        "cartesian": cartesian,
        "props": [""] * len(elements),
    }
    return {"jid": jid, "atoms": atoms, **labels}


def records():
    return [
        record(
            "JVASP-1",
            ["Na", "Cl"],
            [[0, 0, 0], [0.5, 0.5, 0.5]],
            formation_energy_peratom=-2.1,
            optb88vdw_bandgap="na",
        ),
        record(
            "JVASP-2",
            ["K ", "Br"],
            [[0, 0, 0], [2.0, 2.0, 2.0]],
            cartesian=True,
            formation_energy_peratom=-1.9,
            optb88vdw_bandgap=4.0,
        ),
    ]


@pytest.fixture
def figshare(tmp_path, monkeypatch):
    """jarvis.db.figshare with `data` reading a local JSON file; returns a way to fill it."""
    path = tmp_path / "set.json"
    module = types.ModuleType("jarvis.db.figshare")

    def data(dataset):
        if dataset != "small":
            raise ValueError("Check DB name options.")
        print("Obtaining a small dataset")  # noqa: T201 - as jarvis-tools does
        return json.loads(path.read_text())

    module.data = data
    package, database = types.ModuleType("jarvis"), types.ModuleType("jarvis.db")
    database.figshare = module
    for name, item in (
        ("jarvis", package),
        ("jarvis.db", database),
        ("jarvis.db.figshare", module),
    ):
        monkeypatch.setitem(sys.modules, name, item)
    return lambda content: path.write_text(json.dumps(content))


def test_records_become_rows(figshare, capsys):
    figshare(records())
    rows = read_jarvis("small", COLUMNS, PROPERTIES)
    assert rows["material_id"].tolist() == ["JVASP-1", "JVASP-2"]
    assert rows["numbers"].map(list).tolist() == [[11, 17], [19, 35]]
    np.testing.assert_allclose(rows["frac_coords"][1][3:], [0.5] * 3, atol=1e-6)
    np.testing.assert_allclose(rows["lattice"][0], [8**0.5] * 3 + [60] * 3, rtol=1e-6)
    assert rows["formation_energy"].tolist() == [-2.1, -1.9]
    assert np.isnan(rows["band_gap"][0])
    assert rows["band_gap"][1] == 4.0
    assert capsys.readouterr().out == ""


def test_without_jarvis_tools_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jarvis", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[jarvis\]'"):
        read_jarvis("dft_3d", COLUMNS, PROPERTIES)


def test_mistakes(figshare):
    with pytest.raises(InputError, match="JARVIS set 'other' cannot be had"):
        read_jarvis("other", COLUMNS, PROPERTIES)
    figshare(records())
    with pytest.raises(InputError, match="has no column 'gap'"):
        read_jarvis("small", {"band_gap": "gap"}, PROPERTIES)
    bad = records()
    bad[1]["atoms"]["elements"][0] = "Xx"
    figshare(bad)
    with pytest.raises(InputError, match="JVASP-2: 'Xx' is none of the known elements"):
        read_jarvis("small", COLUMNS, PROPERTIES)
    bad = records()
    del bad[0]["atoms"]["coords"]
    figshare(bad)
    with pytest.raises(InputError, match="JVASP-1: its record has no crystal"):
        read_jarvis("small", COLUMNS, PROPERTIES)
    bad = records()
    bad[0]["optb88vdw_bandgap"] = "wide"
    figshare(bad)
    with pytest.raises(InputError, match="optb88vdw_bandgap: 'wide' is no number"):
        read_jarvis("small", COLUMNS, PROPERTIES)
    figshare([])
    with pytest.raises(InputError, match="is empty"):
        read_jarvis("small", COLUMNS, PROPERTIES)
