"""The arithmetic behind the serving benchmark's figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.numbers import (
    bucket_quantile,
    fair_shares,
    fairness,
    jain,
    median_ratio,
    quantile,
    roofline,
    slope,
    streams_of,
    unequal_streams,
    whole_streams,
)

rates = st.floats(0.5, 60)


@pytest.mark.parametrize(
    ("values", "q", "expected"), [([], 0.5, 0.0), ([3.0], 0.99, 3.0), ([3.0, 1.0, 2.0], 0.5, 2.0)]
)
def test_a_quantile_is_one_of_the_values(values: list[float], q: float, expected: float) -> None:
    assert quantile(values, q) == expected


def test_no_pair_has_no_ratio() -> None:
    assert math.isnan(median_ratio([]))
    assert math.isnan(median_ratio([(1.0, 0.0)]))


def test_the_median_is_taken_of_ratios_and_not_of_values() -> None:
    assert median_ratio([(1.0, 1.0), (8.0, 10.0), (900.0, 1000.0)]) == pytest.approx(0.9)


@given(engine=st.floats(1, 1e4), pictures=st.floats(1, 1e4))
def test_on_a_processor_engine_and_decoder_take_turns(engine: float, pictures: float) -> None:
    assert roofline(engine, pictures, gpu=True) == min(engine, pictures)
    assert roofline(engine, pictures, gpu=False) < min(engine, pictures)


@pytest.mark.parametrize(
    ("demands", "capacity", "expected"),
    [
        ([], 10.0, []),
        ([5.0, 5.0], 20.0, [5.0, 5.0]),
        ([1.0, 10.0, 10.0], 9.0, [1.0, 4.0, 4.0]),
        ([30.0, 2.0], 8.0, [6.0, 2.0]),
    ],
)
def test_fair_shares_are_max_min(
    demands: list[float], capacity: float, expected: list[float]
) -> None:
    assert fair_shares(demands, capacity) == pytest.approx(expected)


@given(st.lists(rates, min_size=1, max_size=20), st.floats(0.1, 500))
def test_fair_shares_spend_what_there_is_and_no_more_than_asked(
    demands: list[float], capacity: float
) -> None:
    shares = fair_shares(demands, capacity)
    assert sum(shares) == pytest.approx(min(capacity, sum(demands)))
    assert all(share <= asked + 1e-9 for share, asked in zip(shares, demands, strict=True))
    fair = fairness(demands, shares)
    assert fair == pytest.approx(1.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_jain_lies_between_one_of_n_and_one(values: list[float]) -> None:
    assert 1 / len(values) - 1e-9 <= jain(values) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("values", "expected"), [([], 1.0), ([0.0, 0.0], 1.0), ([4.0, 0.0], 0.5), ([2.0, 2.0], 1.0)]
)
def test_jain_is_one_when_all_are_alike(values: list[float], expected: float) -> None:
    assert jain(values) == expected


def test_one_camera_that_has_it_all_is_unfair() -> None:
    assert fairness([30.0, 30.0], [20.0, 0.0]) == pytest.approx(0.5)


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(0.0, 1.0), (0.0, 2.0), (1.0, 2.0)]])
def test_too_few_points_have_no_slope(points: list[tuple[float, float]]) -> None:
    found = slope(points)
    assert found.rise == 0.0
    assert not found.known


@given(rise=st.floats(-5, 5), start=st.floats(-50, 50))
def test_a_line_s_slope_is_found(rise: float, start: float) -> None:
    found = slope([(float(x), start + rise * x) for x in range(20)])
    assert found.rise == pytest.approx(rise, abs=1e-6)
    assert found.known


def test_a_flat_noisy_run_s_interval_holds_zero() -> None:
    noise = [3.0, -1.0, 2.0, -2.0, 1.0, -3.0, 2.0, -2.0, 1.5, -1.5] * 6
    found = slope([(float(x), 40 + n) for x, n in enumerate(noise)])
    assert found.lowest < 0 < found.rise + found.half_width


def test_neighbours_that_resemble_each_other_widen_the_interval() -> None:
    wave = [math.sin(x / 8) for x in range(100)]
    shuffled = [wave[(x * 37) % 100] for x in range(100)]
    slow, quick = (slope([(float(x), y) for x, y in enumerate(ys)]) for ys in (wave, shuffled))
    assert slow.half_width > quick.half_width


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, None),
        ({0.1: 0.0, math.inf: 0.0}, None),
        ({0.1: 100.0, 0.2: 100.0, math.inf: 100.0}, 0.099),
        ({0.1: 0.0, 0.2: 100.0, math.inf: 100.0}, 0.199),
        ({0.1: 50.0, 0.2: 50.0, math.inf: 100.0}, 0.2),
    ],
)
def test_a_histogram_s_quantile_is_interpolated(
    counts: dict[float, float], expected: float | None
) -> None:
    assert bucket_quantile(counts, 0.99) == pytest.approx(expected)


@given(total=st.floats(1, 500))
def test_streams_make_up_their_total(total: float) -> None:
    equal, whole, unequal = streams_of(total), whole_streams(total), unequal_streams(total, 7)
    assert sum(equal) == pytest.approx(total)
    assert max(equal) <= 15 + 1e-6
    assert sum(whole) == pytest.approx(total, abs=0.02)
    assert set(whole[:-1]) <= {15.0}
    assert sum(unequal) == pytest.approx(total)
    assert unequal[0] / unequal[3] == pytest.approx(6)
