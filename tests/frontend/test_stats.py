"""The strip's figures."""

from __future__ import annotations

import json

import pytest

from sightline_engines.types import ServedModel, Timings
from sightline_frontend.stats import STAGES, FrameName, LiveStats, Window


@pytest.mark.parametrize(
    ("samples", "rate", "median", "mean"),
    [
        ([], 0.0, None, None),
        ([(0.0, 5.0)], 0.0, 5.0, 5.0),
        ([(0.0, 1.0), (0.5, 3.0), (1.0, 8.0)], 2.0, 3.0, 4.0),
    ],
)
def test_a_window_tells_rate_median_and_mean(
    samples: list[tuple[float, float]], rate: float, median: float | None, mean: float | None
) -> None:
    window = Window(5.0)
    for now_s, value in samples:
        window.add(now_s, value)
    assert window.rate(1.0) == rate
    assert window.quantile(0.5) == median
    assert window.mean() == mean


def test_a_window_forgets_what_is_older_than_its_span() -> None:
    window = Window(1.0)
    for tenth in range(100):
        window.add(tenth / 10, tenth)
    assert window.quantile(0.0) == 89
    assert window.rate(9.9) == pytest.approx(10.0)
    assert window.rate(99.0) == 0.0


def test_a_stream_that_has_not_begun_shows_nothing() -> None:
    empty = LiveStats().snapshot(0.0)
    assert empty == {
        "pictureFps": 0.0,
        "detectionFps": 0.0,
        "p50": None,
        "p95": None,
        "stages": [[name, 0.0] for name in STAGES],
        "slowest": None,
        "drops": {},
        "model": None,
    }


def test_a_snapshot_is_what_the_strip_can_read() -> None:
    stats = LiveStats()
    stats.serving(ServedModel("m", "1", "openvino", "fp32", "CPU", fallback="no CUDA"))
    stats.drop("late")
    stats.drop("late")
    for tick in range(11):
        stats.picture(tick / 10)
        stats.drawn(tick / 10, 80.0, FrameName("3fa9c2", tick, traced=False))
    stats.answered(1.0, 2.0, 50.0, Timings(decode=1, queue=2, infer=30, total=40))
    shown = json.loads(json.dumps(stats.snapshot(1.0)))
    assert shown["pictureFps"] == pytest.approx(10)
    assert shown["p50"] == 80.0
    assert shown["drops"] == {"late": 2}
    assert dict(shown["stages"]) == {
        "encode": 2.0, "network": 10.0, "decode": 1.0, "queue": 2.0,
        "preprocess": 0.0, "infer": 30.0, "postprocess": 0.0,
    }  # fmt: skip
    assert shown["model"]["fallback"] == "no CUDA"


def test_the_slowest_frame_of_the_last_seconds_is_named() -> None:
    stats = LiveStats()
    for seq, age_ms in enumerate([50.0, 212.0, 60.0, 70.0]):
        stats.drawn(seq, age_ms, FrameName("3fa9c2", seq, traced=seq == 1))
    assert stats.snapshot(3.0)["slowest"] == {
        "ageMs": 212.0, "stream": "3fa9c2", "seq": 1, "traced": True,
    }  # fmt: skip
    assert stats.snapshot(6.5)["slowest"]["seq"] == 3
    assert stats.snapshot(60.0)["slowest"] is None
