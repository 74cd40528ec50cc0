import numpy as np
import pytest
import torch

from smoacs.chemistry import ELEMENTS, goldschmidt, ionic_radius
from smoacs.crystals import Candidates, Crystals, DesignSpace, neighbor_list
from smoacs.evaluation import evaluate
from smoacs.predictors import Density, ToleranceFactor
from smoacs.templates import perovskite
from smoacs.testing import check_predictor
from toys import random_structures

KNOWN = {  # symbols, charges
    "SrTiO3": (("Sr", "Ti", "O"), (2, 4, -2)),
    "BaTiO3": (("Ba", "Ti", "O"), (2, 4, -2)),
    "KMgF3": (("K", "Mg", "F"), (1, 2, -1)),
}


def hard_perovskite(symbols, charges, repeat=1):
    """A one-hot perovskite with the radii that the template gives its ions."""
    template = perovskite(repeat)
    name = "A{:+d} B{:+d} X{:+d}".format(*charges)
    combination = torch.tensor([template.combination_names.index(name)])
    space = DesignSpace.from_templates([template])
    elements = torch.tensor([ELEMENTS.index(symbols["ABX".index(s)]) for s in template.site_labels])
    return Candidates.real(space, combination, elements).hard().detached()


@pytest.mark.parametrize("repeat", [1, 2])
@pytest.mark.parametrize("name", KNOWN)
def test_tolerance_factor_is_goldschmidts(name, repeat):
    symbols, charges = KNOWN[name]
    crystals = hard_perovskite(symbols, charges, repeat)
    value = evaluate(ToleranceFactor(), crystals)["tolerance_factor"][0]
    radii = [ionic_radius(*ion) for ion in zip(symbols, charges, (12, 6, 6), strict=True)]
    assert value == pytest.approx(goldschmidt(*radii), rel=1e-5)


def test_tolerance_factor_of_strontium_titanate_is_near_one():
    value = evaluate(ToleranceFactor(), hard_perovskite(*KNOWN["SrTiO3"]))["tolerance_factor"][0]
    assert value == pytest.approx(1.00, abs=0.01)  # Goldschmidt 1926; Shannon radii 1.002


def test_tolerance_factor_averages_over_the_sites_of_a_role():
    crystals = hard_perovskite(*KNOWN["SrTiO3"], repeat=2)
    radii = crystals.ionic_radii.clone()
    on_a = torch.nonzero(crystals.site_roles == 0).flatten()
    radii[on_a[:4]] += 0.1
    radii[on_a[4:]] -= 0.1
    mixed = evaluate(ToleranceFactor(), crystals.replace(ionic_radii=radii))
    pure = evaluate(ToleranceFactor(), crystals)
    assert mixed["tolerance_factor"] == pytest.approx(pure["tolerance_factor"], rel=1e-6)


def test_no_tolerance_factor_without_roles():
    crystals = Crystals.from_structures(random_structures(0, (2, 3)))
    assert np.isnan(evaluate(ToleranceFactor(), crystals)["tolerance_factor"]).all()
    roles = torch.tensor([0, 1, 0, 1, 2])  # the first crystal has no X
    partly = crystals.replace(ionic_radii=torch.ones(5).double(), site_roles=roles)
    value = evaluate(ToleranceFactor(), partly)["tolerance_factor"]
    assert np.isnan(value[0])
    assert value[1] == pytest.approx(2**-0.5)


def test_density_is_pymatgens():
    structures = random_structures(1, (1, 4, 7))
    values = evaluate(Density(), Crystals.from_structures(structures))
    np.testing.assert_allclose(values["density"], [s.density for s in structures], rtol=1e-6)
    volumes = [s.volume / len(s) for s in structures]
    np.testing.assert_allclose(values["volume_per_atom"], volumes, rtol=1e-12)


def test_density_is_linear_in_the_species():
    crystals = Crystals.from_structures(random_structures(2, (3,)))
    even = torch.full_like(crystals.species_probs, 1 / len(ELEMENTS))
    half = crystals.replace(species_probs=0.5 * (crystals.species_probs + even))
    neighbors = neighbor_list(crystals, 0.0)
    pure, mean, mixed = (
        Density()(c, neighbors)["density"]
        for c in (crystals, crystals.replace(species_probs=even), half)
    )
    torch.testing.assert_close(mixed, 0.5 * (pure + mean))


@pytest.mark.parametrize("descriptor", [Density(), ToleranceFactor()])
def test_kit(descriptor):
    check_predictor(descriptor)
