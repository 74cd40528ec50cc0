"""Targets: reading and writing text, losses and verdicts."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from smoacs.errors import InputError
from smoacs.targets import Target

INF = math.inf
KNOWN = {"band_gap", "formation_energy", "tolerance_factor", "critical_temperature", "bulk_modulus"}
GAP_WINDOW = Target(property="band_gap", low=2.3, high=2.7)


@pytest.mark.parametrize(
    "text",
    [
        "band_gap = 2.5 ± 0.2",
        "band_gap=2.5±0.2",
        "band_gap = 2.5 +- 0.2",
        "band_gap = 2.5 +/- 0.2",
        "band_gap == 2.5+-0.2",
        "band_gap = 2.5 ± 0.2 eV",
        "band_gap = 2.5 eV ± 0.2 eV",
        "2.3 <= band_gap <= 2.7",
        "2.3 ≤ band_gap ≤ 2.7 eV",
        "2.3eV <= band_gap <= 2.7eV",
        "2.7 >= band_gap >= 2.3",
        "band_gap in [2.3, 2.7]",
        "  band_gap   in [ 2.3,2.7 ] eV ",
        "band_gap in [2.3 eV, 2.7 eV]",
        "band_gap = 25e-1 ± .2",
    ],
)
def test_windows(text):
    assert Target.parse(text, known=KNOWN) == GAP_WINDOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.3 < band_gap < 2.7", (2.3, 2.7, True, True)),
        ("2.3 < band_gap <= 2.7", (2.3, 2.7, True, False)),
        ("2.7 > band_gap >= 2.3", (2.3, 2.7, False, True)),
        ("band_gap > 0", (0.0, INF, True, False)),
        ("0 < band_gap", (0.0, INF, True, False)),
        ("band_gap >= 1 eV", (1.0, INF, False, False)),
        ("band_gap <= 1", (-INF, 1.0, False, False)),
        ("band_gap < −0.5", (-INF, -0.5, False, True)),
        ("band_gap = 0.7 ± 0.1", (0.6, 0.8, False, False)),
    ],
)
def test_bounds(text, expected):
    target = Target.parse(text)
    assert (target.low, target.high, target.low_open, target.high_open) == expected


@pytest.mark.parametrize("verb", ["maximize", "maximise", "minimize", "minimise", "Maximize"])
def test_extremes_and_weight(verb):
    target = Target.parse(f"{verb} critical_temperature weight 2", known=KNOWN)
    direction = 1 if verb.lower().startswith("max") else -1
    assert target == Target(property="critical_temperature", direction=direction, weight=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can not be read"),
        ("band_gap", "can not be read"),
        ("band_gap about 2", "can not be read"),
        ("2.3 < band_gap > 2.7", "can not be read"),
        ("2 < 3 < band_gap", "can not be read"),
        ("maximize", "can not be read"),
        ("band_gap in [1]", "can not be read"),
        ("bandgap = 2.5 ± 0.2", 'unknown property "bandgap" (did you mean "band_gap"?)'),
        ("maximize zzz", 'unknown property "zzz"; known are band_gap, bulk_modulus'),
        ("2.7 <= band_gap <= 2.3", 'right would be "2.3 <= band_gap <= 2.7"'),
        ("band_gap in [2.7, 2.3]", 'right would be "2.3 <= band_gap <= 2.7"'),
        ("2.5 <= band_gap <= 2.5", 'right would be "band_gap = 2.5 ± 0.1"'),
        ("band_gap = 2.5", 'needs a margin; right would be "band_gap = 2.5 ± 0.1"'),
        ("band_gap = 2.5 ± -0.2", 'right would be "band_gap = 2.5 ± 0.2"'),
        ("band_gap = 2.5 ± 0", 'right would be "band_gap = 2.5 ± 0.1"'),
        ("band_gap < nan", '"nan" is not a finite number'),
        ("band_gap < -inf", '"-inf" is not a finite number'),
        ("band_gap = 2.5 ± 1e999", '"1e999" is not a finite number'),
        ("band_gap > 1e300", '"1e300" is out of reach'),
        ("band_gap > 1 weight 1e39", '"1e39" is out of reach'),
        ("band_gap = 2.5 ± 1e-300", '"1e-300" is out of reach'),
        ("band_gap = 2.5 ± 0.2 meV", '"meV" is not the unit of band_gap; right would be "eV"'),
        ("bulk_modulus > 2 eV", 'right would be "GPa"'),
        ("tolerance_factor < 1 eV", 'leave "eV" out'),
        ("band_gap > 2 weight 0", "the weight 0.0 is not positive"),
        ("band_gap > 2 weight -1", "the weight -1.0 is not positive"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(InputError) as caught:
        Target.parse(text, known=KNOWN)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f'target "{text}": ')
    assert "\n" not in str(caught.value)


def test_an_error_is_one_line_even_of_text_on_two():
    with pytest.raises(InputError, match='target "band_gap about 2": can not'):
        Target.parse("band_gap\nabout 2")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"direction": 2},
        {"direction": 1, "low": 0.0},
        {"low": math.nan},
        {"low": INF},
        {"high": -INF},
        {"low": 2.0, "high": 1.0},
        {"low": 0.0, "weight": math.nan},
        {"low": 1e300},
        {"high": -1e-300},
        {"low": 0.0, "weight": 1e39},
    ],
)
def test_refuses_numbers_that_are_no_target(arguments):
    with pytest.raises(InputError):
        Target(property="band_gap", **arguments)


FINITE = st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) >= 1e-30)


@st.composite
def targets(draw):
    name = draw(st.sampled_from([*sorted(KNOWN), "band_gap.std", "my_own"]))
    weight = draw(st.sampled_from([1.0, 0.5, 2.0, 1e-7]))
    if draw(st.booleans()):
        return Target(property=name, direction=draw(st.sampled_from([-1, 1])), weight=weight)
    low = draw(st.one_of(st.just(-INF), FINITE))
    high = draw(st.one_of(st.just(INF), FINITE))
    assume(low < high and (low, high) != (-INF, INF))
    low_open = low > -INF and draw(st.booleans())
    high_open = high < INF and draw(st.booleans())
    return Target(
        property=name, low=low, high=high, low_open=low_open, high_open=high_open, weight=weight
    )


@given(target=targets())
def test_text_round_trip(target):
    assert Target.parse(str(target)) == target


@given(text=st.text(alphabet="band_gp0123. <>=±+-/eVin[],maximze", max_size=40))
def test_any_text_is_a_target_or_one_clear_error(text):
    try:
        target = Target.parse(text)
    except InputError:
        return
    assert Target.parse(str(target)) == target


def test_met():
    values = torch.tensor([2.2, 2.3, 2.5, 2.7, 2.8, torch.nan, torch.inf, -torch.inf])
    met = torch.tensor([False, True, True, True, False, False, False, False])
    assert torch.equal(GAP_WINDOW.met(values), met)
    assert Target.parse("band_gap > 0").met(torch.tensor([0.0, 1e-6])).tolist() == [False, True]
    assert Target.parse("band_gap >= 0").met(torch.tensor([0.0, -1e-6])).tolist() == [True, False]
    extreme = Target.parse("maximize critical_temperature").met(values)
    assert torch.equal(extreme, values.isfinite())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_hold_in_both_precisions(dtype):
    assert bool(GAP_WINDOW.met(torch.tensor([2.3, 2.7], dtype=dtype)).all())


def test_loss_is_the_distance_in_scales():
    values = torch.tensor([2.0, 2.3, 2.5, 2.7, 3.2], dtype=torch.float64)
    expected = torch.tensor([0.3, 0, 0, 0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(GAP_WINDOW.loss(values), expected)
    energy = Target.parse("formation_energy < -0.5 weight 3")  # scale 0.5 eV/atom
    torch.testing.assert_close(energy.loss(torch.tensor([-1.0, 0.0])), torch.tensor([0.0, 3.0]))
    stable = Target.parse("minimize formation_energy")
    torch.testing.assert_close(stable.loss(torch.tensor([-1.0])), torch.tensor([-2.0]))
    hot = Target.parse("maximize critical_temperature")  # scale 5 K
    torch.testing.assert_close(hot.loss(torch.tensor([10.0])), torch.tensor([-2.0]))


def test_inner_aims_inside():
    values = torch.tensor([2.4, 2.5, 2.65], dtype=torch.float64)
    half = GAP_WINDOW.loss(values, inner=0.5)
    torch.testing.assert_close(half, torch.tensor([0.0, 0.0, 0.05], dtype=torch.float64))
    middle = GAP_WINDOW.loss(values, inner=1.0)
    torch.testing.assert_close(middle, (values - 2.5).abs())
    energy = Target.parse("formation_energy < -0.5")
    one_sided = energy.loss(torch.tensor([-0.5, -0.55]), inner=1.0)  # 0.05 eV/atom inside
    torch.testing.assert_close(one_sided, torch.tensor([0.1, 0.0]), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="within 0 to 1"):
        GAP_WINDOW.loss(values, inner=1.5)


def test_paper_loss():
    values = torch.tensor([2.0, 2.46, 2.5, 2.6], dtype=torch.float64)
    expected = torch.tensor([0.46, 0, 0, 0.06], dtype=torch.float64)
    torch.testing.assert_close(GAP_WINDOW.paper_loss(values), expected)
    bulk = Target.parse("bulk_modulus = 120 ± 10").paper_loss(torch.tensor([110.0, 124.0]))
    torch.testing.assert_close(bulk, torch.tensor([5.0, 0.0]))
    tolerance = Target.parse("0.8 <= tolerance_factor <= 1.0")
    torch.testing.assert_close(
        tolerance.paper_loss(torch.tensor([0.9, 1.0])), torch.tensor([0.0, 0.1])
    )
    values = torch.tensor([-2.0, 1.0])
    assert torch.equal(Target.parse("formation_energy < -0.5").paper_loss(values), values)
    assert torch.equal(Target.parse("band_gap > 1").paper_loss(values), -values)
    assert torch.equal(Target.parse("maximize band_gap").paper_loss(values), -values)
    assert torch.equal(Target.parse("minimize band_gap weight 2").paper_loss(values), 2 * values)


TEXTS = [
    "band_gap = 2.5 ± 0.2",
    "formation_energy < -0.5 weight 2",
    "band_gap > 3",
    "maximize critical_temperature",
    "minimize energy_above_hull",
]


@pytest.mark.parametrize("text", TEXTS)
def test_gradients(text):
    target = Target.parse(text)
    values = torch.tensor([-0.7, 1.1, 2.47, 3.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(target.loss, values)
    assert torch.autograd.gradcheck(lambda v: target.loss(v, inner=0.3), values)
    assert torch.autograd.gradcheck(target.paper_loss, values)
    gradient = torch.autograd.grad(target.loss(values).sum(), values)[0]
    if target.direction:
        assert bool((gradient.abs() > 0.1).all())
    else:
        assert torch.equal(gradient == 0, target.met(values.detach()))
        assert gradient.abs().max() >= 1


@pytest.mark.parametrize("text", TEXTS)
def test_a_value_that_is_not_finite_has_loss_nan_and_spoils_no_other(text):
    target = Target.parse(text)
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.1], requires_grad=True)
    for loss in (target.loss(values), target.paper_loss(values)):
        assert loss.isfinite().tolist() == [False, False, False, True]
        gradient = torch.autograd.grad(loss[3], values)[0]
        assert bool(gradient[3].isfinite())
        assert loss.shape == values.shape


@given(value=st.floats(-10, 10), target=targets())
def test_no_loss_exactly_where_met(value, target):
    assume(not target.direction)
    values = torch.tensor([value], dtype=torch.float64)
    if bool(target.met(values)):
        assert float(target.loss(values)) == 0
    else:
        assert float(target.loss(values)) >= 0


def test_shapes_are_checked_while_the_tests_run():
    with pytest.raises(TypeCheckError):
        GAP_WINDOW.met(torch.zeros(2, 2))
