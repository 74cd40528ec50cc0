"""Searches over several seeds: rounds, what they begin with, and what comes back."""

import copy
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, DesignSpace
from smoacs.evaluation import evaluate_residuals, is_at_rest
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.gradient.known_crystals import KnownCrystal, candidates_at, of_seed
from smoacs.search.gradient.moves import composition_keys
from smoacs.search.seeds import rounds
from smoacs.search.seeds.rounds import ROUND_STEPS, Part, Taken, best_of, next_parts, reduced
from smoacs.templates import reference_structure
from smoacs.templates.from_structure import from_structure
from toys import Stack

SEEDS = [reference_structure(name) for name in ("rutile", "rock-salt", "wurtzite")]
N = 6


def searched(predictor, keeper=None, seeds=SEEDS, **settings):
    wanted = {"targets": ("toy < 0.2",), "n": N, "steps": 60, "rest": "symmetry", "device": "cpu"}
    config = DesignConfig(**{**wanted, "search": "gradient", **settings})
    return run_search(config, predictor=predictor, seeds=seeds, keeper=keeper)


def formulas(result):
    return [s.composition.element_composition.reduced_formula for s in result.structures]


def toys(result):
    cost = Stack()._parts[1].cost
    return [float(np.mean([cost[site.specie.Z - 1] for site in s])) for s in result.structures]


def test_successes_of_all_seeds_are_distinct_and_at_rest():
    predictor = Stack()
    result = searched(predictor)
    assert all(result.met)
    assert len(set(formulas(result))) == N
    assert max(toys(result)) < 0.2
    assert result.predictor_calls == predictor.calls < N * 60
    bare = [structure.copy().remove_oxidation_states() for structure in result.structures]
    assert bool(is_at_rest(*evaluate_residuals(predictor, Crystals.from_structures(bare))).all())
    pairs = zip(result.structures, result.templates, strict=True)
    assert all(len(structure) == template.n_sites for structure, template in pairs)


def test_of_extremes_the_best_of_each_formula_come_back():
    predictor = Stack()
    result = searched(predictor, targets=("minimize toy",), steps=40, seeds=SEEDS[1:])
    assert result.predictor_calls == predictor.calls <= N * 40
    assert len(set(formulas(result))) == N
    assert result.losses == pytest.approx(toys(result), abs=1e-4)
    one_round = searched(Stack(), targets=("minimize toy",), steps=10, seeds=SEEDS[1:])
    assert np.mean(toys(result)) < np.mean(toys(one_round)) - 0.02


def test_no_budget_is_exceeded_where_nothing_succeeds():
    predictor = Stack()
    result = searched(predictor, targets=("toy < -9",), steps=24, n=4)
    assert len(result.structures) == 4
    assert not any(result.met)
    assert result.predictor_calls == predictor.calls <= 4 * 24


def test_seeds_without_a_choice_end_early():
    result = searched(Stack(), seeds=SEEDS[1:2], elements=("Na", "Cl"), targets=("toy < -9",), n=2)
    assert set(formulas(result)) == {"NaCl"}
    assert result.predictor_calls < 2 * 60


def test_an_exhaustive_search_may_find_less_than_its_share():
    settings = {"elements": ("Na", "K", "Cl", "F"), "search": "exhaustive"}
    result = searched(Stack(), seeds=SEEDS[1:], targets=("toy < 9",), **settings)
    assert set(formulas(result)) == {"NaCl", "NaF", "KCl", "KF"}
    assert all(result.met)


