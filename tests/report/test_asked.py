"""What was asked is told in full: no setting that differs from its default is left out."""

import json

import pytest

from smoacs.report.asked import settings_asked
from smoacs.request import DesignConfig

TARGETS = ("maximize band_gap", "minimize density")
EXAMPLES = [
    ({"preset": "paper"}, "paper"),
    ({"search": "exhaustive"}, "exhaustive"),
    ({"pareto": False}, "no"),
    ({"functions": ("score", "cost")}, "score cost"),
    ({"rest": "symmetry"}, "at a minimum of the predicted energy within the template's symmetry"),
    ({"conservative": 1.5}, "by 1.5 × the standard deviation"),
    ({"predictor": "mp2018"}, "mp2018"),
    ({"device": "cpu"}, "cpu"),
    ({"elements": "K Mg F"}, "F Mg K"),
    ({"forbidden": ("Pb", "Cd")}, "Cd Pb"),
    ({"sites": {"A": "K Rb", "X": "F"}}, "A: K Rb; X: F"),
    ({"lattice": {"a": (3.8, 4.2), "gamma": 90}}, "a 3.8 to 4.2 Å; gamma 90°"),
    ({"symmetry": "space-group"}, "space-group"),
    ({"frozen": "A X[0]"}, "A X[0]"),
    ({"max_displacement": {"X": 0.05}}, "X: 0.05"),
    ({"min_distance": 0.75}, "0.75"),
    ({"distance_radii": "ionic"}, "ionic"),
    ({"batch_size": 16}, "16"),
    ({"database": "postgresql://me:secret@host/name"}, "postgresql://me@host/name"),
    ({"required": "Li B=Fe"}, "Li B=Fe"),
    ({"counts": {"Li": 2, "Fe": 1}}, "Li: 2; Fe: 1"),
    ({"same": ("X[0] X[1]", "A")}, "X[0] X[1]; A"),
    ({"max_elements": {"all": 3}}, "all: 3"),
    ({"mixed": False}, "no"),
    ({"ratios": {"A": {"K": 0.75, "Na": 0.25}}}, "A: Na 0.25 K 0.75"),
    ({"oxidation_table": "smact"}, "smact"),
    ({"oxidation_states": {"Fe": [2, 3]}}, "Fe: +2 +3"),
    ({"site_charges": {"X": -2}}, "X: -2"),
]


@pytest.mark.parametrize(("setting", "text"), EXAMPLES, ids=[next(iter(e[0])) for e in EXAMPLES])
def test_a_setting_that_is_not_the_default_is_told(setting, text):
    config = DesignConfig(targets=TARGETS, **setting)
    asked = settings_asked(json.loads(config.model_dump_json()))
    assert text in [words for _, words in asked]
    assert len(asked) == (2 if "preset" in setting else 1)  # the paper has its own numbers


def test_defaults_are_not_told():
    settings = DesignConfig(targets=TARGETS, n=3, steps=5, seed=7, repeat=2)
    assert settings_asked(settings.model_dump(mode="json")) == []


def test_settings_of_another_version():
    assert settings_asked({"targets": list(TARGETS), "at_last": 3}) == []
