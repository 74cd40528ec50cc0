"""Kinds of chemistry by composition, and the wider spread of some of them."""

import dataclasses

import pytest
import torch
from pymatgen.core import Composition

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import neighbor_list
from smoacs.predictors.builtin import NetworkPredictor, load_network
from smoacs.predictors.network.spread import SpreadHead, feature_count
from smoacs.predictors.weights.header import header_text, parse_header
from smoacs.predictors.weights.storage import read_weights, save_weights
from smoacs.predictors.widening import KINDS, Widening, filled, kinds
from smoacs.testing.samples import default_crystals

FORMULAS = torch.tensor([1, 2], dtype=torch.int64)
WIDE = Widening(
    factors={"band_gap": dict.fromkeys(KINDS, 3.0)}, filled_bands={"formation_energy": 0.5}
)


def shares(*formulas):
    rows = torch.zeros(len(formulas), len(ELEMENTS), dtype=torch.float64)
    for row, formula in zip(rows, formulas, strict=True):
        for element, share in Composition(formula).fractional_composition.items():
            row[ELEMENTS.index(str(element))] = share
    return rows


@pytest.mark.parametrize(
    ("formula", "kind"),
    [
        ("SrTiO3", "oxides"),
        ("CsPbI3", "halides"),
        ("BiOCl", "halides"),
        ("CuInSe2", "chalcogenides"),
        ("GaN", "pnictides"),
        ("AlC", "carbides, borides, hydrides"),
        ("TiCoSb", "intermetallics"),
        ("YBa2Cu3O7", "oxides"),
    ],
)
def test_kinds(formula, kind):
    row = kinds(shares(formula))[0]
    assert row.sum() == pytest.approx(1)
    assert row[KINDS.index(kind)] > 0.99


def test_a_small_share_counts_nearly_whole_and_smoothly():
    row = kinds(shares("Ca39O"))[0]
    assert 0.9 < row[KINDS.index("oxides")] < 1
    assert torch.autograd.gradcheck(kinds, shares("Ca39O", "TiNiSn").requires_grad_())


@pytest.mark.parametrize(
    ("formula", "is_filled"),
    [
        ("TiNiSn", True),
        ("TiCoSb", True),
        ("ZrNiSn", True),
        ("LaPtBi", True),
        ("TiNi2Sn", False),
        ("TiFeSb", False),
        ("Fe2VAl", False),
        ("LiMgN", False),
    ],
)
def test_half_heuslers_of_eighteen_electrons(formula, is_filled):
    assert (float(filled(shares(formula))[0]) > 0.9) is is_filled


def test_factors_and_what_is_added():
    spread = torch.tensor([[0.04, 0.1], [0.04, 0.1]], dtype=torch.float64)
    rule = Widening(factors={"b": {"oxides": 2.0}}, filled_bands={"a": 0.3})
    wide = rule.apply(spread, shares("TiNiSn", "CaO"), ("a", "b"))
    assert wide[0].tolist() == pytest.approx([(0.04**2 + 0.3**2) ** 0.5, 0.1], rel=1e-3)
    assert wide[1].tolist() == pytest.approx([0.04, 0.2], rel=1e-6)


def with_spread(network):
    settings = network.settings
    width = settings.channels + settings.attention_heads
    network.spread = SpreadHead(feature_count(1, width, 98, 2), 2)
    return network


def test_a_file_keeps_it_and_the_predictor_uses_it(network, header, tmp_path):
    network = with_spread(network)
    path = tmp_path / "wide.safetensors"
    before = {k: v.clone() for k, v in network.state_dict().items()}
    save_weights(path, network, dataclasses.replace(header, widening=WIDE), FORMULAS)
    again, found, _ = read_weights(path)
    assert found.widening == WIDE
    assert all(torch.equal(v, before[k]) for k, v in again.state_dict().items())
    crystals = default_crystals(frozenset(header.elements))
    near = neighbor_list(crystals, network.settings.cutoff)
    plain = NetworkPredictor(network, header, FORMULAS)(crystals, near)
    wide = NetworkPredictor(again, found, FORMULAS)(crystals, near)
    torch.testing.assert_close(wide["band_gap"], plain["band_gap"])
    torch.testing.assert_close(wide["band_gap.std"], 3 * plain["band_gap.std"])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Widening(filled_bands={"charm": 1.0}), "'charm', which is no property"),
        (Widening(factors={"band_gap": {"oxides": 0.5}}), "no factor of at least 1"),
        (Widening(factors={"band_gap": {"sweets": 2.0}}), "no factor of at least 1"),
        (Widening(filled_bands={"band_gap": -1.0}), "no standard deviation"),
    ],
)
def test_a_header_that_cannot_be(header, rule, words):
    with pytest.raises(ValueError, match=words):
        parse_header(header_text(dataclasses.replace(header, widening=rule), "x"))


def test_the_shipped_spread_knows_half_heuslers():
    predictor = load_network("mp2018")
    widening = predictor.header.widening
    assert widening is not None
    assert 0.2 < widening.filled_bands["band_gap"] < 0.6
    assert all(f >= 1 for row in widening.factors.values() for f in row.values())
