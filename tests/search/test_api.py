import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import oxidation_table
from smoacs.crystals import Candidates, Crystals, DesignSpace
from smoacs.errors import InputError
from smoacs.evaluation import evaluate
from smoacs.request import DesignConfig
from smoacs.search import ProgressEvent, run_search
from smoacs.templates import perovskite
from toys import Bowl

TASK = ("band_gap = 2.5 ± 0.2", "formation_energy < -0.5", "0.8 <= tolerance_factor <= 1.0")


def config(**settings):
    wanted = {"targets": TASK, "n": 6, "steps": 10, "device": "cpu", "rest": "symmetry"}
    return DesignConfig(**{**wanted, **settings})


def toy_config(**settings):
    return config(**{"targets": ("toy < 0.3",), "rest": None, **settings})


def same(first, second):
    pairs = zip(first.structures, second.structures, strict=True)
    return [
        a.species == b.species
        and np.array_equal(a.frac_coords, b.frac_coords)
        and np.array_equal(a.lattice.matrix, b.lattice.matrix)
        for a, b in pairs
    ]


@pytest.fixture(scope="module")
def result():
    """A design with the shipped weights."""
    return run_search(config())


@pytest.fixture
def strontium_titanate(tmp_path):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    structure = Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], sites)
    path = tmp_path / "SrTiO3.cif"
    structure.to(str(path))
    return path


def test_what_comes_back(result):
    assert result.config == config(rest="symmetry")  # as decided
    assert len(result.structures) == len(result.combinations) == 6
    assert result.steps == 10
    assert result.timings["total"] >= result.timings["predictor"] > 0
    parts = sum(value for name, value in result.timings.items() if name != "total")
    assert parts == pytest.approx(result.timings["total"])


def test_history_has_every_step_of_every_candidate(result):
    history = result.history
    assert list(history.columns) == [
        "step",
        "candidate",
        "band_gap",
        "formation_energy",
        "tolerance_factor",
    ]
    assert len(history) == 6 * 10
    assert sorted(set(history["step"])) == list(range(1, 11))
    assert history.groupby("step")["candidate"].apply(list).tolist() == [list(range(6))] * 10
    assert history["band_gap"].min() >= 0
    assert history.notna().all().all()


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("repeat", [1, 2])
def test_every_candidate_is_neutral_under_its_combination(preset, repeat):
    result = run_search(toy_config(preset=preset, repeat=repeat, n=5), predictor=Bowl())
    names = result.template.combination_names
    table = oxidation_table("common" if preset == "paper" else "icsd")
    for structure, name in zip(result.structures, result.combinations, strict=True):
        charges = [int(site.specie.oxi_state) for site in structure]
        assert charges == result.template.combinations[names.index(name)].tolist()
        assert structure.charge == sum(charges) == 0
        assert all(
            q in table[site.specie.symbol] for site, q in zip(structure, charges, strict=True)
        )
    lengths = np.array([s.lattice.abc for s in result.structures])
    assert lengths.min() >= 2 * repeat - 1e-4
    assert lengths.max() <= 10 * repeat + 1e-4
    assert all(s.lattice.angles == pytest.approx((90, 90, 90)) for s in result.structures)
    box = np.array([s.frac_coords for s in result.structures]) - result.template.frac_coords
    assert np.abs(box).max() <= (0.15 if repeat == 1 else 0.05) + 1e-6


def test_same_seed_same_structures(result):
    assert all(same(result, run_search(config())))
    other = run_search(config(seed=1))
    assert not any(same(result, other))


def test_batch_size_does_not_matter():
    whole = run_search(toy_config(n=7), predictor=Bowl())
    chunked = run_search(toy_config(n=7, batch_size=2), predictor=Bowl())
    assert all(same(whole, chunked))


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_free_template_from_a_file(strontium_titanate, preset):
    result = run_search(
        toy_config(template=str(strontium_titanate), preset=preset), predictor=Bowl()
    )
    assert all(len(s) == 5 and s.charge == 0 for s in result.structures)
    assert all(s.volume > 5 for s in result.structures)
    assert set(result.combinations) == {"Sr+2 Ti+4 O-2"}


def test_free_template_with_the_shipped_weights(strontium_titanate):
    targets = ("band_gap = 2.5 ± 0.2", "formation_energy < -0.5")
    settings = {"targets": targets, "n": 3, "steps": 6, "rest": "none"}
    result = run_search(config(template=str(strontium_titanate), **settings))
    assert result.history.notna().all().all()
    angles = np.array([s.lattice.angles for s in result.structures])
    assert (angles != 90).any()  # right angles are no trap


