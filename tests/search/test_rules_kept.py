"""Requests under which the optimiser once left its rules, checked by the judge."""

import pytest
import torch

from smoacs.errors import InputError
from smoacs.judging import RuleCheck, Rules
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.templates import build_template
from toys import Bowl


class Unsure(Bowl):
    """A predictor that has no number for crystals with potassium."""

    def __call__(self, crystals, neighbors):
        potassium = crystals.species_probs[:, 18]
        held = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, potassium)
        value = super().__call__(crystals, neighbors)["toy"]
        return {"toy": torch.where(held > 0.5, torch.nan, value)}


def broken(predictor, **settings):
    """What the candidates of a search break, those that break nothing left out."""
    asked = {"targets": ("toy < 0.1",), "n": 12, "steps": 30, "device": "cpu", "seed": 3}
    config = DesignConfig.from_mapping(asked | settings)
    result = run_search(config, predictor=predictor)
    original = build_template(config.template, repeat=config.repeat)
    check = RuleCheck(Rules.from_settings(config.model_dump()), original)
    return [text for text in map(check.broken, result.structures) if text]


@pytest.mark.parametrize("more", [{}, {"counts": {"F": 2}}])
def test_a_crystal_without_a_finite_loss_swaps_among_the_elements_allowed(more):
    assert broken(Unsure(), sites={"A": ("K",), "X": ("F", "Cl", "Br")}, **more) == []


@pytest.mark.parametrize(
    ("template", "rules"), [("half-heusler", {"all": 2}), ("rock-salt", {"all": 2})]
)
def test_few_elements_do_not_raise_the_space_group(template, rules):
    settings = {"template": template, "max_elements": rules, "symmetry": "space-group"}
    assert broken(Bowl(), steps=4, **settings) == []


def test_too_few_elements_for_the_space_group_are_refused():
    """One of two metals on both sites makes a half-Heusler compound a fluorite."""
    with pytest.raises(
        InputError, match=r"max_elements\.all = 2 and symmetry = space-group exclude"
    ):
        DesignConfig(
            targets=("toy < 0.1",),
            template="half-heusler",
            elements=("Li", "Na", "K", "O", "Se"),
            max_elements={"all": 2},
            symmetry="space-group",
        ).resolved_template()
