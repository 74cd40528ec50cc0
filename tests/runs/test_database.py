"""designs.db: ASE's own queries find what they should, and nothing is there twice."""

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys

import ase.db
import numpy as np
import pytest
from ase.db.core import check
from ase.db.sqlite import SQLite3Database
from hypothesis import given
from hypothesis import strategies as st

from smoacs.errors import InputError, MissingExtraError, ResourceError
from smoacs.request import DesignConfig
from smoacs.runs import add_to_database, check_database, execute, resume, save_run
from smoacs.runs.database import key_name, key_values, refresh_designs_db
from smoacs.runs.saved import read_run
from toys import Bowl


@pytest.fixture
def run(result, table, tmp_path):
    return save_run(result, table, tmp_path / "run", force=False)


def all_rows(path, *query, **keys):
    """Rows of a database, which is closed again: Python 3.13 warns of one that is left open."""
    with ase.db.connect(path) as database:
        return list(database.select(*query, **keys))


def found(path, query):
    return [row.candidate for row in all_rows(path, query)]


def test_queries_find_the_rows_of_the_table(run):
    table = read_run(run).table
    path = run / "designs.db"
    numbers = table["id"].astype(int)
    assert found(path, "") == numbers.tolist()
    assert found(path, "success,band_gap>2.55") == [1]
    for name in ("success", "band_gap_met", "neutral", "unique"):
        assert found(path, f"natoms>0,{name}") == numbers[table[name]].tolist()
        assert found(path, f"natoms>0,-{name}") == numbers[~table[name]].tolist()
    assert found(path, "reduced_formula=SrTiO3") == [3, 4]
    assert found(path, "Sr=1,O=3") == [3, 4]
    assert found(path, "not_finite") == [5]


def test_the_command_of_ase_understands_it(run):
    code = "from ase.cli.main import main; main()"
    columns = "candidate,reduced_formula,band_gap"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, "db", "run/designs.db", "success,band_gap>2", "-c", columns],
        cwd=run.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|") for line in done.stdout.splitlines()[1:3]]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["1", "KMgF3", "2.600"],
        ["2", "KMgF3", "2.500"],
    ]


def test_a_row_gives_the_crystal_with_its_charges_back(run, structures):
    row = all_rows(run / "designs.db", candidate=1)[0]
    atoms = row.toatoms()
    np.testing.assert_allclose(atoms.get_scaled_positions(), structures[1].frac_coords, atol=1e-12)
    np.testing.assert_allclose(atoms.cell.array, structures[1].lattice.matrix, atol=1e-12)
    assert atoms.get_initial_charges().tolist() == [1, 2, -1, -1, -1]
    assert row.charge == 0
    assert row.data.oxidation_states == [1, 2, -1, -1, -1]
    assert row.data.targets == ["band_gap = 2.5 ± 0.2", "formation_energy < -0.5"]
    assert row.template_kept
    assert row.data.row["structure_file"] == "structures/0001_KMgF3.cif"
    broken = all_rows(run / "designs.db", candidate=5)[0]
    assert broken.data.row["band_gap"] is None
    assert not hasattr(broken, "band_gap")


def test_nothing_of_the_table_is_lost_and_nothing_is_there_twice(run):
    table = read_run(run).table
    for row in all_rows(run / "designs.db"):
        keys, rest = dict(row.key_value_pairs), dict(row.data.row)
        assert not {key_name(name) for name in rest} & set(keys)
        assert {*map(key_name, table.columns)} <= {*map(key_name, rest), *keys}
        cells = table.iloc[row.candidate - 1]
        for name in table.columns:
            value = rest[name] if name in rest else keys[key_name(name)]
            if isinstance(value, float):
                assert value == pytest.approx(cells[name], abs=1e-6)
            elif value is not None and name != "id":
                assert value == cells[name]


def test_the_file_has_no_index_in_which_every_key_stands_for_every_row(run):
    with contextlib.closing(sqlite3.connect(run / "designs.db")) as file:
        names = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    assert "number_key_values" in names
    assert not names & {"key_index", "number_index", "text_index"}


def test_metadata_names_units(run):
    with ase.db.connect(run / "designs.db") as database:
        descriptions = database.metadata["key_descriptions"]
    assert descriptions["band_gap"] == ["band gap", "what the predictor says", "eV"]
    assert descriptions["alpha"] == ["α", "lattice angle", "°"]


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("id", "candidate"),
        ("formula", "reduced_formula"),
        ("band_gap.std", "band_gap_std"),
        ("a", "a"),
        ("energy", "design_energy"),
        ("volume", "design_volume"),
        ("K", "design_K"),
        ("NaCl", "design_NaCl"),
        ("2nd", "design_2nd"),
    ],
)
def test_names_of_keys(column, key):
    assert key_name(column) == key


@given(
    st.text(min_size=1, max_size=12),
    st.one_of(st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=8)),
)
def test_ase_accepts_every_key_and_value(column, value):
    check(key_values({"id": "0007", column + "x": value}))


@pytest.mark.parametrize("formula", ["NaN", "InF", "1e5", "True"])
def test_texts_that_ase_takes_for_numbers_stay_in_the_data(formula):
    assert key_values({"id": "0001", "formula": formula}) == {"candidate": 1}


