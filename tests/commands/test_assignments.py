"""`--set KEY=VALUE`: values as in TOML, and mistakes that are one sentence."""

import pytest

import smoacs.runs
from smoacs.cli import run
from smoacs.commands.assignments import read_assignments
from smoacs.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=8", {"n": 8}),
        ("rest = none", {"rest": "none"}),
        ("oxidation_table=smact", {"oxidation_table": "smact"}),
        ("oxidation_table='smact'", {"oxidation_table": "smact"}),
        ("lattice={a=[3.8, 4.2], gamma=90}", {"lattice": {"a": [3.8, 4.2], "gamma": 90}}),
        ("predictor=a = b.safetensors", {"predictor": "a = b.safetensors"}),
        ("predictor=1\nn = 2", {"predictor": "1\nn = 2"}),
    ],
)
def test_values_are_toml_or_text(text, expected):
    assert read_assignments([text], {}) == expected


@pytest.mark.parametrize(
    ("texts", "given", "message"),
    [
        (["lattice"], {}, r"'lattice' is not of the form KEY=VALUE.*lattice=\{a="),
        (["lattice.a=4"], {}, r"'lattice\.a=4' is not of the form"),
        (["n=1", "n=2"], {}, r"n is given twice"),
        (["n=1"], {"n": 3}, r"n is given twice"),
    ],
)
def test_mistakes(texts, given, message):
    with pytest.raises(InputError, match=message):
        read_assignments(texts, given)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The configs that `smoacs design` would run."""
    monkeypatch.chdir(tmp_path)
    configs = []

    def execute(config, *_args, **_options):
        configs.append(config)
        raise InputError("only asked")

    monkeypatch.setattr(smoacs.runs, "execute", execute)
    return configs


def test_short_options_and_set_reach_the_settings(asked):
    design = ["design", "perovskite", "--out", "run", "-t", "density > 1"]
    options = ["--symmetry", "lattice", "--frozen", "A,X[0]", "--min-distance", "0.7",
               "--same", "X[0] X[1]", "--set", "max_displacement={X=0.05}",
               "--set", "site_charges={B=[4]}", "--set", "ratios={A={K=0.5, Na=0.5}}"]  # fmt: skip
    assert run([*design, *options]) == 2
    (config,) = asked
    assert config.symmetry == "lattice"
    assert config.frozen == ("A", "X[0]")
    assert config.min_distance == pytest.approx(0.7)
    assert config.same == ("X[0] X[1]",)
    assert config.max_displacement == {"X": 0.05}
    assert config.site_charges == {"B": (4,)}
    assert config.ratios == {"A": {"Na": 0.5, "K": 0.5}}


def test_a_setting_replaces_that_of_a_file(asked, tmp_path):
    (tmp_path / "design.toml").write_text(
        'targets = ["density > 1"]\nsymmetry = "lattice"\nlattice = { a = 4 }\n'
    )
    design = ["design", "design.toml", "--out", "run"]
    assert run([*design, "--set", "lattice={c=[3.8, 4.2]}", "--symmetry", "free"]) == 2
    assert asked[0].lattice == {"c": (3.8, 4.2)}
    assert asked[0].symmetry == "free"


def test_an_unknown_setting_suggests_the_nearest(asked, capsys):
    design = ["design", "perovskite", "--out", "run", "-t", "density > 1"]
    assert run([*design, "--set", "latice={a=4}"]) == 2
    assert "did you mean 'lattice'" in capsys.readouterr().err
    assert run([*design, "--set", "template=rutile"]) == 2
    assert "template is given twice" in capsys.readouterr().err
    assert asked == []
