"""Whether a crystal is at rest is judged by the energy of a predictor."""

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.errors import InputError
from smoacs.judging import judge
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.targets import Target
from toys import PEROVSKITE_SITES, Spring


def test_the_judge_refuses_a_strained_cell():
    spring = CombinedPredictor([Spring(), ToleranceFactor()])
    strained = Structure(Lattice.cubic(4.4), ["Sr", "Ti", "O", "O", "O"], PEROVSKITE_SITES)
    targets = [Target.parse("band_gap > 1")]
    lenient = judge([strained], targets, predictor=spring)
    strict = judge([strained], targets, predictor=spring, must_rest=True)
    assert lenient["success"].tolist() == [True]
    assert strict["success"].tolist() == [False]
    assert strict["pressure"].iloc[0] < -3


def test_rest_needs_an_energy():
    with pytest.raises(InputError, match="formation_energy"):
        judge([], [], predictor=ToleranceFactor(), must_rest=True)
