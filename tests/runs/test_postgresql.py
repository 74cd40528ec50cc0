"""A run's rows in PostgreSQL: a real server, started for these tests only."""

import dataclasses
import time

import ase.db
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from runs.server import PASSWORD, free_port
from smoacs.errors import InputError
from smoacs.runs import add_to_database, check_database, save_run
from smoacs.runs.database import write_designs_db


@pytest.fixture
def run(result, table, tmp_path):
    return save_run(result, table, tmp_path / "run", force=False)


def test_queries_give_the_same_rows_as_sqlite(server, run):
    check_database(server)
    assert add_to_database(run, server) == 5
    ours = ase.db.connect(run / "designs.db")
    theirs = ase.db.connect(server)
    for query in (
        "success,band_gap>2",
        "natoms>0,-success",
        "success=True",
        "band_gap<2.55",
        "reduced_formula=KMgF3",
        "K=1,neutral",
        "space_group=P2/m",
        "not_finite",
    ):
        found = [row.candidate for row in theirs.select(query)]
        assert found == [row.candidate for row in ours.select(query)]
        assert found
    row, same = (next(db.select("candidate=1")) for db in (theirs, ours))
    assert row.key_value_pairs == same.key_value_pairs
    assert dict(row.data) == dict(same.data)
    assert row.unique_id == same.unique_id
    np.testing.assert_array_equal(row.toatoms().positions, same.toatoms().positions)
    np.testing.assert_array_equal(row.toatoms().get_initial_charges(), [1, 2, -1, -1, -1])


def test_the_same_run_again_adds_nothing_and_another_run_does(server, run, result, table, tmp_path):
    add_to_database(run, server)
    before = len(ase.db.connect(server))
    again = save_run(result, table, tmp_path / "again", force=False)
    assert add_to_database(again, server) == 0
    assert len(ase.db.connect(server)) == before
    config = result.config.model_copy(update={"seed": 5})
    other = save_run(
        dataclasses.replace(result, config=config), table, tmp_path / "other", force=False
    )
    assert add_to_database(other, server) == 5
    assert len(ase.db.connect(server)) == before + 5


def test_if_a_row_is_refused_none_arrives(server, run, monkeypatch):
    monkeypatch.setattr("smoacs.runs.database.dict", _refuse_third(), raising=False)
    before = len(ase.db.connect(server))
    ase_rows = [row.unique_id for row in ase.db.connect(server).select()]
    with pytest.raises(ZeroDivisionError):
        add_to_database(run, server)
    database = ase.db.connect(server)
    assert len(database) == before
    assert [row.unique_id for row in database.select()] == ase_rows


def _refuse_third():
    calls = []

    def convert(value):
        calls.append(value)
        return dict(value) if len(calls) < 3 else 1 / 0

    return convert


@pytest.mark.parametrize(
    ("part", "wrong", "words"),
    [
        (PASSWORD, "wrong", "password authentication failed"),
        ("/postgres", "/nowhere", '"nowhere" does not exist'),
    ],
)
def test_what_the_server_refuses_is_said_without_the_password(server, part, wrong, words):
    with pytest.raises(InputError) as caught:
        check_database(server.replace(part, wrong))
    message = str(caught.value)
    assert words in message
    assert PASSWORD not in message
    assert "wrong" not in message


def test_a_server_that_is_not_there():
    pytest.importorskip("ase_db_backends")
    with pytest.raises(InputError, match="refused"):
        check_database(f"postgresql://smoacs:{PASSWORD}@127.0.0.1:{free_port()}/postgres")


@pytest.mark.slow
def test_large_runs_take_seconds(server, structures, table, tmp_path):
    rng = np.random.default_rng(0)
    supercell = structures[0] * (3, 3, 3)
    crystals = [
        Structure(supercell.lattice, supercell.species, rng.random((135, 3))) for _ in range(256)
    ]
    ranked = pd.concat([table.iloc[[1]]] * 256, ignore_index=True)
    ranked.insert(0, "id", [f"{i:04d}" for i in range(1, 257)])
    ranked["structure_file"] = "structures/x.cif"
    begin = time.perf_counter()
    write_designs_db(tmp_path, ranked, crystals, targets=("band_gap > 1",), run_id="rlarge")
    middle = time.perf_counter()
    add_to_database(tmp_path, server)
    end = time.perf_counter()
    assert middle - begin < 30  # some seconds, also where other programs run
    assert end - middle < 30
    assert ase.db.connect(server).count(run_id="rlarge", natoms=135) == 256
