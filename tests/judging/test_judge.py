"""The judge on crystals made by hand, with a predictor that everyone can check."""

import itertools
import math
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.judging import RuleCheck, Rules, judge, min_distance
from smoacs.predictors import Predictor
from smoacs.targets import Target
from smoacs.templates import Template, perovskite

SITES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
SRTIO3 = ("Sr", "Ti", "O", "O", "O")
BOX = Target.parse("3.0 <= lattice_a <= 5.0")


class LatticePredictor:
    """Property `lattice_a`: the first lattice length, and the tolerance factor of A, B and X."""

    properties: Mapping[str, str] = {"lattice_a": "Å", "tolerance_factor": "1"}
    cutoff = 0.0
    elements = frozenset(ELEMENTS) - {"U"}

    def __call__(self, crystals: Crystals, neighbors: object) -> dict[str, Tensor]:
        del neighbors
        length = crystals.cell[:, 0].norm(dim=1)
        if crystals.ionic_radii is None or crystals.site_roles is None:
            return {"lattice_a": length, "tolerance_factor": torch.full_like(length, torch.nan)}
        a, b, x = (
            torch.stack([self._mean(crystals, system, role) for system in range(len(length))])
            for role in range(3)
        )
        return {"lattice_a": length, "tolerance_factor": (a + x) / (math.sqrt(2) * (b + x))}

    @staticmethod
    def _mean(crystals: Crystals, system: int, role: int) -> Tensor:
        assert crystals.ionic_radii is not None
        chosen = (crystals.system_idx == system) & (crystals.site_roles == role)
        return crystals.ionic_radii[chosen].double().mean()


@pytest.fixture
def predictor() -> Predictor:
    return LatticePredictor()


@pytest.fixture(scope="module")
def template() -> Template:
    return perovskite()


def crystal(
    species: tuple[str, ...] = SRTIO3,
    lengths: tuple[float, float, float] = (3.905, 3.905, 3.905),
    angles: tuple[float, float, float] = (90, 90, 90),
    coords: object = None,
) -> Structure:
    lattice = Lattice.from_parameters(*lengths, *angles)
    return Structure(lattice, species, np.array(SITES if coords is None else coords, dtype=float))


def moved(site: int, axis: int, by: float) -> Structure:
    coords = np.array(SITES, dtype=float)
    coords[site, axis] += by
    return crystal(coords=coords)


def permuted() -> Structure:
    order = [3, 1, 0, 4, 2]
    return crystal(tuple(SRTIO3[i] for i in order), coords=np.array(SITES)[order])


def shifted(by: tuple[float, float, float] = (0.37, 0.81, 0.5)) -> Structure:
    return crystal(coords=(np.array(SITES) + by) % 1)


def test_srtio3_succeeds_with_every_column(predictor, template):
    known = {"SrTiO3"}
    row = judge(
        [crystal()],
        [BOX],
        predictor=predictor,
        template=template,
        known_formulas=known.__contains__,
    ).iloc[0]
    assert row["success"]
    assert row["formula"] == "SrTiO3"
    assert row["n_atoms"] == 5
    assert row["lattice_a"] == pytest.approx(3.905)
    assert row["lattice_a_met"]
    assert row["neutral"]
    assert row["template_kept"]
    assert row["min_distance"] == pytest.approx(3.905 / 2)
    assert row["space_group"] == "Pm-3m"
    assert [row[name] for name in ("a", "b", "c")] == pytest.approx([3.905] * 3)
    assert [row[name] for name in ("alpha", "beta", "gamma")] == pytest.approx([90] * 3)
    assert row["oxidation_states"] == "Sr+2 Ti+4 O-2"
    assert row["unique"]
    assert not row["novel"]


# Shannon's ionic radii: Sr2+ XII 1.44, Ti4+ VI 0.605, O2- VI 1.40 Å (Acta Cryst. A32, 751, 1976).
SRTIO3_FACTOR = (1.44 + 1.40) / (math.sqrt(2) * (0.605 + 1.40))


@pytest.mark.parametrize(
    ("structure", "kept"),
    [
        (crystal(), True),
        (permuted(), True),
        (shifted(), True),
        (moved(2, 0, 0.14), True),
        (moved(2, 0, 0.16), False),
        (moved(0, 1, -0.16), False),
        (crystal(angles=(90, 90, 86)), True),
        (crystal(angles=(90, 80, 90)), False),
        (crystal(lengths=(3.6, 3.8, 4.9)), True),
        (crystal(("Sr2+", "Ti4+", "O2-", "O2-", "O2-")), True),
    ],
)
def test_template_kept(structure, kept, predictor, template):
    row = judge([structure], [BOX], predictor=predictor, template=template).iloc[0]
    assert bool(row["template_kept"]) is kept
    assert bool(row["success"]) is kept
    if kept:
        assert row["tolerance_factor"] == pytest.approx(SRTIO3_FACTOR, abs=2e-3)


