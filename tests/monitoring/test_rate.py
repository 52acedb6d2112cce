"""Events per second over a window, with a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_monitoring.rate import Rate


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def run(rate: Rate, clock: Clock, per_second: float, seconds: float) -> None:
    """Tick evenly for a while."""
    for _ in range(round(per_second * seconds)):
        clock.now_s += 1 / per_second
        rate.tick()


def test_nothing_counted_is_zero() -> None:
    assert Rate().per_second() == 0


@pytest.mark.parametrize("per_second", [1, 10, 30, 1000])
def test_an_even_stream_is_measured_within_a_slice(per_second: float) -> None:
    clock = Clock()
    rate = Rate(window_s=5, clock=clock)
    run(rate, clock, per_second, seconds=20)
    assert rate.per_second() == pytest.approx(per_second, rel=0.25)


def test_what_has_stopped_falls_to_zero_within_the_window() -> None:
    clock = Clock()
    rate = Rate(window_s=5, clock=clock)
    run(rate, clock, 30, seconds=10)
    clock.now_s += 2.5
    assert 0 < rate.per_second() < 30
    clock.now_s += 2.6
    assert rate.per_second() == 0
    run(rate, clock, 30, seconds=10)
    assert rate.per_second() == pytest.approx(30, rel=0.1)


@given(st.lists(st.floats(0, 100)))
def test_no_pattern_of_events_gives_more_than_there_were(gaps_s: list[float]) -> None:
    clock = Clock()
    rate = Rate(window_s=5, clock=clock)
    for gap_s in gaps_s:
        clock.now_s += gap_s
        rate.tick()
    assert 0 <= rate.per_second() <= len(gaps_s) / 4.5