def test_calls_are_counted():
    toy = Bowl()
    result = run_search(toy_config(preset="paper", n=4, steps=7), predictor=toy)
    assert result.predictor_calls == toy.calls == 4 * 7
    result = run_search(toy_config(n=4, steps=30), predictor=Bowl())
    assert result.predictor_calls <= 4 * 30  # resting candidates ask nothing
    assert result.steps == 30


def test_progress_is_told_after_every_step():
    events = []
    run_search(toy_config(), predictor=Bowl(), progress=events.append)
    assert all(isinstance(event, ProgressEvent) for event in events)
    assert [event.step for event in events] == list(range(1, 11))
    assert {event.n_steps for event in events} == {10}
    assert {event.stage for event in events} == {"annealing", "finishing"}
    assert all(0 <= event.success_rate <= 1 for event in events)


def at_random(n):
    """Crystals as a design starts, made discrete at once."""
    space = DesignSpace.from_templates([perovskite().with_elements()] * n)
    generator = torch.Generator().manual_seed(0)
    soft = Candidates.start(space, generator, score_noise=1.0, combination_noise=1.0)
    soft.harden()
    return soft.hard()


def test_known_optimum_is_reached_and_random_search_is_beaten():
    toy = Bowl()
    lowest = toy.lowest(perovskite().with_elements())
    limit = lowest + 0.05
    result = run_search(toy_config(targets=(f"toy < {limit}",), n=16, steps=120), predictor=toy)
    found = evaluate(toy, Crystals.from_structures(result.structures))["toy"]
    assert found.min() >= lowest
    assert (found < limit).mean() >= 0.75
    drawn = evaluate(toy, at_random(16 * 120))["toy"]  # the same number of calls
    assert (drawn < limit).mean() < 0.01
    assert np.median(found) < drawn.min()


def test_found_compositions_differ():
    result = run_search(toy_config(targets=("toy < 0.25",), n=16, steps=100), predictor=Bowl())
    values = evaluate(Bowl(), Crystals.from_structures(result.structures))["toy"]
    formulas = {
        s.composition.reduced_formula
        for s, value in zip(result.structures, values, strict=True)
        if value < 0.25
    }
    assert len(formulas) >= 10


def test_extremes_are_pursued():
    result = run_search(toy_config(targets=("minimize toy",), n=8, steps=60), predictor=Bowl())
    found = evaluate(Bowl(), Crystals.from_structures(result.structures))["toy"]
    assert np.median(found) < evaluate(Bowl(), at_random(500))["toy"].min()


class MyPredictor:
    """What a user may write: nothing but the protocol."""

    properties = {"mean_number": "1"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset({"Na", "K", "Mg", "Ca", "F", "Cl", "Ti", "Sr", "O"})

    def __call__(self, crystals, neighbors):
        del neighbors
        numbers = torch.arange(1, 99).to(crystals.cell)
        site = crystals.species_probs @ numbers
        total = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        return {"mean_number": total / crystals.counts}


def test_users_own_predictor():
    result = run_search(
        config(targets=("mean_number < 11",), steps=40, rest="none"), predictor=MyPredictor()
    )
    assert result.history.columns[-1] == "mean_number"
    symbols = {site.specie.symbol for s in result.structures for site in s}
    assert symbols <= MyPredictor.elements
    numbers = [np.mean(s.atomic_numbers) for s in result.structures]
    assert min(numbers) < 11


def test_elements_asked_for():
    elements = ("K", "Na", "Mg", "Zn", "F")
    result = run_search(toy_config(elements=elements), predictor=Bowl())
    assert {site.specie.symbol for s in result.structures for site in s} <= set(elements)
    result = run_search(toy_config(forbidden=("F", "Cl", "Br")), predictor=Bowl())
    assert not {site.specie.symbol for s in result.structures for site in s} & {"F", "Cl", "Br"}


def test_property_that_the_predictor_lacks():
    with pytest.raises(InputError, match=r'unknown property "bulk_modulus"; known are .*toy'):
        run_search(config(targets=("bulk_modulus > 100",)), predictor=Bowl())


def test_tolerance_factor_needs_a_template_with_roles(strontium_titanate):
    with pytest.raises(InputError, match="tolerance_factor"):
        run_search(
            config(template=str(strontium_titanate), targets=("0.8 <= tolerance_factor <= 1",))
        )


def test_elements_that_the_predictor_does_not_know():
    with pytest.raises(InputError, match="no element is left"):
        run_search(
            toy_config(targets=("mean_number < 11",), elements=("Cs", "Pb", "I")),
            predictor=MyPredictor(),
        )


def test_fewest_candidates_and_steps():
    result = run_search(toy_config(n=1, steps=1), predictor=Bowl())
    assert len(result.structures) == 1
    assert result.steps == 1
