"""The kit passes a good predictor, and each check finds the mistake that it is for."""

import pytest
import torch

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import SmoacsError
from smoacs.testing import (
    CHECKS,
    SINGLE,
    ModelTolerance,
    PredictorCheckError,
    check_gradient,
    check_predictor,
    default_crystals,
)
from toys import PairEnergy

NAME = "formation_energy"


class Mistaken(PairEnergy):
    """A good predictor whose inputs or outputs go through a mistake."""

    def __init__(self, after=None, before=None):
        super().__init__()
        self.after = after
        self.before = before

    def __call__(self, crystals, neighbors):
        given = self.before(crystals) if self.before else crystals
        energy = super().__call__(given, neighbors)[NAME]
        return {NAME: self.after(energy, c=crystals, n=neighbors) if self.after else energy}


def mutates(crystals):
    crystals.frac_coords.remainder_(1.0)
    return crystals


def first_atoms(crystals):
    starts = torch.cumsum(crystals.counts, 0) - crystals.counts
    return crystals.species_probs[starts] @ torch.arange(98.0).to(crystals.cell)


def entropy(crystals):
    p = crystals.species_probs
    return torch.zeros_like(crystals.volume).index_add(
        0, crystals.system_idx, (p * p.log()).nan_to_num().sum(1)
    )


def hidden_positions(crystals):
    return crystals.replace(frac_coords=crystals.frac_coords.detach())


def edges_everywhere(crystals, neighbors):
    return torch.bincount(crystals.system_idx[neighbors.edge_index[0]], minlength=3) / 1e3


class Noisy:
    """Gives another value at every call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, energy, **_):
        self.calls += 1
        return energy + 1e-3 * self.calls


MISTAKES = {
    "outputs": [
        Mistaken(after=lambda e, **_: e.sum()),
        Mistaken(after=lambda e, **_: e[:, None]),
        Mistaken(after=lambda e, **_: e.round().long()),
        Mistaken(after=lambda e, **_: e * torch.tensor([1, torch.nan, 1])),
    ],
    "purity": [Mistaken(before=mutates), Mistaken(after=Noisy())],
    "batching": [Mistaken(after=lambda e, **_: e - e.mean())],
    "atom_order": [Mistaken(after=lambda e, c, **_: e + 0.1 * first_atoms(c))],
    "system_order": [Mistaken(after=lambda e, **_: e + torch.arange(3))],
    "origin_shift": [
        Mistaken(
            after=lambda e, c, **_: e.index_add(0, c.system_idx, torch.sin(c.frac_coords.sum(1)))
        )
    ],
    "rotation": [
        Mistaken(after=lambda e, c, **_: e + 0.1 * c.cell[:, 0, 0]),
        Mistaken(after=lambda e, c, **_: e + torch.linalg.det(c.cell) / 1e3),  # of one hand only
    ],
    "lattice_translation": [
        Mistaken(after=lambda e, c, **_: e.index_add(0, c.system_idx, c.frac_coords[:, 0] / 10))
    ],
    "cell_choice": [Mistaken(after=lambda e, c, **_: e + c.cell.square().sum((1, 2)) / 1e3)],
    "supercell": [
        Mistaken(after=lambda e, c, **_: e * c.counts),
        Mistaken(after=lambda e, c, **_: e + c.volume / 1e3),
    ],
    "neighbor_skin": [Mistaken(after=lambda e, c, n: e + edges_everywhere(c, n))],
    "gradient": [
        Mistaken(before=hidden_positions),
        Mistaken(after=lambda e, **_: e.detach()),
        Mistaken(after=lambda e, **_: 0 * e),
    ],
    "cutoff": [Mistaken(after=lambda e, c, n: e + edges_everywhere(c, n))],
    "soft_species": [Mistaken(after=lambda e, c, **_: e + entropy(c))],
    "extrapolation": [
        Mistaken(after=lambda e, c, **_: e + (c.volume - 20).sqrt()),
        Mistaken(after=lambda e, c, n: e + 1 / edges_everywhere(c, n)),
    ],
}
FIXED = [(name, mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_good_predictor_passes(check):
    check(PairEnergy())


def test_every_check_is_tested():
    assert set(MISTAKES) == set(CHECKS)


@pytest.mark.parametrize(("name", "predictor"), FIXED, ids=[name for name, _ in FIXED])
def test_mistake_is_found(name, predictor):
    with pytest.raises(PredictorCheckError, match=f"check '{name}'") as caught:
        CHECKS[name](predictor)
    assert caught.value.check == name
    assert caught.value.subject
    assert caught.value.expectation
    assert isinstance(caught.value, SmoacsError)
    assert isinstance(caught.value, AssertionError)


def test_check_predictor_stops_at_the_first_failure():
    check_predictor(PairEnergy())
    with pytest.raises(PredictorCheckError, match="supercell"):
        check_predictor(MISTAKES["supercell"][0])


def test_wrong_unit():
    predictor = PairEnergy()
    predictor.properties = {NAME: "kJ/mol"}
    with pytest.raises(PredictorCheckError, match=r"is 'kJ/mol', .*'eV/atom'"):
        check_predictor(predictor)


def test_missing_property():
    predictor = PairEnergy()
    predictor.properties = {NAME: "eV/atom", "charm": "1"}
    with pytest.raises(PredictorCheckError, match="charm among the values returned is False"):
        check_predictor(predictor)


def test_unknown_element():
    predictor = PairEnergy()
    predictor.elements = frozenset({"Na", "Xx"})
    with pytest.raises(PredictorCheckError, match="'Xx'"):
        CHECKS["outputs"](predictor, default_crystals())


def test_message_says_what_came_and_what_should():
    with pytest.raises(PredictorCheckError, match=r"formation_energy of crystal 0 is .*, but must"):
        CHECKS["supercell"](MISTAKES["supercell"][0])


def test_single_precision_is_recognised():
    class Single(PairEnergy):
        def __call__(self, crystals, neighbors):
            return super().__call__(crystals.to("cpu", torch.float32), neighbors)

    check_predictor(Single())
    with pytest.raises(PredictorCheckError):
        check_predictor(
            Single(), tolerances=ModelTolerance(value=0, slope=0, slope_noise=0, steps=(1,))
        )


def test_own_crystals_and_tolerances():
    crystals = default_crystals().select(torch.tensor([1]))
    check_predictor(PairEnergy(), crystals=crystals, tolerances=SINGLE)


def test_small_gradient_is_reported_in_the_propertys_unit():
    with pytest.raises(PredictorCheckError, match=r"largest slope .* at least 0\.0005"):
        check_gradient(Mistaken(after=lambda e, **_: 1e-6 * e))


def test_default_crystals_have_no_symmetry_and_ordinary_distances():
    crystals = default_crystals()
    neighbors = neighbor_list(crystals, 3.5)
    distances = neighbors.vectors(crystals).norm(dim=1)
    assert distances.min() > 1.5
    assert (distances.sort().values.diff() > 1e-6).all()
    assert isinstance(crystals, Crystals)


def test_default_crystals_use_the_elements_given():
    crystals = default_crystals(frozenset({"Na", "Cl", "O"}))
    assert set(crystals.species_probs.argmax(1).tolist()) <= {7, 10, 16}