class Memory:
    """Keeps every state, as it would come back from a file."""

    due, stop_asked = True, False

    def __init__(self, begin=None):
        self.begin = begin
        self.states = []

    def last(self):
        return copy.deepcopy(self.begin)

    def keep(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        self.states.append(file)


@pytest.mark.parametrize("targets", [("toy < 0.15",), ("minimize toy",)])
def test_going_on_in_any_part_gives_the_same(targets):
    settings = {"targets": targets, "n": 3, "steps": 12, "seeds": SEEDS[:2]}
    keeper = Memory()
    whole = searched(Stack(), keeper, **settings)
    for file in keeper.states[:: max(1, len(keeper.states) // 3)] + keeper.states[-1:]:
        file.seek(0)
        state = torch.load(file, weights_only=True)
        again = searched(Stack(), Memory(state), **settings)
        assert again.structures == whole.structures
        assert again.predictor_calls == whole.predictor_calls
        assert (again.met, again.losses) == (whole.met, whole.losses)
        assert again.history.equals(whole.history)


def crystal(formula):
    return Structure(Lattice.cubic(9), formula.split(), np.zeros((len(formula.split()), 3)))


def result_of(names, met, losses, calls, **search):
    structures = [crystal(name) for name in names]
    return SimpleNamespace(
        structures=structures,
        met=met,
        losses=losses,
        predictor_calls=calls,
        search=search,
        template=object(),
    )


def config_of(**settings):
    wanted = {"targets": ("toy < 0.2",), "n": 6, "steps": 200, "rest": "symmetry"}
    return DesignConfig(**{**wanted, **settings})


def test_first_all_seeds_are_searched_from_themselves_and_anew():
    parts = next_parts(config_of(n=7), 3, [], [])
    assert [(part.template, part.config.n) for part in parts if part.at_seed] == [
        (0, 1),
        (1, 1),
        (2, 1),
    ]
    assert sum(part.config.n for part in parts) == 7
    assert len({part.config.seed for part in parts}) == len(parts)
    for once in ({"rest": "none"}, {"search": "exhaustive"}):
        parts = next_parts(config_of(**once), 3, [], [])
        assert [(part.config.n, part.config.steps, part.at_seed) for part in parts] == [
            (2, 200, False)
        ] * 3
        results = [result_of(["Na Cl"], (False,), (1.0,), 3)] * 3
        assert not next_parts(config_of(**once), 3, parts, results)
    (part,) = next_parts(config_of(), 1, [], [])
    assert (part.config.n, part.config.steps, part.at_seed) == (6, 200, False)


def test_then_those_whose_successes_took_few_calls():
    config = config_of()
    parts = [Part(k, config.model_copy(update={"n": 2}), turn=0) for k in range(3)]
    results = [
        result_of(["Na Cl", "K Cl"], (True, True), (0.0, 0.0), 40),
        result_of(["Na F", "K F"], (False, False), (0.1, 0.1), 100),
        result_of(["Rb F", "Rb Cl"], (True, False), (0.0, 1.0), 100),
    ]
    (part,) = next_parts(config, 3, parts, results)
    assert (part.template, part.config.n, part.config.steps) == (0, 3, ROUND_STEPS)
    assert part.begin == ((0, 0), (0, 1), (0, 0))
    results[0].search = {"relaxed": 5, "given_up": 2, "possible_by_composition": 7}
    (part,) = next_parts(config, 3, parts, results)
    assert part.begin == ((2, 0),) * 3
    results[0].search = {}
    parts.append(Part(0, config.model_copy(update={"n": 2}), turn=1, begin=((0, 0), (0, 1))))
    results.append(result_of(["Rb Br", "Na F"], (True, False), (0.0, 1.0), 40))
    (part,) = next_parts(config, 3, parts, results)
    assert part.begin == ((3, 0), (0, 0))  # nobody went on from the new one yet
    results[1].predictor_calls = 1159
    assert not next_parts(config, 3, parts, results)


def test_of_extremes_and_of_misses_the_best_half_goes_on():
    extreme = config_of(targets=("minimize toy",), n=4)
    parts = [Part(k, extreme, turn=0) for k in range(2)]
    results = [
        result_of(["Na Cl", "K Cl"], (True, True), (0.5, 0.1), 40),
        result_of(["K Cl", "K F"], (True, True), (0.0, 0.2), 40),
    ]
    assert best_of(extreme, results) == [(1, 0), (1, 1), (0, 0), (0, 1)]
    (part,) = next_parts(extreme, 2, parts, results)
    assert part.begin == ((1, 0), (1, 1))
    for result in results:
        result.met = (False, False)
    (part,) = next_parts(config_of(n=4), 2, parts, results)
    assert part.begin == ((1, 0), (1, 1)) * 2


def test_a_formula_of_one_seed_is_taken_on_all():
    cell = crystal("K Mg F F F K Mg F F F")
    result = SimpleNamespace(structures=[cell, cell], met=(True, False))
    index = torch.tensor([[18, 11, 8, 8, 8]])  # Z - 1
    taken = Taken()
    assert taken.keys(5) == frozenset()
    taken.add(result)
    assert taken.keys(5) == set(composition_keys(index))
    assert taken.keys(15) == set(composition_keys(index.repeat(1, 3)))
    assert taken.keys(6) == frozenset()
    taken.add(SimpleNamespace(structures=[crystal("Na Cl")], met=(True,)))
    assert taken.keys(5) == set(composition_keys(index))
    assert taken.keys(6) == set(composition_keys(torch.tensor([[10, 10, 10, 16, 16, 16]])))


def test_every_result_is_looked_at_once_for_what_is_taken(monkeypatch):
    looked_at = []

    def noting(structure):
        looked_at.append(structure)
        return reduced(structure)

    monkeypatch.setattr(rounds, "reduced", noting)
    taken = Taken()
    for k in range(20):
        taken.add(SimpleNamespace(structures=[crystal("Na Cl")], met=(k % 2 == 0,)))
        taken.keys(2)
    assert len(looked_at) == 10


class Rarely(Memory):
    """A keeper for which a checkpoint is never due."""

    due = False


def test_nothing_is_kept_that_is_not_due():
    keeper = Rarely()
    result = searched(Stack(), keeper, n=3, steps=12, seeds=SEEDS[:2])
    assert len(result.structures) == 3
    assert keeper.states == []


def test_crystals_to_begin_with_are_taken_as_they_are():
    template = from_structure(SEEDS[0])
    lattice = Lattice.from_parameters(4.7, 4.5, 3.1, 88, 91, 93)
    shifted = template.frac_coords + 0.01 * np.arange(18).reshape(6, 3)
    species = ["Sn"] * 2 + ["O"] * 4
    known = KnownCrystal(Structure(lattice, species, shifted), template.combination_names[0])
    candidates = candidates_at(DesignSpace.from_templates([template] * 2), template, [known] * 2)
    assert candidates.combination.tolist() == [0, 0]
    for structure in candidates.hard().to_structures():
        assert [site.specie.symbol for site in structure] == species
        assert structure.lattice.parameters == pytest.approx(lattice.parameters, abs=1e-3)
        assert structure.frac_coords == pytest.approx(shifted, abs=1e-5)


def test_a_seed_itself_begins_where_its_elements_are_allowed():
    template = from_structure(SEEDS[0])
    (known,) = of_seed(template, None)
    assert known.structure.composition.reduced_formula == "TiO2"
    assert not of_seed(template, lambda _, elements: np.zeros(len(elements), dtype=bool))
    assert not of_seed(template.with_elements(forbidden={"Ti"}), None)
