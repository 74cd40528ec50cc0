"""`smoacs show`: what people read."""

import re

import pytest

from smoacs.cli import run as smoacs
from smoacs.request import DesignConfig


def shown(capsys, *arguments):
    code = smoacs(["show", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out if code == 0 else captured.err


def test_a_summary(folder, capsys):
    code, text = shown(capsys, folder)
    assert code == 0
    assert "\x1b" not in text
    assert re.search(r"targets +band_gap = 2.5 ± 0.2 *\n +formation_energy < -0.5", text)
    assert re.search(r"success +40\.0% +2 of 5", text)
    assert re.search(r"template_kept +60\.0% +3 of 5", text)
    assert re.search(r"distinct designs +20\.0% +1 of 5", text)
    assert "1 of 1 distinct successes, best first" in text
    assert re.search(r"0001 +KMgF3 +yes +2\.600 +-2\.000 +P2/m", text)
    assert "0002" not in text


def test_all_sorted_and_limited(folder, capsys):
    text = shown(capsys, folder, "--all", "--sort", "-band_gap", "--limit", 3)[1]
    assert re.findall(r"^(\d{4}) ", text, re.MULTILINE) == ["0004", "0003", "0001"]
    text = shown(capsys, folder, "--all", "--sort", "b")[1]
    assert re.search(r"formation_energy +b +space group", text)


def test_one_crystal(folder, capsys):
    text = shown(capsys, folder, "1")[1]
    assert text.startswith("0001  KMgF3  success\n")
    assert "P2/m, 5 atoms" in text
    assert re.search(r"0 +K +\+1 +0\.0000 +0\.0000 +0\.0000", text)
    assert re.search(r"4 +F +-1 +0\.0000 +0\.5000 +0\.5000", text)
    assert re.search(r"band_gap +2\.600 +eV +2\.3 <= band_gap <= 2\.7 +yes", text)
    assert re.search(r"neutral +yes", text)
    assert "structures/0001_KMgF3.cif" in text


def test_spreads_and_columns_that_joined_later(folder, capsys):
    path = folder / "results.csv"
    head, *rows = path.read_text().splitlines()
    lines = [f"{head},band_gap.std,survives_relaxation,dft_band_gap"]
    lines += [f"{row},0.25,False,1.234567" for row in rows]
    path.write_text("\n".join(lines) + "\n")
    text = shown(capsys, folder, "0001")[1]
    assert re.search(r"band_gap +2\.600 +± 0\.250 +eV", text)
    assert re.search(r"survives_relaxation +no", text)
    assert re.search(r"dft_band_gap +1\.235", text)
    assert "2.600 ± 0.250" in shown(capsys, folder)[1]


def test_a_candidate_that_is_no_crystal(folder, capsys):
    text = shown(capsys, folder, "5")[1]
    assert "not finite" in text
    assert re.search(r"band_gap +- +eV", text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["9"], "no candidate '9'"),
        (["--sort", "colour"], "no column 'colour'"),
        (["--limit", "0"], "at least 1"),
    ],
)
def test_mistakes(folder, capsys, arguments, words):
    code, text = shown(capsys, folder, *arguments)
    assert code == 2
    assert text.count("\n") == 1
    assert words in text


def test_where_none_succeeds_all_are_listed(failed, capsys):
    text = shown(capsys, failed)[1]
    assert "5 of 5 candidates, best first" in text


def test_every_setting_that_was_asked_for(folder, capsys):
    path = folder / "config.toml"
    config = DesignConfig.from_toml(path).model_dump()
    changed = config | {"conservative": 1.0, "required": ("K",), "lattice": {"a": (3.8, 4.2)}}
    path.write_text(DesignConfig(**changed).to_toml())
    text = shown(capsys, folder)[1]
    assert re.search(r"conservative +by 1 × the standard deviation", text)
    assert re.search(r"must occur +K *\n", text)
    assert re.search(r"lattice within +a 3\.8 to 4\.2 Å *\n", text)


def test_what_checks_found(folder, capsys):
    assert "\nchecks" not in shown(capsys, folder)[1]
    assert smoacs(["check", str(folder), "--potential", "none"]) == 0
    capsys.readouterr()
    assert re.search(r"checks *\nchemistry, 2 designs: 2 valid by SMACT", shown(capsys, folder)[1])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_summary_of_a_finished_run(folder, capsys, text):
    (folder / "summary.json").write_text(text)
    assert smoacs(["resume", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "summary.json" in error
