"""What cannot be is refused before anything runs: exit code 2, and both parts that clash named."""

import pytest

from smoacs.cli import run
from smoacs.errors import InputError
from smoacs.request import DesignConfig

REFUSALS = {
    "no such element": ({"required": "Xx"}, ["required", "'Xx'"]),
    "no element after the site": ({"required": "B="}, ["required", "''"]),
    "no site before the element": ({"required": "=Fe"}, ["required", "'=Fe'"]),
    "no such kind of site": ({"required": "Q=Fe"}, ["required.Q", "'Q'", "A (1), B (1), X (3)"]),
    "no such site": ({"same": ["X[0] X[7]"]}, ["same.X[7]", "3 sites X"]),
    "required of no list": ({"required": 3}, ["required = 3", "a list of elements"]),
    "required and forbidden": (
        {"required": "Li", "forbidden": "Li Na"},
        ["required = Li", "forbidden = Li Na"],
    ),
    "required and not among the elements": (
        {"required": "Li", "elements": "K Mg F"},
        ["required = Li", "elements = F Mg K"],
    ),
    "required and not at its site": (
        {"required": "B=Ti", "sites": {"B": "Zr Hf"}},
        ["required = B=Ti", "sites.B = Zr Hf"],
    ),
    "required where no charge fits": ({"required": "X=Na"}, ["required = X=Na", "perovskite"]),
    "two that no charges go with": (
        {"required": ["X=F", "B=Ti"]},
        ["required = X=F", "required = B=Ti"],
    ),
    "more required than sites": (
        {"required": ["A=K", "A=Na"]},
        ["required = A=K", "required = A=Na"],
    ),
    "more required than elements": (
        {"required": ["O", "S"], "max_elements": {"X": 1}, "sites": {"A": "K", "B": "Ta"}},
        ["required = O", "required = S", "max_elements.X = 1"],
    ),
    "more atoms than sites": ({"counts": {"O": 4}}, ["counts.O = 4", "1 A, 1 B, 3 X"]),
    "too many atoms together": (
        {"counts": {"O": 2, "F": 2}},
        ["counts.O = 2", "counts.F = 2"],
    ),
    "no atoms": ({"counts": {"O": 0}}, ["counts.O = 0", "forbidden"]),
    "half an atom": ({"counts": {"O": 1.5}}, ["counts.O = 1.5", "whole number"]),
    "no number": ({"counts": "Li"}, ["counts", "Li=2"]),
    "given twice": ({"counts": ["Li=1", "Li=2"]}, ["counts.Li", "twice"]),
    "counted and forbidden": (
        {"counts": {"Pb": 1}, "forbidden": "no-toxic"},
        ["counts.Pb = 1", "forbidden = no-toxic"],
    ),
    "counted and tied": (
        {"counts": {"O": 1}, "same": "X"},
        ["counts.O = 1", "same = X"],
    ),
    "tied and kept apart": (
        {"same": "X", "sites": {"X[0]": "O", "X[1]": "S"}},
        ["same = X", "sites.X"],
    ),
    "tied with itself": ({"same": "A"}, ["same = A", "only one such site"]),
    "tied cation and anion": ({"same": "A X"}, ["same = A X", "perovskite"]),
    "no elements at all": ({"max_elements": {"A": 0}}, ["max_elements.A = 0", "at least 1"]),
    "fewer elements than kinds": ({"max_elements": {"all": 1}}, ["max_elements.all = 1"]),
    "few elements and many ratios": (
        {"repeat": 2, "max_elements": {"A": 1}, "ratios": {"A": {"K": 0.5, "Na": 0.5}}},
        ["max_elements.A = 1", "ratios.A = Na 0.5, K 0.5"],
    ),
    "parts of atoms": (
        {"ratios": {"A": {"K": 0.75, "Na": 0.25}}},
        ["ratios.A", "1 site A", "smallest repeat that fits is 2"],
    ),
    "parts of atoms in a supercell": (
        {"repeat": 2, "ratios": {"X": {"O": 0.9, "S": 0.1}}},
        ["ratios.X", "24 sites X", "smallest repeat that fits is 3 (81 sites)"],
    ),
    "ratios of one site": (
        {"ratios": {"X[0]": {"O": 0.5, "S": 0.5}}},
        ["ratios.X[0]", "1 site X[0]", "whole numbers"],
    ),
    "ratios that are not one": (
        {"ratios": {"A": {"K": 0.5, "Na": 0.25}}},
        ["ratios.A", "0.75", "must add up to 1"],
    ),
    "ratios and counts": (
        {"repeat": 2, "ratios": {"A": {"K": 0.5, "Na": 0.5}}, "counts": {"K": 3}},
        ["ratios.A = Na 0.5, K 0.5", "counts.K = 3"],
    ),
    "ratios of elements without a common charge": (
        {"repeat": 2, "ratios": {"A": {"La": 0.75, "Sr": 0.25}}},
        ["ratios.A = Sr 0.25, La 0.75", "perovskite 2x2x2"],
    ),
    "no oxidation number": ({"oxidation_states": {"Fe": 9}}, ["oxidation_states.Fe", "9", "+7"]),
    "no oxidation table": ({"oxidation_table": "mine"}, ["oxidation_table", "common"]),
    "states that the element needs": (
        {"required": "X=O", "oxidation_states": {"O": 2}},
        ["required = X=O", "oxidation_states.O = +2"],
    ),
    "charge that no combination has": (
        {"site_charges": {"A": 7}},
        ["site_charges.A = +7", "perovskite"],
    ),
    "charges that are not neutral": (
        {"site_charges": {"B": 2, "X": -2}},
        ["site_charges.B = +2", "site_charges.X = -2"],
    ),
    "charge that the element does not take": (
        {"site_charges": {"B": 4}, "required": "B=Mg"},
        ["site_charges.B = +4", "required = B=Mg"],
    ),
    "charge of a site that is none": ({"site_charges": {"Q": 2}}, ["site_charges.Q", "'Q'"]),
    "tied by symmetry": (
        {"repeat": 2, "counts": {"Li": 3}, "symmetry": "space-group"},
        ["counts.Li = 3", "symmetry = space-group"],
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_the_parts_named(name, tmp_path):
    asked, parts = REFUSALS[name]
    with pytest.raises(InputError) as raised:
        DesignConfig.from_mapping({"targets": ["toy < 1"], **asked}).resolved_template()
    sentence = str(raised.value)
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--require", "Li", "--forbid", "Li"], ["required = Li", "forbidden = Li"]),
        (["--count", "O=4"], ["counts.O = 4", "perovskite"]),
        (["--count", "O=1,O=2"], ["counts.O", "twice"]),
        (["--max-elements", "X=1", "--count", "O=1"], ["max_elements.X = 1", "counts.O = 1"]),
        (["--max-elements", "X"], ["max_elements", "A=1"]),
    ],
)
def test_exit_code_and_nothing_written(options, parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["design", "perovskite", "-t", "density > 1", "--out", "run", *options]
    assert run(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(part in message for part in parts), message
    assert list(tmp_path.iterdir()) == []
