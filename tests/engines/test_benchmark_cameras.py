"""How many cameras are carried: what can be reckoned by hand, and what holds always."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.benchmark.cameras import MOST_CAMERAS, Carrier, carried, late_share
from sightline_engines.benchmark.spread import Spread


def takes(ms: float, tail_ms: float | None = None) -> Spread:
    tail_ms = tail_ms or ms
    return Spread(ms, ms, ms, ms, tail_ms, 100)


def one(ms: float, instances: int = 1) -> Carrier:
    return Carrier({1: takes(ms)}, instances, 1000 / ms * instances)


@pytest.mark.parametrize(
    ("cameras", "ms", "deadline_ms", "late"),
    [
        (0, 10, 5, 0),
        (1, 10, 9.9, 1),
        (1, 10, 10, 0),
        # The second of two that come within 5 ms of each other ends after 15: 5 / 66.7 of all.
        (2, 10, 15, 0.075),
        (2, 10, 17, 0.045),
        (2, 10, 20, 0),
        (5, 10, 20, 0.16),
        (5, 10, 60, 0),
    ],
)
def test_the_share_of_late_frames_is_what_arithmetic_says(
    cameras: int, ms: float, deadline_ms: float, late: float
) -> None:
    assert late_share(one(ms), cameras, 15, deadline_ms) == pytest.approx(late, abs=0.01)


@pytest.mark.parametrize(
    ("ms", "instances", "deadline_ms", "cameras", "promisable"),
    [
        (10, 1, 9, 0, 5),
        (10, 1, 10, 1, 5),
        (10, 1, 15, 1, 5),
        (10, 1, 20, 3, 5),  # of five 16 in 100 frames would be late
        (10, 1, 25, 4, 5),
        (10, 1, 100, 5, 5),
        (10, 4, 20, 21, 21),
        (5, 1, 10, 5, 10),
        (60, 1, 100, 0, 0),
        (0.01, 1, 100, MOST_CAMERAS, MOST_CAMERAS),
    ],
)
def test_a_deadline_near_the_time_of_a_run_leaves_fewer_cameras(
    ms: float, instances: int, deadline_ms: float, cameras: int, promisable: int
) -> None:
    found = carried(one(ms, instances), 15, deadline_ms, 0.05)
    assert (found.cameras, found.promisable) == (cameras, promisable)
    assert found.late <= 0.05
    assert (found.late_with_more is None) == (cameras == promisable)
    assert found.late_with_more is None or found.late_with_more > 0.05


def test_a_batch_takes_what_waits() -> None:
    whole = Carrier({8: takes(40)}, 1, 200)
    assert carried(whole, 15, 100, 0.05).cameras == 10
    assert carried(whole, 15, 45, 0.05).cameras < 10
    small = Carrier({1: takes(10), 8: takes(40)}, 1, 200)
    assert carried(small, 15, 45, 0.05).cameras > carried(whole, 15, 45, 0.05).cameras


@pytest.mark.parametrize("fps", [1e-306, 1e-320])
def test_a_camera_that_hardly_ever_sends_is_counted_too(fps: float) -> None:
    assert carried(Carrier({1: takes(5)}, 1, 1e6), fps, 1e9, 0.05).promisable == MOST_CAMERAS


def test_slow_runs_among_fast_ones_count() -> None:
    steady, spiky = Carrier({1: takes(5)}, 1, 200), Carrier({1: takes(5, 100)}, 1, 200)
    assert carried(spiky, 15, 20, 0.05).cameras < carried(steady, 15, 20, 0.05).cameras


carriers = st.builds(
    lambda ms, grows, batch, instances, share: Carrier(
        {1: takes(ms)} | {batch: takes(ms * (1 + grows * (batch - 1)))},
        instances,
        share * 1000 * instances * batch / (ms * (1 + grows * (batch - 1))),
    ),
    st.floats(0.5, 100),
    st.floats(0.1, 1),
    st.sampled_from([1, 2, 8]),
    st.integers(1, 4),
    st.floats(0.5, 1),
)


@settings(max_examples=25, deadline=None)
@given(carriers, st.floats(5, 60), st.floats(1, 300), st.floats(1, 3), st.floats(0, 0.5))
def test_never_more_than_the_throughput_allows_and_a_longer_deadline_never_gives_fewer(
    carrier: Carrier, fps: float, deadline_ms: float, longer: float, allowed: float
) -> None:
    found = carried(carrier, fps, deadline_ms, allowed)
    assert found.cameras * fps <= 0.8 * carrier.fps + 1e-6
    assert found.late <= allowed
    assert carried(carrier, fps, deadline_ms * longer, allowed).cameras >= found.cameras
    assert carried(carrier, fps, deadline_ms, allowed) == found
