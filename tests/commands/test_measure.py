"""What `smoacs judge` measures crystals by, from options and from the settings of a design."""

import pytest

from smoacs.commands.measure import measure_of
from smoacs.errors import InputError
from toys import perovskite_crystal

KMGF3 = ("K+", "Mg2+", "F-", "F-", "F-")
RULES = """
template = "perovskite"
targets = ["band_gap = 2.5 ± 0.2"]
oxidation_table = "smact"
frozen = ["A"]
[sites]
A = "K"
"""


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "design.toml"
    file.write_text(RULES, encoding="utf-8")
    return file


def test_nothing_is_asked():
    assert measure_of(None, {}).template is None
    assert measure_of(None, {"repeat": 2}).rules is None


def test_a_template_alone_brings_no_rules():
    measure = measure_of(None, {"template": "perovskite", "repeat": 2})
    assert measure.template.n_sites == 40
    assert measure.rules is None


def test_options_on_crystals_of_any_kind():
    measure = measure_of(None, {"forbidden": "no-toxic", "counts": ["F=3"]})
    assert measure.template is None
    assert measure.rules.broken(perovskite_crystal(KMGF3)) == ""
    assert measure.rules.broken(perovskite_crystal(("Tl+", *KMGF3[1:]))).startswith("forbidden")


def test_options_on_sites_need_a_template():
    measure = measure_of(None, {"template": "perovskite", "sites": ["A=K"], "required": ["B=Mg"]})
    assert measure.rules.broken(perovskite_crystal(KMGF3)) == ""
    assert measure.rules.broken(perovskite_crystal(("Rb+", *KMGF3[1:]))).startswith("sites.A")
    with pytest.raises(InputError, match="which sites are 'A'"):
        measure_of(None, {"sites": ["A=K"]})


def test_the_settings_of_a_design(rules):
    measure = measure_of(rules, {})
    assert measure.template.name == "perovskite"
    assert 1 in measure.table_of_states["Cu"]
    assert measure.rules.broken(perovskite_crystal(KMGF3)) == ""
    assert measure.rules.broken(perovskite_crystal(("Rb+", *KMGF3[1:]))).startswith("sites.A")
    other = measure_of(rules, {"sites": ["A=Rb"]})
    assert other.rules.broken(perovskite_crystal(KMGF3)).startswith("sites.A = Rb")


def test_seeds_are_no_template(rules, tmp_path):
    with pytest.raises(InputError, match="judged by one template"):
        measure_of(rules, {"template": str(tmp_path)})
