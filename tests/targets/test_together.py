import pytest

from smoacs.errors import InputError
from smoacs.targets import Target, check_together


def check(*texts):
    check_together([Target.parse(text) for text in texts])


@pytest.mark.parametrize(
    "texts",
    [
        ("band_gap > 1.6", "band_gap < 1.3"),
        ("band_gap = 2.5 ± 0.2", "density < 3", "band_gap > 3"),
        ("band_gap >= 2", "band_gap < 2"),
        ("band_gap > 2", "band_gap <= 2"),
        ("maximize band_gap", "minimize band_gap"),
    ],
)
def test_targets_that_no_value_meets_are_named(texts):
    first, second = (str(Target.parse(text)) for text in (texts[0], texts[-1]))
    with pytest.raises(InputError, match="exclude each other") as caught:
        check(*texts)
    assert f'"{first}" and "{second}"' in str(caught.value)


@pytest.mark.parametrize(
    "texts",
    [
        ("band_gap > 1.3", "band_gap < 1.6"),
        ("band_gap >= 2", "band_gap <= 2"),
        ("band_gap > 1.6", "density < 1.3"),
        ("maximize band_gap", "band_gap > 1", "minimize density"),
        ("band_gap > 1", "band_gap > 2"),
    ],
)
def test_targets_that_a_value_meets_stay(texts):
    check(*texts)