def test_columns_that_join_later_can_be_searched(run, monkeypatch):
    def refuse(*_):
        raise AssertionError("ASE goes through all rows to change one")

    monkeypatch.setattr(SQLite3Database, "_delete", refuse)
    table = read_run(run).table.assign(survives_relaxation=[True, False, True, False, False])
    ids = [row.unique_id for row in all_rows(run / "designs.db")]
    refresh_designs_db(run, table.iloc[::-1], run / "new.db")
    (run / "new.db").replace(run / "designs.db")
    assert found(run / "designs.db", "success,survives_relaxation") == [1]
    rows = all_rows(run / "designs.db")
    assert [row.unique_id for row in rows] == ids
    assert rows[0].toatoms().get_initial_charges().tolist() == [1, 2, -1, -1, -1]
    assert rows[0].data.targets


def test_a_database_file_collects_runs_and_has_none_twice(run, result, table, tmp_path):
    address = str(tmp_path / "all.db")
    check_database(address)
    assert not (tmp_path / "all.db").exists()
    assert add_to_database(run, address) == 5
    again = save_run(result, table, tmp_path / "again", force=False)
    assert add_to_database(again, address) == 0
    config = result.config.model_copy(update={"seed": 9})
    other = dataclasses.replace(result, config=config)
    add_to_database(save_run(other, table, tmp_path / "other", force=False), address)
    check_database(address)
    assert len(all_rows(address)) == 10
    assert len({row.run_id for row in all_rows(address)}) == 2


def test_what_is_no_database_is_refused(tmp_path, run):
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at" * 9)
    with pytest.raises(InputError, match="is no ASE database"):
        check_database(str(tmp_path / "text.db"))
    with pytest.raises(InputError, match="folder does not exist"):
        check_database(str(tmp_path / "none" / "x.db"))
    with pytest.raises(InputError, match="is no run directory"):
        add_to_database(tmp_path, str(tmp_path / "x.db"))


def test_without_the_backend_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"\.\[postgresql\]"):
        check_database("postgresql://me@host/db")


def test_the_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = DesignConfig(targets=("band_gap > 1",), database="mine.db")
    assert config.database == str(tmp_path / "mine.db")
    url = "postgresql://me:secret@host:5432/db?sslmode=require&password=secret"
    config = DesignConfig(targets=("band_gap > 1",), database=url)
    assert config.database == url
    shown = "postgresql://me@host:5432/db?sslmode=require"
    assert f'database = "{shown}"' in config.to_toml()
    assert config.model_dump(mode="json")["database"] == shown
    for wrong in ("mine.txt", "mysql://me:secret@host/db"):
        with pytest.raises(InputError, match=r"postgresql://user@host/name"):
            DesignConfig(targets=("band_gap > 1",), database=wrong)


def test_numbers_are_those_of_the_table(run):
    table = read_run(run).table.set_index("id")
    for row in all_rows(run / "designs.db"):
        for name in ("band_gap", "formation_energy", "min_distance", "alpha"):
            expected = table.loc[f"{row.candidate:04d}", name]
            assert row.get(name, np.nan) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_a_full_disk_is_one_for_everybody(result, table, tmp_path, monkeypatch):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(*_, **__):
        raise error

    monkeypatch.setattr("ase.db.sqlite.SQLite3Database.write", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        save_run(result, table, tmp_path / "run", force=False)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def asked(tmp_path):
    return DesignConfig(targets=("toy < 9",), n=2, steps=2, database=str(tmp_path / "all.db"))


def test_a_finished_run_goes_to_the_database_and_resuming_it_brings_it_back(asked, tmp_path):
    out = execute(asked, tmp_path / "run", predictor=Bowl())
    assert found(asked.database, "success") == [1, 2]
    resume(out, predictor=Bowl())
    assert len(all_rows(asked.database)) == 2
    (tmp_path / "all.db").unlink()
    resume(out, predictor=Bowl())
    assert found(asked.database, "success") == [1, 2]


def test_a_run_survives_a_database_that_is_lost(asked, tmp_path, monkeypatch):
    def lost(*_):
        raise InputError("the database cannot be used: gone")

    monkeypatch.setattr(sys.modules["smoacs.runs.execute"], "add_to_database", lost)
    with pytest.raises(ResourceError, match=r"is finished, but not in .*: gone; .*smoacs resume"):
        execute(asked, tmp_path / "run", predictor=Bowl())
    assert len(read_run(tmp_path / "run").table) == 2


def test_a_database_that_will_not_do_is_refused_before_the_work(asked, tmp_path):
    (tmp_path / "all.db").write_text("not a database, but long enough to be looked at" * 9)
    predictor = Bowl()
    with pytest.raises(InputError, match="is no ASE database"):
        execute(asked, tmp_path / "run", predictor=predictor)
    assert predictor.calls == 0
    assert [path.name for path in tmp_path.iterdir()] == ["all.db"]


def test_errors_name_the_option(tmp_path):
    folder = tmp_path / "folder.db"
    folder.mkdir()
    with pytest.raises(InputError, match=r"^--database: .*; --database must name a file here"):
        check_database(str(folder))
    text = tmp_path / "text.db"
    text.write_text("no database, but quite some text")
    with pytest.raises(InputError, match=r"^--database: .*is no ASE database"):
        check_database(str(text))
    with pytest.raises(InputError, match=r"^--database: .*does not exist"):
        check_database(str(tmp_path / "none" / "x.db"))
