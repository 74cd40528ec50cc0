"""Verdicts on relaxed designs, criterion by criterion."""

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch

from smoacs.checking import RelaxedDesign, RelaxSettings, relax_designs, survival_table
from smoacs.checking.survival import widened
from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.targets import Target
from smoacs.templates import perovskite as perovskite_template
from toys import perovskite_crystal as perovskite


class LengthPredictor:
    """A band gap that is the mean lattice length, in eV."""

    cutoff = 0.0
    elements = frozenset(ELEMENTS)
    properties = MappingProxyType({"band_gap": "eV", "formation_energy": "eV/atom"})

    def __call__(self, crystals, neighbors):
        del neighbors
        gap = crystals.cell.norm(dim=2).mean(1)
        return {"band_gap": gap, "formation_energy": -torch.ones_like(gap)}


def ended(structure, **changes):
    return RelaxedDesign(
        **{"structure": structure, "energy": -1.0, "steps": 7, "converged": True} | changes
    )


def judge(ends, *targets, template=None):
    return survival_table(
        [perovskite()] * len(ends),
        ends,
        targets=[Target.parse(text) for text in targets],
        predictor=LengthPredictor(),
        templates=None if template is None else [template] * len(ends),
    )


def test_length_decides():
    stretched = perovskite()
    stretched.scale_lattice(64 * 1.02**3)
    far = perovskite()
    far.lattice = far.lattice.from_parameters(4.3, 4, 4, 90, 90, 90)
    table = judge([ended(perovskite()), ended(stretched), ended(far)])
    assert table["survives_relaxation"].tolist() == [True, True, False]
    np.testing.assert_allclose(table["length_change"], [0, 0.02, 0.075], atol=1e-9)
    np.testing.assert_allclose(table["volume_change"], [0, 1.02**3 - 1, 0.075], atol=1e-9)
    assert "relaxed_band_gap" not in table, "no target asks for it"
    assert (table["relaxed_formation_energy"] == -1).all()


def test_targets_hold_within_twice_the_window():
    table = judge([ended(perovskite()), ended(perovskite(length=4.15))], "band_gap = 3.9 ± 0.12")
    assert table["survives_relaxation"].tolist() == [True, False]
    np.testing.assert_allclose(table["relaxed_band_gap"], [4.0, 4.15])


def test_a_bound_on_one_side_must_hold():
    ends = [ended(perovskite()), ended(perovskite(length=4.1))]
    assert judge(ends, "band_gap < 4.05")["survives_relaxation"].tolist() == [True, False]
    assert judge(ends, "minimize band_gap")["survives_relaxation"].all()


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("band_gap = 2.5 ± 0.2", 2.1, 2.9), ("band_gap > 1", 1, float("inf"))],
)
def test_wider_windows(text, low, high):
    target = widened(Target.parse(text))
    assert (target.low, target.high) == (
        pytest.approx(low),
        high if high > 9 else pytest.approx(high),
    )


def test_the_template_must_be_kept():
    gone = perovskite()
    gone.replace(4, "F-", [0.2, 0.1, 0.4])
    skewed = perovskite()
    skewed.lattice = skewed.lattice.from_parameters(4, 4, 4, 90, 90, 80)
    table = judge([ended(perovskite()), ended(gone), ended(skewed)], template=perovskite_template())
    assert table["relaxed_template_kept"].tolist() == [True, False, False]
    assert table["survives_relaxation"].tolist() == [True, False, False]
    assert table["relaxed_space_group"].iloc[0] == "Pm-3m"


def test_designs_at_a_minimum_keep_their_bonds_and_what_the_composition_gives():
    design = perovskite().make_supercell(2, in_place=False)
    tilted, torn = design.copy(), design.copy()
    anions = [k for k, site in enumerate(design) if site.specie.symbol == "F"]
    tilted.translate_sites(anions[::2], [0.02, 0, 0])
    torn.translate_sites(anions[:1], [0.22, 0.22, 0])
    table = survival_table(
        [design] * 2,
        [ended(tilted), ended(torn)],
        targets=[Target.parse("0.7 < tolerance_factor < 1.1"), Target.parse("band_gap > 1")],
        predictor=CombinedPredictor([LengthPredictor(), ToleranceFactor()]),
        by_bonds=True,
    )
    assert table["relaxed_template_kept"].tolist() == [True, False]
    assert table["survives_relaxation"].tolist() == [True, False]


def test_a_refused_design_does_not_survive():
    refusal = ended(None, energy=float("nan"), steps=0, converged=False, failure="too dense")
    table = judge(
        [refusal, ended(perovskite())], "band_gap = 4 ± 0.1", template=perovskite_template()
    )
    assert table["survives_relaxation"].tolist() == [False, True]
    assert table["relaxed_failure"].tolist() == ["too dense", ""]
    assert pd.isna(table.loc[0, ["length_change", "volume_change", "relaxed_band_gap"]]).all()


class Counting:
    """Swells every crystal by a percent; remembers what it was asked."""

    name = "counting 1"

    def __init__(self, fails_after=None):
        self.asked = []
        self.fails_after = fails_after

    def relax(self, structures, settings):
        del settings
        for number, structure in enumerate(structures):
            if number == self.fails_after:
                raise KeyboardInterrupt
            self.asked.append(structure.reduced_formula)
            end = structure.copy().remove_oxidation_states()
            end.scale_lattice(end.volume * 1.01)
            yield [RelaxedDesign(end, -2.0, 3, converged=True)]


def test_what_is_done_is_not_done_again(tmp_path):
    designs = [perovskite(), perovskite(("Na+", "Mg2+", "F-", "F-", "F-")), perovskite()]
    cache, settings = tmp_path / "relaxation.jsonl", RelaxSettings()
    killed = Counting(fails_after=1)
    with pytest.raises(KeyboardInterrupt):
        relax_designs(designs, killed, settings, cache=cache)
    assert killed.asked == ["KMgF3"]
    told = []
    potential = Counting()
    ends = relax_designs(
        designs, potential, settings, cache=cache, progress=lambda *x: told.append(x)
    )
    assert potential.asked == ["NaMgF3"], "the third is the first, which is done"
    assert told[-1] == (3, 3)
    assert [end.structure.reduced_formula for end in ends] == ["KMgF3", "NaMgF3", "KMgF3"]
    assert ends[0].structure.species == designs[0].species, "oxidation states carry over"
    assert ends[0].structure.volume == pytest.approx(64 * 1.01)
    again = Counting()
    relax_designs(designs, again, settings, cache=cache, progress=lambda *x: told.append(x))
    assert again.asked == []
    assert told[-1] == (3, 3)
    relax_designs(designs, again, RelaxSettings(fmax=0.02), cache=cache)
    assert again.asked == ["KMgF3", "NaMgF3"], "other settings are another finding"


def test_a_target_that_the_predictor_does_not_give():
    with pytest.raises(InputError, match="no property 'bulk_modulus'; check with the predictor"):
        judge([ended(perovskite())], "bulk_modulus > 100")
