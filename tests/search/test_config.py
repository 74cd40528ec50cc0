"""Settings: what is right goes round through TOML, what is wrong gives one clear sentence."""

import re

import pytest
from pydantic import ValidationError

from smoacs.errors import InputError
from smoacs.search.config import DesignConfig

GAP = "band_gap = 2.5 ± 0.2"
CIF = """data_KMgF3
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
K K1 0 0 0
Mg Mg1 0.5 0.5 0.5
F F1 0.5 0.5 0
F F2 0.5 0 0.5
F F3 0 0.5 0.5
"""


def test_defaults():
    config = DesignConfig(targets=(GAP,))
    assert (config.template, config.repeat, config.n, config.steps) == ("perovskite", 1, 256, 200)
    assert (config.seed, config.preset, config.device) == (0, "default", "auto")
    assert config.parsed_targets()[0].property == "band_gap"


def test_is_immutable():
    config = DesignConfig(targets=(GAP,))
    with pytest.raises(ValidationError, match="frozen"):
        config.n = 3


def test_toml_holds_every_setting(tmp_path):
    config = DesignConfig(
        targets=(GAP, "maximize density"),
        repeat=2,
        n=7,
        steps=3,
        seed=2**40,
        preset="paper",
        predictor="some-name",
        device="cpu",
        elements=("F", "Mg", "K"),
        forbidden=("Pb",),
        batch_size=4,
    )
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert DesignConfig.from_toml(path) == config
    for name in DesignConfig.model_fields:
        assert re.search(rf"^{name} = ", config.to_toml(), re.MULTILINE)


def test_elements_may_be_one_text_and_are_sorted():
    config = DesignConfig.from_mapping({"targets": [GAP], "elements": "F, K Mg"})
    assert config.elements == ("F", "Mg", "K")


def test_a_template_file_is_found_beside_the_toml_file(tmp_path, monkeypatch):
    (tmp_path / "seed.cif").write_text(CIF)
    path = tmp_path / "design.toml"
    path.write_text(f'template = "seed.cif"\ntargets = ["{GAP}"]\n', encoding="utf-8")
    config = DesignConfig.from_toml(path)
    assert config.resolved_template().n_sites == 5
    monkeypatch.chdir(tmp_path)
    relative = DesignConfig(template="seed.cif", targets=(GAP,))
    assert f'template = "{tmp_path}/seed.cif"' in relative.to_toml()


def test_changes_replace_settings_of_the_file(tmp_path):
    path = tmp_path / "design.toml"
    path.write_text("n = 5\nsteps = 9\n")
    config = DesignConfig.from_toml(path, {"n": 6, "targets": (GAP,)})
    assert (config.n, config.steps) == (6, 9)


def test_template_is_restricted_to_the_elements():
    config = DesignConfig(targets=(GAP,), elements=("K", "Na", "Mg", "F"), forbidden=("Na",))
    template = config.resolved_template()
    assert template.combination_names == ("A+1 B+2 X-1",)
    assert template.allowed[0].sum(axis=1).tolist() == [1, 1, 1, 1, 1]


WRONG = {
    "n zero": ({"n": 0}, "n = 0 is not right: n must be a whole number of at least 1"),
    "n text": ({"n": "ten"}, "n = 'ten' is not right: n must be a whole number"),
    "n fraction": ({"n": 2.5}, "n = 2.5 is not right"),
    "n true": ({"n": True}, "n = True is not right"),
    "steps zero": ({"steps": 0}, "steps = 0 is not right: steps must be a whole number of"),
    "repeat zero": ({"repeat": 0}, "repeat = 0 is not right"),
    "seed negative": ({"seed": -1}, "seed = -1 is not right"),
    "batch size zero": ({"batch_size": 0}, "batch_size = 0 is not right"),
    "preset": ({"preset": "best"}, "preset = 'best' is not right: preset must be 'default' or"),
    "no targets": ({"targets": []}, "targets = [] is not right: targets must be a list of at"),
    "targets as text": ({"targets": GAP}, "is not right: targets must be a list"),
    "target not text": ({"targets": [3]}, "targets[0] = 3 is not right"),
    "target unparsable": ({"targets": [GAP, "nice colour"]}, '"nice colour"'),
    "target upside down": ({"targets": ["3 <= band_gap <= 2"]}, "low end 3"),
    "unknown element": ({"elements": ["K", "Xx"]}, "elements: 'Xx' is not the symbol of"),
    "no element": ({"elements": []}, "elements = () is not right"),
    "elements numbers": ({"forbidden": [3]}, "forbidden[0] = 3 is not right"),
    "device": ({"device": "toaster"}, "torch knows no device 'toaster'"),
    "misspelt": ({"stpes": 3}, "unknown setting 'stpes'; did you mean 'steps'?"),
    "unheard of": ({"qqqqqq": 3}, "unknown setting 'qqqqqq'; the settings are template, repeat"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_give_one_sentence(name):
    settings, message = WRONG[name]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        DesignConfig.from_mapping({"targets": [GAP], **settings})
    assert "\n" not in str(caught.value)


def test_missing_targets_are_named():
    with pytest.raises(InputError, match="the setting 'targets' is missing: it must be a list"):
        DesignConfig.from_mapping({})


FILES = {
    "not toml": (b"targets = [", "is not valid TOML"),
    "not text": (b"\xff\xfe\x00", "is not valid TOML"),
    "misspelt": (b"target = ['band_gap > 1']", "did you mean 'targets'?"),
    "empty": (b"", "'targets' is missing"),
}


@pytest.mark.parametrize("name", FILES)
def test_wrong_files_are_named(name, tmp_path):
    content, message = FILES[name]
    path = tmp_path / "design.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        DesignConfig.from_toml(path)
    assert str(caught.value).startswith(str(path))


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        DesignConfig.from_toml(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read"):
        DesignConfig.from_toml(tmp_path)
