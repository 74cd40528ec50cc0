"""Settings: what is right goes round through TOML, what is wrong gives one clear sentence."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.request.chemical_settings import ChemicalSettings
from smoacs.request.config import DesignConfig

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
    assert config.wanted[0].property == "band_gap"


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
        forbidden=("Pb", "no-toxic"),
        sites={"A": ("K", "!Rb"), "X[0:2]": ("F",)},
        batch_size=4,
    )
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert DesignConfig.from_toml(path) == config
    for name, value in config.model_dump(exclude_none=True).items():
        if value or name not in ChemicalSettings.model_fields:
            assert re.search(rf"^({name} = |\[{name}\]$)", config.to_toml(), re.MULTILINE)


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


def resolve(**settings):
    return DesignConfig.from_mapping({"targets": [GAP], **settings}).resolved_template()


def elements_at(template, k, site):
    return {ELEMENTS[index] for index in np.flatnonzero(template.allowed[k, site])}


@pytest.mark.parametrize(
    "sites",
    [
        {"A": "K Rb", "X[0]": "F", "X[1:3]": ["Cl", "Br"]},
        ["A=K,Rb", "X[0]=F", "X[1:3]=Cl,Br"],
        {"A": "K Rb Cs !Cs", "X": "F Cl Br", "X[0]": "!Cl !Br", "X[1:3]": "!F"},
    ],
)
def test_sites_hold_their_elements_only(sites):
    template = resolve(sites=sites)
    assert template.combination_names == ("A+1 B+2 X-1",)
    assert elements_at(template, 0, 0) == {"K", "Rb"}
    assert [elements_at(template, 0, site) for site in (2, 3, 4)] == [
        {"F"},
        {"Cl", "Br"},
        {"Cl", "Br"},
    ]
    assert "Mg" in elements_at(template, 0, 1)


def test_sites_of_a_table_in_toml(tmp_path):
    path = tmp_path / "design.toml"
    path.write_text(
        f'targets = ["{GAP}"]\nforbidden = ["no-toxic", "Tl"]\n'
        '[sites]\nA = "K Rb"\nX = ["F", "Cl"]\nB = "!Mg no-noble-metal"\n',
        encoding="utf-8",
    )
    config = DesignConfig.from_toml(path)
    assert config.sites == {"A": ("K", "Rb"), "X": ("F", "Cl"), "B": ("!Mg", "no-noble-metal")}
    template = config.resolved_template()
    assert not {"Mg", "Pd", "Cd", "Hg", "Pb"} & elements_at(template, 0, 1)
    assert "Zn" in elements_at(template, 0, 1)


def test_presets_mean_the_same_wherever_they_are_named():
    named = [resolve(elements="no-toxic"), resolve(forbidden="no-toxic"),
             resolve(sites=dict.fromkeys("ABX", "no-toxic"))]  # fmt: skip
    for template in named[1:]:
        assert (template.allowed == named[0].allowed).all()


def test_heavy_elements_only_where_they_are_named():
    settings = {"template": "fluorite", "sites": {"A": "Th Zr U"}}
    template = resolve(**settings)
    k = template.combination_names.index("A+4 X-2")
    assert elements_at(template, k, template.sites("A")[0]) == {"Th", "U", "Zr"}
    assert "Th" not in elements_at(resolve(template="fluorite"), k, 0)
    assert not template.allowed[:, template.sites("X"), 86:].any()
    light = DesignConfig.from_mapping({"targets": [GAP], **settings})
    some = light.resolved_template(frozenset(ELEMENTS) - {"Th"})
    assert elements_at(some, some.combination_names.index("A+4 X-2"), 0) == {"U", "Zr"}


CONTRADICTIONS = {
    "elements against a site": (
        {"elements": "Na K Mg F", "sites": {"A": "Rb Cs"}},
        "site A+1",
        "sites.A = Rb Cs and elements = F Na Mg K exclude each other",
    ),
    "forbidden against a site": (
        {"forbidden": "Rb Cs", "sites": {"A": "Rb Cs"}},
        "site A+1",
        "sites.A = Rb Cs and forbidden = Rb Cs exclude each other",
    ),
    "elements against forbidden": (
        {"elements": "K Mg F", "forbidden": "F Cl"},
        "site X-1",
        "elements = F Mg K and forbidden = F Cl exclude each other",
    ),
    "a preset against a site": (
        {"forbidden": "no-toxic", "sites": {"B": "Pb Cd"}},
        "site B+2",
        "sites.B = Cd Pb and forbidden = no-toxic exclude each other",
    ),
    "a preset against elements": (
        {"elements": "Tl Mg F", "forbidden": "no-toxic"},
        "site A+1",
        "elements = F Mg Tl and forbidden = no-toxic exclude each other",
    ),
    "a preset against itself named": (
        {"elements": "earth-abundant", "sites": {"X": "Br I"}},
        "site X-1",
        "sites.X = Br I and elements = earth-abundant exclude each other",
    ),
    "within a site": (
        {"sites": {"A": "K !K"}},
        "site A+1",
        "sites.A = K and sites.A = !K exclude each other",
    ),
    "a preset within a site": (
        {"sites": {"B": "Pb no-toxic"}},
        "site B+2",
        "sites.B = Pb and sites.B = no-toxic exclude each other",
    ),
    "a kind against one of its sites": (
        {"sites": {"X": "O S", "X[0]": "F"}},
        "or X-2 (one of O S Se Te)",
        "sites.X = O S and sites.X[0] = F exclude each other",
    ),
    "charges of two kinds": (
        {"sites": {"A": "Sr", "X": "F"}},
        "site A+1",
        "sites.A = Sr and sites.X = F exclude each other",
    ),
    "charges of A and B": (
        {"sites": {"A": "K", "B": "Ti"}},
        "site B+2",
        "sites.A = K and sites.B = Ti exclude each other",
    ),
    "charges of two sites of a kind": (
        {"sites": {"X[0]": "O", "X[1]": "F"}},
        "site X-1",
        "sites.X[0] = O and sites.X[1] = F exclude each other",
    ),
    "a charge that the site never has": (
        {"sites": {"A": "W"}},
        "site A+1 (one of Li Na K",
        "sites.A = W leaves none",
    ),
    "no anion among the elements": (
        {"elements": "K Mg Ti"},
        "site X-1 (one of F Cl Br I) or X-2",
        "elements = Mg K Ti leaves none",
    ),
    "all anions forbidden": (
        {"forbidden": "O S Se Te F Cl Br I"},
        "site X-1",
        "forbidden = O F S Cl Se Br Te I leaves none",
    ),
    "three that go together in pairs": (
        {"elements": "K Rb Mg Ti F O Sr", "sites": {"A": "K Sr"}, "forbidden": "F Sr"},
        "site X-1",
        "sites.A = K Sr, elements = O F Mg K Ti Rb Sr and forbidden = F Sr together leave none",
    ),
    "the sites of another template": (
        {"template": "rock-salt", "sites": {"A": "Na", "X": "O"}},
        "of template 'rock-salt'",
        "sites.A = Na and sites.X = O exclude each other",
    ),
    "heavy elements": (
        {"template": "rock-salt", "elements": "no-radioactive", "sites": {"A": "U Th"}},
        "site A+2 (one of Be C Mg",
        "sites.A = Th U and elements = no-radioactive exclude each other",
    ),
    "no such kind": (
        {"template": "wurtzite", "sites": {"B": "Zn"}},
        "no site kind 'B'",
        "its kinds, and how many sites each has, are A (2), X (2)",
    ),
    "no such site": (
        {"sites": {"X[3]": "F"}},
        "sites.X[3]",
        "has 3 sites X, which count from X[0] to X[2]",
    ),
    "an empty range": ({"sites": {"X[2:2]": "F"}}, "sites.X[2:2]", "count from X[0] to X[2]"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused_and_named(name):
    settings, where, why = CONTRADICTIONS[name]
    with pytest.raises(InputError) as caught:
        resolve(**settings)
    message = str(caught.value)
    assert where in message
    assert message.endswith(why)
    assert "\n" not in message


def test_elements_that_the_predictor_lacks_are_named():
    config = DesignConfig.from_mapping({"targets": [GAP], "sites": {"B": "Pb"}})
    message = "sites.B = Pb and the elements that the predictor knows exclude each other"
    with pytest.raises(InputError, match=message):
        config.resolved_template(frozenset(ELEMENTS[:80]))


WRONG = {
    "n zero": ({"n": 0}, "n = 0 is not right: n must be a whole number from 1"),
    "n text": ({"n": "ten"}, "n = 'ten' is not right: n must be a whole number"),
    "n fraction": ({"n": 2.5}, "n = 2.5 is not right"),
    "n true": ({"n": True}, "n = True is not right"),
    "steps zero": ({"steps": 0}, "steps = 0 is not right: steps must be a whole number from"),
    "repeat zero": ({"repeat": 0}, "repeat = 0 is not right"),
    "seed negative": ({"seed": -1}, "seed = -1 is not right"),
    "batch size zero": ({"batch_size": 0}, "batch_size = 0 is not right"),
    "preset": ({"preset": "best"}, "preset = 'best' is not right: preset must be 'default' or"),
    "no targets": ({"targets": []}, "targets = [] is not right: targets must be a list of at"),
    "targets as text": ({"targets": GAP}, "is not right: targets must be a list"),
    "target not text": ({"targets": [3]}, "targets[0] = 3 is not right"),
    "target unparsable": ({"targets": [GAP, "nice colour"]}, '"nice colour"'),
    "target upside down": ({"targets": ["3 <= band_gap <= 2"]}, "low end 3"),
    "unknown preset": ({"forbidden": ["toxic"]}, "forbidden: 'toxic' is neither an element nor a"),
    "sites as text": ({"sites": "A"}, "sites = 'A' is not right: sites must be a table of kinds"),
    "sites without kind": ({"sites": ["K,Rb"]}, "sites: 'K,Rb' is not of the form \"A=K,Rb\""),
    "site twice": ({"sites": ["A=K", "A=Rb"]}, "sites.A is given twice ('K' and 'Rb')"),
    "site empty": ({"sites": {"A": ""}}, "sites.A is empty"),
    "site a number": ({"sites": {"A": 3}}, "sites[A] = 3 is not right"),
    "site unknown element": ({"sites": {"A": "Kk"}}, "sites.A: 'Kk' is not the symbol of"),
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
    "nested": (b"n = " + b"[" * 100_000, "nested too deeply"),
    "long number": (b"n = " + b"9" * 5_000, "is not valid TOML"),
    "large n": (b"targets = ['density > 1']\nn = 9223372036854775808", "from 1 to 10 million"),
    "steps": (b"targets = ['density > 1']\nsteps = 1" + b"0" * 26, "from 1 to 10 million"),
    "long text": (b"targets = ['density > 1']\nn = '" + b"x" * 5_000 + b"'", "xxx ... xxx"),
    "exclusive": (b"targets = ['band_gap > 1.6', 'band_gap < 1.3']", "exclude each other"),
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


@pytest.mark.parametrize("value", [True, False])
def test_the_setting_that_rest_has_taken_the_place_of_is_named(value, tmp_path):
    with pytest.raises(
        InputError, match=r"at_rest is rest by now: .*'symmetry'.*'none'.*'minimum'"
    ):
        DesignConfig.from_mapping({"targets": (GAP,), "at_rest": value})
    file = tmp_path / "config.toml"
    file.write_text(f'targets = ["{GAP}"]\nat_rest = {str(value).lower()}\n')
    with pytest.raises(InputError, match=r"config\.toml: at_rest is rest by now"):
        DesignConfig.from_toml(file)


def test_rest_is_one_of_three():
    with pytest.raises(InputError, match=r"rest = .* is not right: rest must be 'minimum'"):
        DesignConfig(targets=(GAP,), rest="soon")
