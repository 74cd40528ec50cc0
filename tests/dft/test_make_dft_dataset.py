"""The generator of the DFT dataset: what it draws, and how it splits."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition

from smoacs.dft import DftSettings, plan_calculation

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("make", SCRIPTS / "make_dft_dataset.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["make"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(SCRIPTS))
        sys.modules.pop("make", None)


@pytest.fixture(scope="module")
def drawn(script):
    def rest(species, radii, *, boxed):
        return [4.0, 4.1, 4.2] if boxed else [4.1] * 3

    recipes = list(itertools.islice(script.recipes(0), 200))
    return recipes, [script.realise(recipe, rest, 0) for recipe in recipes]


def test_the_same_seed_draws_the_same_crystals(script, drawn):
    again = list(itertools.islice(script.recipes(0), 20))
    assert again == drawn[0][:20]
    assert again != list(itertools.islice(script.recipes(1), 20))


def test_crystals_are_neutral_closed_shells(drawn):
    for sample in drawn[1]:
        assert sample.structure.charge == 0
        calculation = plan_calculation(sample.structure, DftSettings())
        assert not calculation.spin_polarized
        assert not any(set(calculation.symbols) & {"Ce", "Nd", "Gd", "Ni", "Fe"})


def test_geometries(drawn):
    kinds = set()
    for recipe, sample in zip(*drawn, strict=True):
        kinds.add(recipe.kind)
        lengths = np.array(sample.structure.lattice.abc)
        nearest = np.min(sample.structure.distance_matrix + 9.0 * np.eye(5))
        assert nearest > 1.5
        if recipe.kind == "cubic":
            np.testing.assert_allclose(lengths, 4.1 * recipe.scale)
        elif recipe.kind == "strained":
            strain = lengths / recipe.scale / sample.about["rest_length"] - 1.0
            assert 0.0 < np.abs(strain).max() < 0.07
        b_x = [sample.structure.get_distance(1, site) for site in (2, 3, 4)]
        if recipe.kind != "rattled":
            np.testing.assert_allclose(
                b_x, lengths / 2, err_msg="X lies on B's bonds along a, b, c"
            )
    assert kinds == {"cubic", "box", "strained", "rattled"}


def test_the_split_is_by_composition(script, drawn):
    formulas = {sample.structure.composition.reduced_formula for sample in drawn[1]}
    assert all("+" not in formula for formula in formulas)
    parts = [script.split_of(Composition(formula)) for formula in sorted(formulas)]
    assert 0.04 < parts.count("test") / len(parts) < 0.16
    assert 0.04 < parts.count("val") / len(parts) < 0.16
