"""`smoacs export` on the command line; the formats themselves are in tests/export."""

import pytest

from smoacs.cli import run as smoacs


def test_distinct_successes_go_beside_the_run(folder, capsys):
    assert smoacs(["export", str(folder), "--to", "cif"]) == 0
    out = folder.with_name("run-cif")
    assert sorted(path.name for path in out.iterdir()) == ["0001_KMgF3.cif", "designs.csv"]
    assert capsys.readouterr().out == f"1 design in {out}\n"


def test_chosen_ones_go_where_they_should(folder, tmp_path, capsys):
    out = tmp_path / "best"
    arguments = ["export", str(folder), "--to", "poscar", "--out", str(out)]
    assert smoacs([*arguments, "--id", "4, 2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "0002_KMgF3.vasp",
        "0004_SrTiO3.vasp",
        "designs.csv",
    ]
    assert capsys.readouterr().out.startswith("2 designs in ")


def test_all_are_those_that_are_crystals(folder, capsys):
    assert smoacs(["export", str(folder), "--to", "extxyz", "--all"]) == 0
    assert capsys.readouterr().out.startswith("4 designs")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "cif", "--id", "5"], "is no crystal"),
        (["--to", "cif", "--id", "1", "--all"], "either --id"),
        (["--to", "cif", "--id", ","], "either --id"),
        (["--to", "doc"], "vasp, qe, gpaw, cif, poscar, extxyz"),
        (["--to", "qe", "--pseudo-dir", "nowhere"], "no folder of pseudopotentials"),
    ],
)
def test_mistakes(folder, capsys, arguments, words):
    assert smoacs(["export", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_where_none_succeeds_the_way_out_is_named(failed, capsys):
    assert smoacs(["export", str(failed), "--to", "cif"]) == 2
    assert "--id 1,2" in capsys.readouterr().err
