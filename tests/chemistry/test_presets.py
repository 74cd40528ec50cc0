import numpy as np
import pytest
from pymatgen.core.periodic_table import Element
from smact import Element as SmactElement

from smoacs.chemistry import ELEMENTS, PRESETS
from smoacs.chemistry.presets import CRUST

LEFT_OUT = {
    "no-toxic": {"Be", "As", "Cd", "Hg", "Tl", "Pb"},
    "no-noble-metal": {"Ru", "Rh", "Pd", "Ag", "Os", "Ir", "Pt", "Au"},
    "no-radioactive": {symbol for symbol in ELEMENTS if Element(symbol).is_radioactive},
    "no-rare-earth": {
        symbol
        for symbol in ELEMENTS
        if symbol in {"Sc", "Y"} or Element(symbol).is_lanthanoid
    },
}  # fmt: skip


def test_every_preset_says_what_it_does_and_whence():
    for preset in PRESETS.values():
        assert preset.elements < set(ELEMENTS)
        assert preset.rule
        assert len(preset.source) > 20


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_preset_leaves_out(name):
    assert set(ELEMENTS) - PRESETS[name].elements == LEFT_OUT[name]


def test_abundant_elements_agree_with_another_copy_of_the_table():
    elsewhere = {symbol: SmactElement(symbol).crustal_abundance or 0.0 for symbol in ELEMENTS}
    slips = {"S", "Lu", "Nb"}  # 3.5, 80 and 220 mg/kg there; 350, 0.8 and 20 in the handbook
    abundant = {symbol for symbol, amount in elsewhere.items() if amount >= 10} - slips
    assert set(CRUST) - slips == abundant
    same = sorted(abundant)
    assert [CRUST[s] for s in same] == pytest.approx([elsewhere[s] for s in same])
    assert min(CRUST.values()) >= 10
    assert np.sum(list(CRUST.values())) == pytest.approx(1e6, rel=0.02)
    assert {"Si", "Cu", "Zn"} <= PRESETS["earth-abundant"].elements
    assert not {"Te", "In", "Pt", "Cs"} & PRESETS["earth-abundant"].elements
