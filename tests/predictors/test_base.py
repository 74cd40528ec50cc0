import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smoacs.crystals import Crystals, chunk_systems
from smoacs.errors import InputError
from smoacs.evaluation import evaluate, threads
from smoacs.predictors import CombinedPredictor, Density, Predictor, ToleranceFactor
from toys import PairEnergy, random_structures


class Constant:
    """The same numbers for every crystal."""

    cutoff = 2.5
    elements = frozenset({"Na", "K", "O"})

    def __init__(self, unit="1", **values):
        self.values = values
        self.properties = dict.fromkeys(values, unit)

    def __call__(self, crystals, neighbors):
        del neighbors
        return {name: 0 * crystals.volume + value for name, value in self.values.items()}


@pytest.fixture
def crystals():
    return Crystals.from_structures(random_structures(0, (3, 1, 4, 2, 6)))


def test_combination_has_the_properties_of_all(crystals):
    both = CombinedPredictor([PairEnergy(), Density()])
    assert both.properties == {
        "formation_energy": "eV/atom",
        "density": "g/cm^3",
        "volume_per_atom": "Å^3",
    }
    values = evaluate(both, crystals)
    assert list(values) == list(both.properties)
    np.testing.assert_array_equal(
        values["formation_energy"], evaluate(PairEnergy(), crystals)["formation_energy"]
    )


def test_combination_takes_the_largest_cutoff_and_common_elements():
    both = CombinedPredictor([PairEnergy(), Constant(charm=1.0)])
    assert both.cutoff == 4.0
    assert both.elements == {"Na", "K", "O"}


def test_first_part_is_preferred(crystals):
    both = CombinedPredictor([Constant(charm=1.0), Constant(charm=2.0, beauty=3.0)])
    values = evaluate(both, crystals)
    assert (values["charm"] == 1).all()
    assert (values["beauty"] == 3).all()


def test_larger_list_of_the_combination_changes_nothing(crystals):
    alone = evaluate(Constant(charm=1.0), crystals)
    both = evaluate(CombinedPredictor([Constant(charm=1.0), PairEnergy()]), crystals)
    np.testing.assert_array_equal(alone["charm"], both["charm"])


def test_units_must_agree():
    with pytest.raises(InputError, match="two predictors give charm, in 1 and in eV"):
        CombinedPredictor([Constant(charm=1.0), Constant(unit="eV", charm=1.0)])


def test_protocol():
    for predictor in (PairEnergy(), Density(), ToleranceFactor(), CombinedPredictor([Density()])):
        assert isinstance(predictor, Predictor)


def test_chunks_give_what_single_crystals_give(crystals, monkeypatch):
    whole = evaluate(PairEnergy(), crystals)["formation_energy"]
    monkeypatch.setattr(threads, "ATOMS_PER_CHUNK", (4, 4))
    chunked = evaluate(PairEnergy(), crystals)["formation_energy"]
    single = [
        evaluate(PairEnergy(), crystals.select(torch.tensor([b])))["formation_energy"][0]
        for b in range(crystals.n_systems)
    ]
    np.testing.assert_allclose(whole, single, rtol=1e-12)
    np.testing.assert_allclose(chunked, single, rtol=1e-12)


def test_values_are_as_users_see_them(crystals):
    values = evaluate(Constant(band_gap=-0.4, charm=-0.4), crystals)
    assert (values["band_gap"] == 0).all()
    assert (values["charm"] == -0.4).all()
    assert values["charm"].dtype == np.float64


@pytest.mark.parametrize("field", ["frac_coords", "cell", "species_probs"])
def test_crystal_that_is_not_finite_has_no_values(crystals, field):
    broken = getattr(crystals, field).clone()
    broken[3] = torch.inf
    bad = 3 if field == "cell" else 1
    values = evaluate(Constant(charm=1.0), crystals.replace(**{field: broken}))["charm"]
    assert np.isnan(values).tolist() == [b == bad for b in range(crystals.n_systems)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 100))
def test_every_crystal_is_in_one_chunk(counts, limit):
    chunks = chunk_systems(torch.tensor(counts), limit)
    assert torch.cat(chunks).tolist() == list(range(len(counts)))
    sizes = [sum(counts[b] for b in chunk) for chunk in chunks]
    assert all(len(chunk) > 0 for chunk in chunks)
    assert max(sizes) < limit + max(counts)