def test_atoms_of_the_wrong_kind_keep_the_sites_but_have_no_tolerance_factor(predictor, template):
    swapped = crystal(("Ti", "Sr", "O", "O", "O"))
    row = judge([swapped], [BOX], predictor=predictor, template=template).iloc[0]
    assert row["template_kept"]
    assert math.isnan(row["tolerance_factor"])


def test_a_crystal_of_another_size_has_left_the_template(predictor, template):
    rocksalt = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    row = judge([rocksalt], [BOX], predictor=predictor, template=template).iloc[0]
    assert not row["template_kept"]
    assert not row["success"]


def test_a_shuffled_and_shifted_supercell_keeps_its_template(predictor):
    generator = np.random.default_rng(0)
    template = perovskite(2)
    species = [{"A": "Sr", "B": "Ti", "X": "O"}[label] for label in template.site_labels]
    order = generator.permutation(template.n_sites)
    shaken = template.frac_coords + generator.uniform(-0.04, 0.04, (template.n_sites, 3))
    cell = Structure(Lattice.cubic(7.81), [species[i] for i in order], (shaken[order] + 0.3) % 1.0)
    row = judge([cell], [], predictor=predictor, template=template).iloc[0]
    assert row["template_kept"]
    assert row["tolerance_factor"] == pytest.approx(SRTIO3_FACTOR, abs=2e-3)


