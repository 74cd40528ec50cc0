"""Results without repeats."""

import dataclasses

import numpy as np
import pytest

from smoacs.runs.distinct import without_repeats


@pytest.fixture
def judged(table):
    table["design"] = np.where(table["success"], 1, 0)
    return table


def test_of_one_formula_on_one_template_the_best_success_is_left(result, judged):
    # Candidates 1 and 2 succeed with KMgF3; 1 is nearer to the hull, which ranks it first.
    judged["energy_above_hull"] = [0.0, 0.01, 0.02, 0.0, 0.0]
    left, table = without_repeats(result, judged)
    assert table["formula"].tolist() == ["SrTiO3", "KMgF3", "SrTiO3", "KMgF3"]
    assert table["success"].tolist() == [False, True, False, False]
    assert table["unique"].tolist() == [False, True, False, False]
    assert left.structures == [result.structures[row] for row in (0, 1, 3, 4)]
    history = left.history
    assert sorted(history["candidate"].unique()) == [0, 1, 2, 3]
    moved = history[history["candidate"] == 2]["band_gap"].to_numpy()
    before = result.history[result.history["candidate"] == 3]["band_gap"].to_numpy()
    np.testing.assert_array_equal(moved, before)


def test_one_formula_on_two_templates_is_two_designs_unless_the_structure_is_one(result, judged):
    two = [dataclasses.replace(result.template, name=name) for name in "aabaa"]
    result = dataclasses.replace(result, templates=tuple(two), originals=tuple(two))
    _, table = without_repeats(result, judged)
    assert table["success"].sum() == 1  # the judge's matcher finds one structure
    judged["design"] = [0, 1, 2, 0, 0]
    left, table = without_repeats(result, judged)
    assert table["success"].sum() == 2
    assert [template.name for template in left.templates] == list("aabaa")


def test_the_paper_counts_repeats(result, judged):
    config = result.config.model_copy(update={"preset": "paper"})
    same, table = without_repeats(dataclasses.replace(result, config=config), judged)
    assert len(table) == len(same.structures) == 5


def test_parents_stay_with_their_designs(result, judged):
    parents = tuple(structure.copy() for structure in result.structures)
    settled = tuple(f"end of {row}" for row in range(5))
    result = dataclasses.replace(result, parents=parents, settled=settled, met=(True,) * 5)
    left, _ = without_repeats(result, judged)
    assert len(left.structures) == len(left.parents) == 4
    for structure, parent, end in zip(left.structures, left.parents, left.settled, strict=True):
        row = next(k for k, given in enumerate(result.structures) if given is structure)
        assert parent is parents[row]
        assert end == settled[row]
