"""Geometric constraints of whole designs: kept by construction, refused where impossible."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.errors import InputError
from smoacs.judging import judge
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.templates import TEMPLATE_NAMES, build_template, site_radii
from toys import Bowl, PairEnergy

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
ONE_OF_EACH_KIND = {"perovskite", "half-heusler", "wurtzite", "rutile", "anatase", "delafossite"}
"""A small template of each crystal system and centring that there is; the others are slow."""


class Both:
    """An energy, and a property that wants a cube of 4.2 Å."""

    cutoff = PairEnergy.cutoff
    elements = PairEnergy.elements

    def __init__(self):
        self.parts = PairEnergy(), Bowl()
        self.properties = self.parts[0].properties | self.parts[1].properties

    def __call__(self, crystals, neighbors):
        return {**self.parts[0](crystals, neighbors), **self.parts[1](crystals, neighbors)}


def config(**settings):
    asked = {"targets": ("toy < 0.3",), "n": 2, "steps": 10, "device": "cpu", "seed": 3}
    return DesignConfig(**(asked | settings))


def designed(**settings):
    return run_search(config(**settings), predictor=Both())


def bare(structure):
    return Structure(
        structure.lattice, [s.symbol for s in structure.species], structure.frac_coords
    )


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
@pytest.mark.parametrize(
    "name",
    [
        n if n in ONE_OF_EACH_KIND else pytest.param(n, marks=pytest.mark.slow)
        for n in TEMPLATE_NAMES
    ],
)
def test_designs_at_rest_keep_the_space_group(name):
    result = designed(template=name, symmetry="space-group", rest="symmetry")
    for structure in result.structures:
        analyzer = SpacegroupAnalyzer(bare(structure), symprec=0.01)
        assert analyzer.get_space_group_number() == result.template.symmetry.number
    table = judge(
        result.structures,
        config().wanted,
        predictor=Both(),
        template=result.template,
    )
    assert table["template_kept"].all()


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize(
    ("template", "symmetry", "lattice"),
    [
        ("perovskite", "free", {"a": (3.8, 3.9), "b": (4.5, 5.0), "gamma": (80, 85)}),
        ("perovskite", "lattice", {"a": (5.0, 6.0), "c": (5.5, 7.0)}),
        ("anatase", "space-group", {"a": (4.0, 4.1), "c": (6.0, 6.1), "alpha": (105, 112)}),
        ("delafossite", "lattice", {"c": (6.5, 6.6)}),
        ("rutile", "free", {"alpha": (100, 120), "beta": 95, "a": 5}),
    ],
)
def test_ranges_are_never_left(preset, template, symmetry, lattice):
    result = designed(template=template, symmetry=symmetry, lattice=lattice, preset=preset)
    for structure in result.structures:
        for key, asked in lattice.items():
            low, high = asked if isinstance(asked, tuple) else (asked, asked)
            value = structure.lattice.parameters[LATTICE.index(key)]
            assert low - 1e-9 <= value <= high + 1e-9


def test_axes_with_ranges_of_their_own_are_not_made_equal_at_rest():
    result = designed(lattice={"a": (3.8, 3.9), "b": (4.5, 5.0)}, rest="symmetry")
    lengths = np.array([structure.lattice.abc for structure in result.structures])
    assert (lengths[:, 0] <= 3.9 + 1e-9).all()
    assert (lengths[:, 1] >= 4.5 - 1e-9).all()


def test_frozen_sites_stay_and_others_go_no_farther_than_they_may():
    result = designed(
        template="spinel",
        mixed=True,
        frozen="A B[0]",
        max_displacement={"X": 0.01},
        rest="symmetry",
    )
    start = result.template.frac_coords
    moved = np.array([structure.frac_coords - start for structure in result.structures])
    labels = np.array(result.template.site_labels)
    np.testing.assert_array_equal(moved[:, labels == "A"], 0.0)
    np.testing.assert_array_equal(moved[:, np.flatnonzero(labels == "B")[0]], 0.0)
    assert np.abs(moved[:, np.flatnonzero(labels == "B")[1:]]).max() > 0.0
    assert 0.0 < np.abs(moved[:, labels == "X"]).max() <= 0.01 + 1e-12


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("radii", ["covalent", "ionic"])
def test_no_two_atoms_are_closer_than_asked_for(preset, radii):
    result = designed(min_distance=0.95, distance_radii=radii, preset=preset, n=4)
    table = site_radii(build_template("perovskite"), radii)
    names = build_template("perovskite").combination_names
    for structure, combination in zip(result.structures, result.combinations, strict=True):
        own = table[names.index(combination)]
        sizes = np.array([own[i, site.specie.Z - 1] for i, site in enumerate(structure)])
        first, second, _, distance = structure.get_neighbor_list(6.0)
        assert (distance >= 0.95 * (sizes[first] + sizes[second])).all()


def test_elements_too_large_for_the_range_are_left_out_beforehand():
    template = config(min_distance=0.9, lattice={"a": 4.0, "b": 4.0, "c": 4.0}).resolved_template()
    free = config().resolved_template()
    assert template.allowed.sum() < free.allowed.sum()


def test_one_element_on_all_sites_of_a_raised_template_is_avoided():
    result = designed(
        template="half-heusler",
        symmetry="space-group",
        sites={"A": "Li Na", "B": "Li Na", "X": "O"},
        n=6,
    )
    assert all(len(structure.composition.elements) == 3 for structure in result.structures)


def in_rock_salt(**settings):
    return {"template": "rock-salt", **settings}


REFUSED = {
    "no such parameter": ({"lattice": {"d": 4}}, "lattice.d: there is no such"),
    "range the wrong way": ({"lattice": {"a": (5, 4)}}, "lattice.a .*5.* and .*4.* exclude"),
    "negative length": ({"lattice": {"a": -4}}, "lattice.a = -4"),
    "angle that is none": ({"lattice": {"gamma": 200}}, "lattice.gamma = 200"),
    "three numbers": ({"lattice": {"a": (3, 4, 5)}}, "lattice.a = "),
    "angles without a volume": (
        {"lattice": {"alpha": 30, "beta": 30, "gamma": 150}},
        "lattice.alpha = 30, lattice.beta = 30 and lattice.gamma = 150 exclude each other",
    ),
    "cubic with unequal lengths": (
        {"symmetry": "lattice", "lattice": {"a": (3, 4), "b": (5, 6)}},
        "lattice.a = 3 to 4, lattice.b = 5 to 6 and symmetry = lattice exclude each other",
    ),
    "fixed by symmetry to another angle": (
        in_rock_salt(symmetry="space-group", lattice={"alpha": (70, 80)}),
        "lattice.alpha = 70 to 80 and symmetry = space-group exclude each other",
    ),
    "no symmetric lattice in the ranges": (
        {
            "template": "anatase",
            "symmetry": "lattice",
            "lattice": {"c": (4, 5), "alpha": (140, 150)},
        },
        "lattice.c = 4 to 5, lattice.alpha = 140 to 150 and symmetry = lattice exclude each other",
    ),
    "equivalent sites with different elements": (
        {"symmetry": "space-group", "sites": {"X[0]": "F", "X[1]": "Cl"}},
        r"symmetry = space-group and .*X\[0\], X\[1\].* exclude each other",
    ),
    "elements that raise the symmetry": (
        {
            "template": "half-heusler",
            "symmetry": "space-group",
            "sites": {"A": "Li", "B": "Li", "X": "O"},
        },
        "symmetry = space-group and the elements allowed on .* exclude each other",
    ),
    "frozen and moving": (
        {"frozen": ["X"], "max_displacement": {"X": 0.1}},
        "frozen = X and max_displacement.X = 0.1 exclude each other",
    ),
    "no such frozen site": ({"frozen": ["Q"]}, "frozen: template .* has no site kind 'Q'"),
    "no such moving site": ({"max_displacement": {"X[7]": 0.1}}, "max_displacement: .* 3 sites X"),
    "displacement beyond half": ({"max_displacement": {"X": 0.7}}, "max_displacement.X = 0.7"),
    "distance in a small cell": (
        {"min_distance": 1.0, "lattice": {"a": 2, "b": 2, "c": 2}},
        "min_distance = 1, lattice.a = 2, lattice.b = 2 and lattice.c = 2 exclude each other",
    ),
    "distance of large elements": (
        {"min_distance": 1.0, "lattice": {"a": 4, "b": 4, "c": 4}, "sites": {"A": "Cs", "X": "I"}},
        "min_distance = 1, .* exclude each other",
    ),
    "distance too large": ({"min_distance": 9}, "min_distance = 9"),
    "unknown symmetry": ({"symmetry": "cubic"}, "symmetry = 'cubic'"),
    "unknown radii": ({"distance_radii": "atomic"}, "distance_radii = 'atomic'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_impossible_requests_are_refused_with_their_parts_named(what):
    settings, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        config(**settings).resolved_template()


def test_an_impossible_request_ends_the_command_with_exit_code_2(tmp_path, capsys, monkeypatch):
    from smoacs.cli import run  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    text = 'targets = ["band_gap = 2 ± 0.5"]\nsymmetry = "lattice"\n[lattice]\na = 3\nb = 5\n'
    (tmp_path / "design.toml").write_text(text, encoding="utf-8")
    assert run(["design", "design.toml", "--out", "out"]) == 2
    assert "lattice.a = 3, lattice.b = 5 and symmetry = lattice" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_settings_survive_toml(tmp_path):
    settings = config(
        lattice={"a": (4, 5), "gamma": 90},
        frozen=("A",),
        max_displacement={"X": 0.1},
        min_distance=0.7,
        symmetry="lattice",
    )
    (tmp_path / "config.toml").write_text(settings.to_toml(), encoding="utf-8")
    assert DesignConfig.from_toml(tmp_path / "config.toml") == settings


@pytest.mark.parametrize("at_rest", [False, True])
def test_each_candidate_of_several_seeds_keeps_its_own_template(at_rest):
    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    cesium = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    settings = config(n=5, steps=6, rest="symmetry" if at_rest else "none")
    result = run_search(settings, predictor=Both(), seeds=[rock_salt, cesium])
    sizes = [len(structure) for structure in result.structures]
    assert at_rest or sizes == [8, 2, 8, 2, 8]
    assert [template.n_sites for template in result.templates] == sizes
    assert sorted(result.history["candidate"].unique()) == list(range(5))
    table = judge(
        result.structures,
        settings.wanted,
        predictor=Both(),
        template=result.templates,
    )
    assert table["template_kept"].all()
