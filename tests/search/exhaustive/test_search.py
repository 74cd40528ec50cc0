"""The exhaustive search, against an energy and properties that are known in closed form."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.evaluation import GPA
from smoacs.judging import judge
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.request import DesignConfig
from smoacs.runs import design, run_design, save_run, summary_text
from smoacs.runs.tables import rank_table, summarise
from smoacs.search import run_search
from smoacs.search.exhaustive.decorations import n_fillings
from smoacs.search.plan import plan_search
from smoacs.search.settings import DEFAULT
from toys import Conflict

SPACE = ("K", "Rb", "Na", "Mg", "Ca", "Zn", "F", "Cl", "Br")


class Springs:
    """Rest at a volume that the elements add up to; a gap that falls with the volume."""

    properties = {"formation_energy": "eV/atom", "band_gap": "eV"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset(SPACE)
    volume_of = 8.0 + 0.37 * torch.arange(1, 99)
    """Å³ of an atom of each element."""

    def __init__(self):
        self.calls = 0

    def __call__(self, crystals, neighbors):
        del neighbors
        self.calls += crystals.n_systems
        site = crystals.species_probs @ self.volume_of.to(crystals.cell)
        rest = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        strain = torch.log(crystals.volume / rest)
        energy = 0.5 * 80 / GPA * rest * strain**2 / crystals.counts - 1.0
        return {"formation_energy": energy, "band_gap": 400 / crystals.volume}


@pytest.fixture
def springs():
    return CombinedPredictor([Springs(), ToleranceFactor()])


def gap_at_rest(formula):
    return 400 / sum(float(Springs.volume_of[ELEMENTS.index(symbol)]) for symbol in formula)


def all_perovskites():
    anions = itertools.combinations_with_replacement(("F", "Cl", "Br"), 3)
    cations = itertools.product(("K", "Rb", "Na"), ("Mg", "Ca", "Zn"))
    return {(a, b, *x) for (a, b), x in itertools.product(cations, anions)}


def config(**settings):
    wanted = {"targets": ("band_gap = 4.8 ± 0.2",), "device": "cpu", "search": "exhaustive"}
    return DesignConfig(**{**wanted, "rest": "symmetry", **settings})


def judged(result, wanted, predictor):
    """What the judge says of a result."""
    return judge(
        result.structures,
        wanted.wanted,
        predictor=predictor,
        template=result.template,
        must_rest=True,
    )


def species(structures):
    found = [[site.specie.symbol for site in s] for s in structures]
    return {(*row[:2], *sorted(row[2:], key=("F", "Cl", "Br").index)) for row in found}


def test_everything_that_meets_the_targets_at_rest_is_found(springs):
    result = run_search(config(), predictor=springs)
    expected = {p for p in all_perovskites() if 4.6 <= gap_at_rest(p) <= 5.0}
    assert 5 < len(expected) < 60
    assert species(result.structures) == expected
    assert len(result.structures) == len(expected)  # each once
    table = judge(
        result.structures,
        config().wanted,
        predictor=springs,
        template=result.template,
        must_rest=True,
    )
    assert table["success"].all()
    assert result.search == {
        "method": "exhaustive",
        "note": f"all were gone through and {len(expected)} distinct successes found, "
        "where 256 were asked for",
        "decorations": 90,
        "possible_by_composition": 90,
        "relaxed": 90,
        "given_up": 0,
        "not_looked_at": 0,
        "successes": len(expected),
        "distinct_successes": len(expected),
    }


def test_every_call_is_counted(springs):
    result = run_search(config(), predictor=springs)
    assert result.predictor_calls == springs.parts[0].calls
    assert 90 * 3 <= result.predictor_calls <= 90 * 8


def test_compositions_that_miss_the_tolerance_factor_cost_nothing(springs):
    targets = ("band_gap > 0", "0.9 <= tolerance_factor <= 0.95")
    result = run_search(config(targets=targets), predictor=springs)
    assert 0 < result.search["relaxed"] < 90
    assert result.search["relaxed"] == result.search["successes"]
    relaxed = result.decorations["sites"].str.split().map(tuple)
    factors = run_search(config(targets=("band_gap > 0",), n=100), predictor=springs)
    table = judge(
        factors.structures,
        config(targets=targets).wanted,
        predictor=springs,
        template=factors.template,
    )
    assert table["tolerance_factor_met"].sum() == len(set(relaxed))


def searching(**numbers):
    """The default settings with other numbers of the exhaustive search."""
    return replace(DEFAULT, exhaustive=replace(DEFAULT.exhaustive, **numbers))


SOON = searching(first=10, round=10, atoms_together=50)
"""Lessons after every 10 of the 90 decorations."""


def test_what_is_given_up_saves_calls_and_loses_nothing(springs):
    wanted = config(targets=("band_gap = 5.6 ± 0.1",))
    early = run_search(wanted, predictor=springs, settings=SOON)
    late = searching(first=90, round=10, atoms_together=50)
    patient = run_search(wanted, predictor=springs, settings=late)
    assert patient.search["given_up"] == 0
    assert early.search["given_up"] > 20
    assert early.search["given_up"] + early.search["relaxed"] == 90
    assert early.predictor_calls < 0.7 * patient.predictor_calls
    assert species(early.structures) == species(patient.structures)
    assert early.decorations["given_up"].sum() == early.search["given_up"]
    assert not (early.decorations["given_up"] & early.decorations["met"]).any()
    assert list(early.decorations["sites"]) == list(patient.decorations["sites"])


@pytest.mark.parametrize(
    ("targets", "at_rest"),
    [(("maximize band_gap",), True), (("band_gap = 5.6 ± 0.1",), False)],
    ids=["an extreme", "any lattice"],
)
def test_nothing_is_given_up_that_might_count(springs, targets, at_rest):
    wanted = config(targets=targets, rest="symmetry" if at_rest else "none", n=3)
    result = run_search(wanted, predictor=springs, settings=SOON)
    assert result.search["given_up"] == 0
    if at_rest:
        best = sorted(map(gap_at_rest, all_perovskites()))[-3:]
        found = sorted(map(gap_at_rest, species(result.structures)))
        assert found == pytest.approx(best)


def test_the_nearest_misses_rest_even_if_they_were_given_up(springs):
    wanted = config(targets=("band_gap > 100",))
    result = run_search(wanted, predictor=springs, settings=SOON)
    assert result.search["given_up"] > 20
    table = judged(result, wanted, springs)
    assert table["at_rest"].all()
    best = sorted(map(gap_at_rest, all_perovskites()))[-10:]
    assert sorted(table["band_gap"]) == pytest.approx(best, rel=0.02)
    assert "no successes found" in result.search["note"]


def test_a_stopped_search_goes_on_with_what_it_has_learnt(springs):
    wanted = config(targets=("band_gap = 5.6 ± 0.1",))
    whole = run_search(wanted, predictor=springs, settings=SOON)
    first = Notes(stop_after=5)
    assert run_search(wanted, predictor=springs, keeper=first, settings=SOON).interrupted
    again = run_search(wanted, predictor=springs, keeper=Notes(last=first.kept), settings=SOON)
    assert again.structures == whole.structures
    assert again.predictor_calls == whole.predictor_calls
    assert again.search == whole.search


def test_auto_ends_with_the_n_that_were_asked_for(springs):
    wanted = {"search": "auto", "n": 3, "steps": 300, "targets": ("band_gap = 4.8 ± 0.2",)}
    first = run_search(config(**wanted), predictor=springs, settings=SOON)
    assert first.search["relaxed"] < 90
    table = judged(first, config(**wanted), springs)
    assert len(first.structures) == table["unique"].sum() == 3
    assert re.search(
        r"the budget of 3 × 300 predictor calls; it ended unfinished, after \d+ of 90 decorations, "
        "with the 3 distinct successes asked for$",
        first.search["note"],
    )
    summary = summarise(rank_table(table, config().wanted), first)
    assert "gives all" not in summary_text(summary, "run")
    other = run_search(config(**wanted, seed=5), predictor=springs, settings=SOON)
    assert species(other.structures) != species(first.structures)
    extreme = config(**(wanted | {"targets": ("maximize band_gap",)}))
    best = run_search(extreme, predictor=springs, settings=SOON)
    assert best.search["relaxed"] == 90


def test_auto_ends_with_its_budget(springs, monkeypatch):
    monkeypatch.setattr("smoacs.search.plan.CALLS", {True: (1, 1, 1)})  # too hopeful
    wanted = config(search="auto", n=90, steps=2)
    result = run_search(wanted, predictor=springs, settings=SOON)
    assert 80 < result.predictor_calls <= 180
    seen = result.search["relaxed"] + result.search["given_up"]
    assert 0 < seen == 90 - result.search["not_looked_at"] < 90
    assert "it ended unfinished, after" in result.search["note"]
    assert result.search["note"].endswith("with its budget spent")
    assert not result.interrupted


class ManySprings(Springs):
    """The same for more elements: a space of some hundred perovskites."""

    elements = frozenset(
        ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "F", "Cl", "Br", "I")
    )


def test_auto_takes_the_most_promising_where_not_all_fit():
    settings = searching(first=40)
    springs = CombinedPredictor([ManySprings(), ToleranceFactor()])
    wanted = config(search="auto", n=40, steps=32, targets=("band_gap = 4.0 ± 0.05",))
    result = run_search(wanted, predictor=springs, settings=settings)
    told = result.search
    everything = config(targets=wanted.targets, n=1000)
    every = run_search(everything, predictor=springs, settings=settings).search
    assert told["possible_by_composition"] == every["relaxed"] + every["given_up"] > 500
    assert told["note"].startswith(f"unfinished search: of {every['relaxed'] + every['given_up']}")
    assert "it ended unfinished, after" in told["note"]
    assert told["not_looked_at"] > 200
    assert told["relaxed"] + told["given_up"] + told["not_looked_at"] > 500
    assert result.predictor_calls <= 40 * 32
    assert 10 < every["distinct_successes"] <= 40
    assert told["distinct_successes"] >= 0.9 * every["distinct_successes"]
    assert not result.interrupted
    table = judged(result, wanted, springs)
    summary = summarise(rank_table(table, wanted.wanted), result)
    assert f"{told['not_looked_at']:,} not looked at" in summary_text(summary, "run")


def test_auto_ends_where_nothing_is_promising_any_more():
    settings = searching(first=40, stale=30)
    springs = CombinedPredictor([ManySprings(), ToleranceFactor()])
    wanted = config(search="auto", n=40, steps=32, targets=("band_gap = 6.3 ± 0.15",))
    result = run_search(wanted, predictor=springs, settings=settings)
    every = run_search(config(targets=wanted.targets), predictor=springs, settings=settings).search
    assert result.search["note"].endswith("decorations, with little hope for the others")
    assert result.search["distinct_successes"] == every["distinct_successes"] > 0
    assert result.predictor_calls < 40 * 32
    assert "hope" not in every["note"]


def test_n_bounds_what_comes_back_and_the_summary_says_so(springs):
    run = run_design(config(n=4), predictor=springs)
    assert len(run.structures) == 4
    assert run.table["unique"].all()
    summary = summarise(rank_table(run.table, config().wanted), run.result)
    total = run.result.search["successes"]
    assert f"-n {total} gives all" in summary_text(summary, "run")


def test_distinct_formulas_come_first(springs):
    result = run_search(
        config(
            template="wurtzite",
            elements=("Mg", "Ca", "Zn", "O", "S"),
            targets=("toy_gap > -1",),
            n=5,
        ),
        predictor=_Renamed(),
    )
    formulas = [s.composition.reduced_formula for s in result.structures]
    assert len(set(formulas)) == 5


class _Renamed(Springs):
    properties = {"formation_energy": "eV/atom", "toy_gap": "1"}  # noqa: RUF012
    elements = frozenset(("Mg", "Ca", "Zn", "O", "S"))

    def __call__(self, crystals, neighbors):
        out = super().__call__(crystals, neighbors)
        return {"formation_energy": out["formation_energy"], "toy_gap": out["band_gap"]}


def test_the_nearest_misses_come_back_where_nothing_succeeds(springs):
    run = run_design(config(targets=("band_gap > 100",)), predictor=springs)
    assert not run.table["success"].any()
    assert len(run.structures) == 10
    best = sorted(map(gap_at_rest, all_perovskites()))[-10:]
    assert sorted(run.table["band_gap"]) == pytest.approx(best, rel=0.02)


def test_lattices_that_need_not_rest_are_scaled(springs):
    resting = run_search(config(n=100), predictor=springs)
    strained = run_search(config(rest="none", n=100), predictor=springs)
    assert species(strained.structures) > species(resting.structures)
    gaps = np.array([400 / s.volume for s in strained.structures])
    assert ((gaps >= 4.6 - 1e-3) & (gaps <= 5.0 + 1e-3)).all()


def test_a_predictor_without_energy_is_scanned():
    class Gap(Springs):
        properties = {"band_gap": "eV"}  # noqa: RUF012

        def __call__(self, crystals, neighbors):
            return {"band_gap": super().__call__(crystals, neighbors)["band_gap"]}

    result = run_search(config(rest="none", n=100), predictor=Gap())
    assert len(result.structures) > 30


def test_conflicting_targets_return_the_true_front():
    toy = Conflict()
    wanted = config(rest="none", targets=("minimize price", "minimize weight"), n=300)
    run = run_design(wanted, predictor=toy)
    every = run.result.decorations[["price", "weight"]].to_numpy()
    front = {
        tuple(p)
        for p in every.tolist()
        if not ((every <= p).all(1) & (every < np.array(p)).any(1)).any()
    }
    found = set(map(tuple, run.table.loc[run.table["pareto"] == 0, ["price", "weight"]].to_numpy()))
    assert len(front) >= 4
    assert {tuple(np.round(p, 4)) for p in found} == {tuple(np.round(p, 4)) for p in front}


class Notes:
    """A keeper that asks for an end after some states."""

    due = True

    def __init__(self, stop_after=None, last=None):
        self.kept = last
        self.count = 0
        self.stop_after = stop_after

    def last(self):
        return self.kept

    @property
    def stop_asked(self):
        return self.stop_after is not None and self.count + 1 >= self.stop_after

    def keep(self, state):
        self.kept = state
        self.count += 1


TWENTY = searching(atoms_together=100)
"""20 perovskites at once."""


def test_a_stopped_search_goes_on_where_it_was(springs):
    whole = run_search(config(), predictor=springs, settings=TWENTY)
    first = Notes(stop_after=2)
    part = run_search(config(), predictor=springs, keeper=first, settings=TWENTY)
    assert part.interrupted
    assert part.search["relaxed"] == 40
    again = run_search(config(), predictor=springs, keeper=Notes(last=first.kept), settings=TWENTY)
    assert not again.interrupted
    assert again.structures == whole.structures
    assert again.predictor_calls == whole.predictor_calls


def test_progress_counts_decorations(springs):
    events = []
    run_search(config(), predictor=springs, progress=events.append, settings=TWENTY)
    assert [event.step for event in events] == [20, 40, 60, 80, 90]
    assert {event.n_steps for event in events} == {90}


@pytest.mark.parametrize(
    ("search", "n", "method"),
    [("auto", 256, "exhaustive"), ("auto", 2, "gradient"), ("gradient", 256, "gradient")],
)
def test_auto_takes_what_fits_and_says_why(springs, search, n, method):
    settings = config(search=search, n=n)
    template = settings.resolved_template(springs.elements)
    plan = plan_search(settings, template, springs, settings=DEFAULT.exhaustive)
    assert ("exhaustive" if plan.space else "gradient") == method
    assert plan.note.count("\n") == 0
    if search == "gradient":
        assert plan.note.startswith("the search 'exhaustive' would give the complete answer")
    else:
        assert plan.note.startswith(method if method == "exhaustive" else "search by gradients")
        assert f"{n:,} × 200" in plan.note


def test_a_search_by_gradients_tells_that_the_complete_one_would_fit(springs):
    result = run_search(config(search="gradient", n=16, steps=60), predictor=springs)
    assert result.search["method"] == "gradient"
    assert "complete answer: 90 decorations" in result.search["note"]
    assert result.decorations is None


def test_a_space_too_large_is_refused_with_its_size(springs):
    with pytest.raises(InputError, match=r"up to 1,000,000 .*about 10\^\d+ ways .*repeat"):
        run_search(config(repeat=2), predictor=springs)
    template = config(repeat=3).resolved_template(springs.elements)
    assert n_fillings(template) > 10**60
    settings = config(repeat=3, search="auto")
    plan = plan_search(settings, template, springs, settings=DEFAULT.exhaustive)
    assert plan.space is None
    assert "does not fit" in plan.note


def test_a_space_that_composition_empties_is_refused(springs):
    targets = ("band_gap > 0", "tolerance_factor > 3")
    with pytest.raises(InputError, match=r"none of the 90 decorations .* tolerance_factor > 3"):
        run_search(config(targets=targets), predictor=springs)


def test_a_run_directory_holds_every_decoration(springs, tmp_path):
    run = run_design(config(n=3), predictor=springs)
    save_run(run.result, run.table, tmp_path / "run", force=False)
    lines = (tmp_path / "run" / "decorations.csv").read_text("utf-8").splitlines()
    assert lines[0] == "combination,sites,band_gap,given_up,met"
    assert len(lines) == 91
    text = (tmp_path / "run" / "config.toml").read_text("utf-8")
    assert 'search = "exhaustive"' in text


def test_keywords_of_design(springs):
    run = design(
        targets=["band_gap = 4.8 ± 0.2"],
        search="auto",
        rest="symmetry",
        predictor=springs,
        device="cpu",
        sites={"A": "K"},
    )
    assert run.result.search["method"] == "exhaustive"
    assert run.table["success"].all()


def test_each_composition_comes_back_once(springs):
    wanted = {"targets": ("band_gap > -100",), "template": "rutile", "n": 200}
    asked = config(**wanted, mixed=True, elements=("Mg", "Zn", "F", "Cl"))
    result = run_search(asked, predictor=springs)
    formulas = [structure.composition.reduced_formula for structure in result.structures]
    assert result.search["successes"] > len(formulas) > 5
    assert len(set(formulas)) == len(formulas) == result.search["distinct_successes"]
