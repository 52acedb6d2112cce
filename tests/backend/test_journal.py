"""What is told of a stream's frames, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from sightline_backend import journal as journal_module
from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.journal import Counts, Journal
from sightline_backend.lines import Lines
from sightline_backend.pace import Pace
from sightline_backend.sessions import FRAME_LINES_AT_ONCE, FRAME_LINES_PER_S
from sightline_backend.tracing.hops import Trace
from sightline_backend.tracing.tracer import Tracer
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


class BrokenTracer(Tracer):
    """Samples every frame, and fails where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__("http://localhost:4318", 1.0)
        self._where = where

    def samples(self, salt: int, seq: int) -> bool:
        """Take every frame, or fail."""
        if self._where == "samples":
            raise ZeroDivisionError("a bug")
        return True

    def send(self, trace: Trace) -> None:
        """Fail, as the SDK may."""
        raise ZeroDivisionError("a bug")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(journal_module, "time", clock)
    return clock


def journals(number: int, tracer: Tracer | None = None) -> list[Journal]:
    """Return the journals of streams of one server."""
    pace = Pace(FRAME_LINES_PER_S, FRAME_LINES_AT_ONCE)
    return [Journal(STREAM, tracer, pace) for _ in range(number)]


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
    (journal,) = journals(1)
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
        ended(journals(1)[0], clock, 420, outcome)
    named = {"stream": STREAM, "seq": 420, "frame": frame_id(STREAM, 420), "age_ms": 100.0}
    assert [dict(found) for found in lines] == ([] if line is None else [{**named, **line}])


def test_lines_are_one_a_second_and_say_how_many_were_left_out(clock: Clock) -> None:
    (journal,) = journals(1)
    with capture_logs() as lines:
        for tick in range(100):
            clock.now_s = 1000 + tick / 10
            ended(journal, clock, tick, OURS)
    left_out = [line.get("left_out", 0) for line in lines]
    assert len(lines) in (12, 13)
    assert left_out[:3] == [0, 0, 0]
    assert set(left_out[4:]) == {9}
    told = sum(left_out) + len(lines) + journal.summary().get("left_out", 0)
    assert told == 100


def test_all_streams_together_write_ten_lines_a_second(clock: Clock) -> None:
    """An engine that rests fails a frame of each of them again and again."""
    streams = journals(64)
    with capture_logs() as lines:
        for second in range(20):
            clock.now_s = 1000 + second
            for journal in streams:
                ended(journal, clock, second, OURS)
    assert len(lines) <= FRAME_LINES_AT_ONCE + 20 * FRAME_LINES_PER_S
    told = len(lines) + sum(line.get("left_out", 0) for line in lines)
    assert told + sum(j.summary().get("left_out", 0) for j in streams) == 20 * 64


def test_a_line_that_is_left_out_takes_none_of_the_others_pace() -> None:
    shared, written = Pace(1.0, 2), list[str]()
    one, two = (Lines(Pace(1.0, 1), shared) for _ in range(2))
    for _ in range(5):
        one.write(written.append, 10.0, "one")
    two.write(written.append, 10.0, "two")
    assert written == ["one", "two"]
    assert (one.left_out, two.left_out) == (4, 0)


@pytest.mark.parametrize("where", ["samples", "send"])
def test_what_fails_in_the_telling_of_a_frame_is_logged_once_and_never_raised(
    where: str, clock: Clock
) -> None:
    (journal,), late = journals(1, BrokenTracer(where)), NotRun("late")
    with capture_logs() as lines:
        for seq in range(5):
            on_sent = journal.ended(FramePacket(seq, 0, 40, b"picture"), 999.0, late, SERVED)
            assert (on_sent is None) is (where == "samples")
            if on_sent is not None:
                on_sent()
    assert [line["event"] for line in lines] == ["frames can't be logged or traced"]
    assert journal.counts == Counts(dropped=5)


def test_a_frame_that_is_to_be_traced_keeps_no_picture(clock: Clock) -> None:
    picture = bytearray(b"picture")
    packet = FramePacket(1, 0, 40, memoryview(picture))
    (journal,) = journals(1, BrokenTracer("send"))
    on_sent = journal.ended(packet, 999.0, DONE, SERVED)
    assert on_sent is not None
    del packet
    picture.clear()  # a BufferError while anybody has a view of it
