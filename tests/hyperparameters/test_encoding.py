"""Any legal value goes to the unit interval and back, and nothing leaves its bounds."""

import math

from hypothesis import assume, example, given
from hypothesis import strategies as st

from ktcomponent.hyperparameters import Boolean, Choice, Fixed, Float, Int

SAMPLINGS = ("linear", "log", "reverse_log")
units = st.floats(0, 1)


@st.composite
def ints(draw):
    sampling = draw(st.sampled_from(SAMPLINGS))
    low = draw(st.integers(1 if sampling != "linear" else -1000, 1000))
    high = draw(st.integers(low, low + draw(st.sampled_from([0, 1, 7, 1000, 10**6]))))
    step = draw(st.one_of(st.none(), st.integers(2 if sampling != "linear" else 1, 12)))
    return Int("i", low, high, step, sampling)


@st.composite
def floats(draw, with_step):
    sampling = draw(st.sampled_from(SAMPLINGS))
    low = draw(st.floats(1e-6 if sampling != "linear" else -1e3, 1e3))
    high = low + draw(st.floats(0, 1e3))
    if sampling == "linear":
        step = draw(st.floats(0.01, 100))
    else:
        step = draw(st.floats(1.1, 10))
    assume(math.isfinite(high))
    return Float("f", low, high, step if with_step else None, sampling)


@given(ints(), units)
@example(Int("i", 1, 10, sampling="log"), 1.0)
@example(Int("i", 5, 5, sampling="log"), 0.3)
def test_an_integer_stays_in_its_bounds_and_comes_back_exactly(hp, unit):
    value = hp.prob_to_value(unit)
    assert isinstance(value, int)
    assert hp.min_value <= value <= hp.max_value
    assert 0 <= hp.value_to_prob(value) <= 1
    assert hp.prob_to_value(hp.value_to_prob(value)) == value


@given(floats(with_step=True), units)
def test_a_float_with_steps_stays_in_its_bounds_and_comes_back_exactly(hp, unit):
    value = hp.prob_to_value(unit)
    assert hp.min_value <= value <= hp.max_value
    assert hp.prob_to_value(hp.value_to_prob(value)) == value


@given(floats(with_step=False), units)
@example(Float("f", 996.9999999999999, 997.9999999999999, sampling="reverse_log"), 5e-324)
def test_a_continuous_float_stays_in_its_bounds_and_comes_back_exactly(hp, unit):
    for value in (hp.prob_to_value(unit), hp.min_value, hp.max_value):
        assert hp.min_value <= value <= hp.max_value
        assert hp.prob_to_value(hp.value_to_prob(value)) == value


@given(units)
def test_a_range_wider_than_any_float_is_no_other_than_a_narrow_one(unit):
    wide = Float("f", 1e-300, 1e300, sampling="log")
    value = wide.prob_to_value(unit)
    assert math.isclose(math.log10(value), 600 * unit - 300, abs_tol=1e-9)
    assert wide.prob_to_value(wide.value_to_prob(value)) == value
    wide = Float("f", -1.5e308, 1.5e308)
    value = wide.prob_to_value(unit)
    assert math.isclose(value / 1.5e308, 2 * unit - 1, abs_tol=1e-9)
    assert wide.prob_to_value(wide.value_to_prob(value)) == value
    wide = Float("f", 1e-300, 1e300, sampling="reverse_log")
    assert 1e-300 <= wide.prob_to_value(unit) <= 1e300


@given(st.integers(0, 10**9), st.sampled_from(["linear", "log"]))
def test_a_users_own_number_comes_back_exactly(digits, sampling):
    value = round(0.1 + digits / 10**9, 9)
    hp = Float("f", 0.01, 1.5, sampling=sampling)
    assert hp.prob_to_value(hp.value_to_prob(value)) == value


@given(st.lists(st.integers(), min_size=1, max_size=20, unique=True), units)
def test_a_choice_comes_back_exactly(values, unit):
    hp = Choice("c", values)
    value = hp.prob_to_value(unit)
    assert hp.prob_to_value(hp.value_to_prob(value)) == value


def test_a_boolean_and_a_fixed_value_come_back():
    for hp in (Boolean("b"), Fixed("f", "text")):
        for value in hp.values:
            assert hp.prob_to_value(hp.value_to_prob(value)) == value


def test_every_value_of_a_discrete_domain_is_reached():
    assert Int("i", 6, 13, step=3).values == (6, 9, 12)
    assert Int("i", 2, 32, step=2, sampling="log").values == (2, 4, 8, 16, 32)
    assert Float("f", 0.001, 10, step=10, sampling="log").values[-1] == 10
    reached = {Int("i", 1, 10, sampling="log").prob_to_value(k / 1000) for k in range(1000)}
    assert reached == set(range(1, 11))


def test_a_stepped_range_may_be_wider_than_any_float():
    wide = Float("f", 1e-300, 1e300, step=10, sampling="log")
    assert len(wide.legal_values) == 601
    for unit in (0.0, 0.3, 0.999):
        value = wide.prob_to_value(unit)
        assert 1e-300 <= value <= 1e300
        assert wide.prob_to_value(wide.value_to_prob(value)) == value
