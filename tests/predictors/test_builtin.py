import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import BUILTIN, builtin_names, for_properties, load_predictor
from smoacs.predictors.builtin import formula_hash, load_network
from smoacs.templates import perovskite
from smoacs.testing import CHECKS


@pytest.fixture(scope="module")
def shipped():
    return load_network(BUILTIN)


@pytest.fixture(scope="module")
def shipped_in_double():
    predictor = load_network(BUILTIN)
    predictor.network.double()
    return predictor


@pytest.mark.parametrize("check", [c for name, c in CHECKS.items() if name != "gradient"])
def test_kit(shipped, check):
    check(shipped)


def test_gradient(shipped_in_double):
    # The weights fold the landscape at 0.001 Å: too finely for differences in single precision.
    CHECKS["gradient"](shipped_in_double)


def test_what_it_says_of_itself(shipped):
    header = shipped.header
    assert header.name
    assert header.training_data
    assert {"formation_energy", "band_gap", "energy_above_hull"} <= set(shipped.properties)
    assert set(header.metrics) <= set(header.properties)
    assert all(errors["mae"] > 0 for errors in header.metrics.values())
    assert {"Sr", "Ti", "O"} <= shipped.elements <= set(ELEMENTS)
    assert BUILTIN in builtin_names()


def strontium_titanate(length=3.905):
    structure = perovskite().to_structure(["Sr", "Ti", "O", "O", "O"])
    structure.scale_lattice(length**3)
    return structure


def values_of(predictor, *structures):
    return evaluate(predictor, Crystals.from_structures(structures))


def test_strontium_titanate(shipped):
    values = values_of(shipped, strontium_titanate())
    # Materials Project (PBE), as in its 2018 data: -3.55 eV/atom and 1.8 eV.
    assert values["formation_energy"][0] == pytest.approx(-3.55, abs=0.15)
    assert 1.0 < values["band_gap"][0] < 2.6
    assert values["energy_above_hull"][0] < 0.15


def test_formation_energy_is_lowest_near_the_real_lattice(shipped):
    lengths = np.linspace(3.3, 4.8, 16)
    energies = values_of(shipped, *[strontium_titanate(a) for a in lengths])["formation_energy"]
    assert 3.7 <= lengths[energies.argmin()] <= 4.1
    assert energies[0] > energies.min() + 0.2
    assert energies[-1] > energies.min() + 0.2


def test_metal_has_no_gap(shipped):
    copper = Structure(3.61 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), ["Cu"], [[0, 0, 0]])
    assert values_of(shipped, copper)["band_gap"][0] < 0.3


def test_formula_hash_is_stable():
    assert formula_hash("SrTiO3") == 1561706175336985250
    assert formula_hash("SrTiO3") != formula_hash("CaTiO3")
    assert 0 <= formula_hash("") < 2**63


def test_known_formulas(shipped):
    assert shipped.knows_formula("SrTiO3")
    assert shipped.knows_formula("NaCl")
    assert not shipped.knows_formula("Xe3Rn5")
    assert not shipped.knows_formula("")


def test_weights_take_no_gradient(shipped):
    assert not any(p.requires_grad for p in shipped.network.parameters())
    assert not shipped.network.training


def test_default_predictor_brings_the_descriptors():
    predictor = load_predictor(device="cpu")
    assert {"band_gap", "tolerance_factor", "density", "volume_per_atom"} <= set(
        predictor.properties
    )
    structure = strontium_titanate()
    assert values_of(predictor, structure)["density"][0] == pytest.approx(structure.density, 1e-4)
    assert predictor.elements == load_network(BUILTIN).elements


def test_values_come_in_the_precision_of_the_weights(shipped, shipped_in_double):
    single = values_of(shipped, strontium_titanate())
    double = values_of(shipped_in_double, strontium_titanate())
    for name, value in single.items():
        assert value[0] == pytest.approx(double[name][0], rel=1e-5, abs=1e-4)
    assert shipped.network.embedding.dtype == torch.float32


def test_what_is_not_wanted_is_left_out(shipped):
    structure = perovskite().to_structure(["Sr", "Ti", "O", "O", "O"])
    crystals = Crystals.from_structures([structure])
    whole = evaluate(shipped, crystals)
    for names in ({"band_gap"}, {"bulk_modulus", "formation_energy"}):
        values = evaluate(for_properties(shipped, names), crystals)
        assert set(values) == names
        for name, value in values.items():
            assert value == pytest.approx(whole[name], rel=1e-6)
    both = evaluate(for_properties(load_predictor(), {"band_gap", "band_gap.std"}), crystals)
    assert both["band_gap.std"] == pytest.approx(whole["band_gap.std"], rel=1e-6)
    assert "density" not in both
    assert "band_gap.std" in evaluate(shipped, crystals), "the whole one stays as it is"