NAN = float("nan")
BROKEN = {
    "NaN coordinates": lambda: crystal(coords=[(NAN, 0, 0), *SITES[1:]]),
    "infinite coordinates": lambda: crystal(coords=[(math.inf, 0, 0), *SITES[1:]]),
    "NaN lattice": lambda: Structure(Lattice(np.full((3, 3), NAN)), SRTIO3, SITES),
    "no lattice": lambda: Structure(Lattice(np.zeros((3, 3))), SRTIO3, SITES),
    "flat lattice": lambda: crystal(angles=(30, 30, 60)),
    "atoms on one spot": lambda: crystal(coords=[SITES[0]] * 5),
    "images on one spot": lambda: Structure(Lattice.orthorhombic(0.3, 20, 20), ["Sr"], [[0, 0, 0]]),
    "no atoms": lambda: Structure(Lattice.cubic(4), [], []),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_structure_fails_and_does_not_disturb_the_others(name, predictor, template):
    table = judge(
        [crystal(), BROKEN[name](), crystal()], [BOX], predictor=predictor, template=template
    )
    assert table["success"].tolist() == [True, False, True]
    assert table["lattice_a"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("species", "neutral", "words"),
    [
        (("Sr", "Ti", "O", "O", "O"), True, "Sr+2 Ti+4 O-2"),
        (("Na", "Mg", "O", "O", "O"), False, ""),
        (("Sr2+", "Ti4+", "O2-", "O2-", "O2-"), True, "Sr+2 Ti+4 O-2"),
        (("Sr2+", "Ti3+", "O2-", "O2-", "O2-"), False, "Sr+2 Ti+3 O-2"),
        (("Sr3+", "Ti3+", "O2-", "O2-", "O2-"), False, "Sr+3 Ti+3 O-2"),
        (("He", "Ti", "O", "O", "O"), False, ""),
    ],
)
def test_neutrality_of_composition_and_of_stated_charges(species, neutral, words, predictor):
    row = judge([crystal(species)], [], predictor=predictor).iloc[0]
    assert bool(row["neutral"]) is neutral
    assert bool(row["success"]) is neutral
    assert row["oxidation_states"] == words


def test_mixed_valence_is_neutral_and_said(predictor):
    coords = np.random.default_rng(1).uniform(size=(7, 3))
    magnetite = Structure(Lattice.cubic(9.0), ["Fe"] * 3 + ["O"] * 4, coords)
    row = judge([magnetite], [], predictor=predictor).iloc[0]
    assert row["neutral"]
    assert row["oxidation_states"] == "Fe+2(1) Fe+3(2) O-2"


def test_unique_is_the_first_success_of_a_formula(predictor):
    targets = [Target.parse("lattice_a < 4")]
    long, short = crystal(lengths=(4.1, 4, 4)), crystal()
    double = crystal().make_supercell([1, 1, 2], in_place=False)
    other = crystal(("K", "Mg", "F", "F", "F"))
    table = judge([long, short, double, other, short], targets, predictor=predictor)
    assert table["success"].tolist() == [False, True, True, True, True]
    assert table["unique"].tolist() == [False, True, False, True, False]


def test_two_targets_on_one_property_must_both_be_met(predictor):
    targets = [Target.parse("lattice_a > 3"), Target.parse("lattice_a < 3.9")]
    table = judge([crystal(), crystal(lengths=(3.8, 4, 4))], targets, predictor=predictor)
    assert table["lattice_a_met"].tolist() == [False, True]


def test_elements_unknown_to_the_predictor_have_no_properties(predictor):
    table = judge([crystal(("Sr", "U", "O", "O", "O"))], [BOX], predictor=predictor)
    assert math.isnan(table["lattice_a"][0])
    assert not table["success"][0]


def test_distance_to_its_own_image_counts_in_a_skewed_cell(predictor):
    lattice = Lattice([[4, 0, 0], [7.9, 1, 0], [0, 0, 5]])  # b - 2a = (-0.1, 1, 0)
    row = judge([Structure(lattice, ["Sr"], [[0.1, 0.2, 0.3]])], [], predictor=predictor).iloc[0]
    assert row["min_distance"] == pytest.approx(math.hypot(0.1, 1.0))


def test_a_property_that_the_predictor_lacks_is_refused(predictor):
    with pytest.raises(InputError, match=r"no property 'band_gap'.*lattice_a"):
        judge([crystal()], [Target.parse("band_gap < 1")], predictor=predictor)


def test_no_structures_give_an_empty_table(predictor, template):
    table = judge([], [BOX], predictor=predictor, template=template)
    assert len(table) == 0
    assert {"success", "lattice_a_met", "template_kept", "unique"} <= set(table.columns)


def test_distances_of_a_crystal_are_found_once_and_in_memory_that_grows_with_its_atoms(
    predictor, template, monkeypatch
):
    looked_at = []

    def noting(structure):
        looked_at.append(structure)
        return min_distance(structure)

    for module in ("table", "criteria"):
        monkeypatch.setattr(f"smoacs.judging.{module}.min_distance", noting)
    rules = RuleCheck(Rules.from_settings({"min_distance": 0.3}), template)
    crystals = [crystal(), moved(0, 0, 0.01)]
    judge(crystals, [BOX], predictor=predictor, template=template, rules=rules)
    assert len(looked_at) == 2
    large = crystal() * (9, 9, 9)
    tracemalloc.start()
    shortest = min_distance(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shortest == pytest.approx(3.905 / 2)
    assert peak < 200 * 24 * len(large)  # all pairs of 3,645 atoms are 106 MB


@pytest.mark.parametrize("n_atoms", [1, 2, 7])
def test_the_shortest_distance_is_that_of_all_images(n_atoms):
    rng = np.random.default_rng(n_atoms)
    for _ in range(20):
        matrix = rng.normal(size=(3, 3)) * rng.uniform(1, 9, size=(3, 1))
        structure = Structure(Lattice(matrix), ["O"] * n_atoms, rng.normal(size=(n_atoms, 3)))
        if abs(np.linalg.det(matrix)) < 0.2 * n_atoms:
            continue
        reduced = structure.get_reduced_structure("niggli").lattice.matrix
        images = np.array(list(itertools.product(range(-2, 3), repeat=3))) @ reduced
        frac = structure.cart_coords @ np.linalg.inv(reduced)
        points = (frac - np.floor(frac)) @ reduced
        apart = np.linalg.norm(points[:, None, None] - points[None, :, None] + images, axis=-1)
        assert min_distance(structure) == pytest.approx(apart[apart > 1e-12].min())


def test_parts_of_a_long_list_are_judged_as_the_whole_is(predictor, template, monkeypatch):
    crystals = [crystal(), moved(0, 0, 0.3), permuted(), crystal(lengths=(2, 4, 4)), crystal()] * 2
    settings = {"predictor": predictor, "template": [template] * len(crystals)}
    whole = judge(crystals, [BOX], **settings)
    monkeypatch.setattr("smoacs.judging.table.AT_ONCE", 3)
    told = []
    parts = judge(crystals, [BOX], progress=told.append, **settings)
    pd.testing.assert_frame_equal(whole, parts)
    assert told == [3, 6, 9, 10]
    assert parts["unique"].sum() == 1
    assert judge([], [BOX], predictor=predictor, template=template).empty
