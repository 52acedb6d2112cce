"""Estimates of engine time by batch size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.batch_times import BatchTimes


@pytest.mark.parametrize("measured", [{}, {2: 0.1}, {1: -0.1}, {0: 0.1, 1: 0.1}])
def test_times_without_a_single_frame_are_refused(measured: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="times need size 1"):
        BatchTimes(measured)


def test_sizes_never_run_are_interpolated_and_larger_ones_scaled() -> None:
    times = BatchTimes({1: 0.010, 4: 0.016})
    assert times.mean(2) == pytest.approx(0.012)
    assert times.mean(8) == pytest.approx(0.032)


@pytest.mark.parametrize(
    ("measured", "best"),
    [({1: 0.01}, 1), ({1: 0.01, 2: 0.02}, 1), ({1: 0.01, 2: 0.011, 4: 0.0217}, 2)],
)
def test_the_best_size_is_the_smallest_that_gives_nearly_the_most_frames(
    measured: dict[int, float], best: int
) -> None:
    assert BatchTimes(measured).best_size() == best


def test_a_slower_engine_is_learnt() -> None:
    times = BatchTimes({1: 0.010})
    for _ in range(60):
        times.observe(1, 0.040)
    assert times.mean(1) == pytest.approx(0.040, rel=0.02)


@given(st.lists(st.floats(0.001, 0.1), min_size=1, max_size=50))
def test_the_cautious_time_is_never_under_the_mean(seen: list[float]) -> None:
    times = BatchTimes({1: seen[0]})
    for seconds in seen:
        times.observe(1, seconds)
    assert times.cautious(1) >= times.mean(1) > 0


def test_one_stall_does_not_change_the_plan() -> None:
    times = BatchTimes({1: 0.010, 2: 0.020, 4: 0.040})
    times.observe(1, 4.0)
    assert times.mean(1) < 0.013
    for _ in range(20):
        times.observe(1, 0.010)
    assert times.best_size() == 1


def test_an_engine_that_has_really_become_slow_is_followed() -> None:
    times = BatchTimes({1: 0.010})
    for _ in range(40):
        times.observe(1, 0.500)
    assert times.mean(1) == pytest.approx(0.5, rel=0.05)


def test_decoding_costs_time_but_never_makes_a_larger_batch_look_better() -> None:
    times = BatchTimes({1: 0.010, 2: 0.020})
    for _ in range(60):
        times.observe(1, 0.010, per_frame_s=0.005)
    assert times.mean(1) == pytest.approx(0.015, rel=0.02)
    assert times.mean(2) == pytest.approx(0.030, rel=0.02)
    assert times.best_size() == 1
