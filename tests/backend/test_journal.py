"""What is told of a stream's frames, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from sightline_backend import journal as journal_module
from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.journal import Counts, Journal
from sightline_engines.types import Detections, ServedModel, Timings
from sightline_engines.wire import FramePacket, frame_id
from tests.fakes import FakeEngine

STREAM = "3fa9c2d17a0be35c9f4d8e61"
SERVED: ServedModel = FakeEngine().served
DONE = Done(Detections.empty(), (64, 64), Timings(), 1)
OURS = Failed("engine_lost", "The engine stopped.")
THEIRS = Failed("corrupt_picture", "The picture is cut.")


class Clock:
    """Stands in for the journal's clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Return the time that is set."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(journal_module, "time", clock)
    return clock


def ended(journal: Journal, clock: Clock, seq: int, outcome: Outcome) -> None:
    packet = FramePacket(seq, 0, 40, b"picture")
    assert journal.ended(packet, clock.now_s - 0.06, outcome, SERVED) is None, "nothing traces"


@pytest.mark.parametrize(
    ("outcomes", "counts"),
    [
        ([], Counts()),
        ([DONE, DONE, NotRun("late")], Counts(answered=2, dropped=1)),
        ([OURS, THEIRS, THEIRS], Counts(failed=1, refused=2)),
    ],
)
def test_each_frame_is_counted_by_how_it_ended(
    outcomes: list[Outcome], counts: Counts, clock: Clock
) -> None:
    journal = Journal(STREAM, None)
    for seq, outcome in enumerate(outcomes):
        ended(journal, clock, seq, outcome)
    assert journal.counts == counts


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (DONE, None),
        (NotRun("superseded"), None),
        (THEIRS, {"event": "frame refused", "log_level": "info", "code": "corrupt_picture"}),
        (
            OURS,
            {
                "event": "frame failed",
                "log_level": "warning",
                "code": "engine_lost",
                "why": "The engine stopped.",
            },
        ),
    ],
)
def test_a_frame_that_went_wrong_is_named_and_its_age_told(
    outcome: Outcome, line: dict[str, Any] | None, clock: Clock
) -> None:
    with capture_logs() as lines:
        ended(Journal(STREAM, None), clock, 420, outcome)
    named = {"stream": STREAM, "seq": 420, "frame": frame_id(STREAM, 420), "age_ms": 100.0}
    assert [dict(found) for found in lines] == ([] if line is None else [{**named, **line}])


def test_lines_are_one_a_second_and_say_how_many_were_left_out(clock: Clock) -> None:
    journal = Journal(STREAM, None)
    with capture_logs() as lines:
        for tick in range(100):
            clock.now_s = 1000 + tick / 10
            ended(journal, clock, tick, OURS)
    left_out = [line.get("left_out", 0) for line in lines]
    assert len(lines) in (12, 13)
    assert left_out[:3] == [0, 0, 0]
    assert set(left_out[4:]) == {9}
