"""No candidate leaves the elements asked for, whatever its scores; an independent check."""

import pytest
import torch
from pymatgen.core import Element

from smoacs.chemistry import ELEMENTS, oxidation_table
from smoacs.crystals import Candidates, DesignSpace
from smoacs.request.config import DesignConfig
from smoacs.templates import TEMPLATE_NAMES

TOXIC = {"Be", "As", "Cd", "Hg", "Tl", "Pb"}
METALS = "Li Na K Rb Cs Mg Ca Sr Ba Al Sc Ti Zr Hf Nb Ta W Mn Fe Co Ni Zn Ga In Sn Sb Bi La Pb Ag"
SITES = {"A": f"{METALS} !Na", "X": "O S F Cl N P !P", "X[0]": "!O"}


def candidates(template):
    return 40 if template == "garnet" else 700


def test_there_are_ten_thousand_candidates():
    assert sum(map(candidates, TEMPLATE_NAMES)) > 10_000


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_candidates_keep_to_their_elements(name):
    n = candidates(name)
    config = DesignConfig.from_mapping(
        {"template": name, "targets": ["density > 1"], "forbidden": "no-toxic Bi", "sites": SITES}
    )
    template = config.resolved_template()
    soft = Candidates.start(
        DesignSpace.from_templates([template] * n),
        torch.Generator().manual_seed(0),
        score_noise=10.0,
        combination_noise=10.0,
    )
    probs, _ = soft.element_probs(1.0)
    soft.harden()
    chosen = [[ELEMENTS[e] for e in row] for row in soft.rows.tolist()]
    labels = template.site_labels
    first_anion = labels.index("X")
    table = oxidation_table("icsd")
    for row, k in zip(chosen, soft.combination.tolist(), strict=True):
        charges = template.combinations[k].tolist()
        assert sum(charges) == 0
        for site, (symbol, label, charge) in enumerate(zip(row, labels, charges, strict=True)):
            assert symbol not in TOXIC | {"Bi"}
            assert charge in table[symbol]
            if label == "A":
                assert symbol in METALS.split()
                assert symbol != "Na"
            if label == "X":
                assert symbol in {"O", "S", "F", "Cl", "N"}
                assert Element(symbol).X > 2.5
            assert not (site == first_anion and symbol == "O")
    assert len({symbol for row in chosen for symbol in row}) > 5
    # What is not allowed has no part in a soft crystal either.
    forbidden = [ELEMENTS.index(symbol) for symbol in TOXIC]
    assert not probs[:, forbidden].any()
