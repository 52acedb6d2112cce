"""Which end of a frame counts as what: dashboards and objectives stand on it."""

from __future__ import annotations

import math
import time

import pytest

from sightline_backend.batch import Done, Failed, NotRun, Outcome, Work
from sightline_backend.telemetry import Telemetry
from sightline_engines.pipeline import DetectOptions
from sightline_engines.types import Detections, Timings
from sightline_monitoring.metrics import Metrics

DONE = Done(Detections.empty(), (64, 64), Timings(1, 2, 3, 4, 5, 15), 1)
IN_TIME, PAST, UPLOAD = 60.0, -1.0, math.inf


def frame(deadline_s: float, received_s: float) -> Work:
    """Return a frame whose times are seconds from now; an upload's deadline is infinite."""
    now_s = time.monotonic()
    return Work(b"", DetectOptions(0.5, 0.5), now_s + received_s, now_s + deadline_s)


def counted(telemetry: Telemetry) -> dict[str, float]:
    """Return what was counted, by the labels' values."""
    return {
        value: sample.value
        for family in telemetry.metrics.registry.collect()
        if family.name in ("sightline_frames", "sightline_admitted_frames")
        for sample in family.samples
        for value in sample.labels.values()
        if sample.value
    }


@pytest.mark.parametrize(
    ("deadline_s", "received_s", "outcome", "expected"),
    [
        (IN_TIME, -2.0, DONE, {"answered": 1, "yes": 1}),
        (PAST, -2.0, DONE, {"answered": 1, "no": 1}),
        (UPLOAD, -2.0, DONE, {"answered": 1}),
        (PAST, -2.0, NotRun("late"), {"dropped": 1, "no": 1}),
        (PAST, 0.0, NotRun("late"), {"dropped": 1}),
        (IN_TIME, -2.0, NotRun("superseded"), {"dropped": 1}),
        (IN_TIME, -2.0, NotRun("superseded", owed=True), {"dropped": 1, "no": 1}),
        (IN_TIME, -2.0, NotRun("closing"), {"dropped": 1}),
        (IN_TIME, -2.0, Failed("corrupt_picture", ""), {"refused": 1}),
        (IN_TIME, -2.0, Failed("engine_lost", ""), {"failed": 1, "no": 1}),
        (IN_TIME, -2.0, Failed("internal", ""), {"failed": 1, "no": 1}),
        (UPLOAD, -2.0, Failed("engine_failed", ""), {"failed": 1}),
    ],
    ids=[
        "answered in time",
        "answered too late",
        "an upload has no deadline",
        "late in the line",
        "too late when it came",
        "replaced beyond its promise",
        "replaced within its promise",
        "its stream went",
        "a bad picture",
        "the engine died",
        "a bug",
        "an upload that failed",
    ],
)
def test_a_frames_end_counts_once(
    deadline_s: float, received_s: float, outcome: Outcome, expected: dict[str, float]
) -> None:
    telemetry = Telemetry(Metrics())
    telemetry.frame_ended(frame(deadline_s, received_s), outcome)
    assert counted(telemetry) == expected
