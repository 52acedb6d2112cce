"""The rate at which counts grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_frontend.inference_rate import SPAN_S, InferenceRates


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        ([(0.0, 5)], None),
        ([(0.0, 5), (0.0, 6)], None),
        ([(0.0, 5), (2.0, 5)], 0.0),
        ([(0.0, 5), (2.0, 25)], 10.0),
        ([(0.0, 500), (2.0, 3)], None),  # loaded anew
        ([(0.0, 0), (30.0, 300), (32.0, 340)], 20.0),
    ],
)
def test_the_rate_is_of_the_last_ten_seconds(
    counts: list[tuple[float, int]], rate: float | None
) -> None:
    rates = InferenceRates()
    for now_s, count in counts:
        found = rates.note("m", count, now_s)
    assert found == rate


def test_models_are_counted_apart() -> None:
    rates = InferenceRates()
    rates.note("a", 0, 0.0)
    assert rates.note("b", 100, 1.0) is None
    assert rates.note("a", 10, 1.0) == 10


@pytest.mark.parametrize(("asked", "rate"), [(0, 0.0), (1, 0.0), (100, 12.0)])
def test_tries_alone_are_idle(asked: int, rate: float) -> None:
    rates = InferenceRates()
    for number in range(6):  # two tries each four seconds, and who asks beside them
        count = 2 * (number // 2) + asked * number // 5
        tried = [f"{name} {number // 2}" for name in ("pictures", "tensors")]
        found = rates.note("m", count, 2.0 * number, tried)
    assert found is not None
    assert (found > 0) == (rate > 0)


@given(st.lists(st.tuples(st.floats(0.1, SPAN_S), st.integers(0, 1000)), min_size=1, max_size=50))
def test_a_count_that_grows_has_a_rate_that_is_not_negative(
    steps: list[tuple[float, int]],
) -> None:
    rates, now_s, count = InferenceRates(), 0.0, 0
    rates.note("m", count, now_s)
    for pause_s, more in steps:
        now_s, count = now_s + pause_s, count + more
        rate = rates.note("m", count, now_s)
        assert rate is not None
        assert 0 <= rate <= 1000 / 0.1 + 1e-6
