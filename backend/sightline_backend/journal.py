"""What one stream's log lines and traces tell of its frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeAlias

import structlog

from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.pace import Pace
from sightline_backend.peaks import Peaks
from sightline_backend.telemetry import is_ours
from sightline_backend.tracing.hops import Attributes, Trace, live_hops, unrun_hops
from sightline_backend.tracing.tracer import Tracer
from sightline_engines.types import ServedModel
from sightline_engines.wire import FramePacket, frame_id

LINES_PER_S, LINES_AT_ONCE = 1.0, 3  # about single frames, of one stream
PEAK_SPAN_S = 5.0  # as the page's strip looks back
PEAKS_PER_S, PEAKS_AT_ONCE = 1.0, 10  # a stream begins with several, each above the last

OnSent: TypeAlias = Callable[[], None]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counts:
    """How a stream's frames ended."""

    answered: int = 0
    dropped: int = 0
    refused: int = 0  # the sender's fault
    failed: int = 0  # the server's fault


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """A frame that is traced once its end is sent."""

    packet: FramePacket
    frame: str
    received_s: float
    ended_s: float
    outcome: Outcome
    served: ServedModel


class Journal:
    """Counts a stream's frames, logs those that failed, and chooses those that are traced.

    Traced are a share of all, those of which a warning is logged, and the slowest of the last
    five seconds: the one that the page's strip names. At debug level that has a line, too.
    """

    def __init__(self, stream: str, tracer: Tracer | None) -> None:
        self.stream = stream
        self.counts = Counts()
        self._tracer = tracer
        self._salt = int(stream[:8], 16)
        self._lines = Pace(LINES_PER_S, LINES_AT_ONCE)
        self._left_out = 0
        self._debug = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
        self._peaks = Peaks(PEAK_SPAN_S)
        self._peak_pace = Pace(PEAKS_PER_S, PEAKS_AT_ONCE)

    def ended(
        self, packet: FramePacket, received_s: float, outcome: Outcome, served: ServedModel
    ) -> OnSent | None:
        """Note how a frame ended; what is returned is to be called once its end is sent.

        None: the frame is not traced.
        """
        now_s = time.monotonic()
        age_s = now_s - received_s + packet.age_ms / 1e3
        worth = False
        match outcome:
            case Done(timings=timings):
                self.counts.answered += 1
                if self._debug or self._tracer is not None:
                    worth = self._is_peak(now_s, age_s)
                if worth and self._debug:
                    spent = {f"{name}_ms": round(ms, 1) for name, ms in asdict(timings).items()}
                    log.debug("frame slow", **_named(self.stream, packet.seq, age_s), **spent)
            case NotRun(reason):
                self.counts.dropped += 1
                if self._debug and reason == "late":
                    self._tell("debug", "frame late", packet.seq, age_s, now_s)
            case Failed(code) if not is_ours(code):
                self.refused(packet.seq, code, age_s)
            case Failed(code, message):
                self.counts.failed += 1
                why = {"code": code, "why": message[:200]}
                worth = self._tell("warning", "frame failed", packet.seq, age_s, now_s, **why)
        if self._tracer is None or not (worth or self._tracer.samples(self._salt, packet.seq)):
            return None
        frame = frame_id(self.stream, packet.seq)
        ended = _Ended(packet, frame, received_s, now_s, outcome, served)
        return lambda: self._trace(ended)

    def refused(self, seq: int, code: str, age_s: float) -> None:
        """Note a frame that its sender has to mend."""
        self.counts.refused += 1
        self._tell("info", "frame refused", seq, age_s, time.monotonic(), code=code)

    def _is_peak(self, now_s: float, age_s: float) -> bool:
        if not self._peaks.is_peak(now_s, age_s) or self._peak_pace.wait_s(now_s) > 0:
            return False
        self._peak_pace.count(now_s)
        return True

    def _tell(
        self, level: str, event: str, seq: int, age_s: float, now_s: float, **facts: str
    ) -> bool:
        """Log a line about a frame, unless there were too many; tell whether it was."""
        if self._lines.wait_s(now_s) > 0:
            self._left_out += 1
            return False
        self._lines.count(now_s)
        more = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        write = getattr(log, level)
        write(event, **_named(self.stream, seq, age_s), **facts, **more)
        return True

    def _trace(self, ended: _Ended) -> None:
        if self._tracer is None:
            return
        sent_s = time.monotonic()
        captured_s = ended.received_s - ended.packet.age_ms / 1e3
        outcome, failure = _outcome(ended.outcome)
        if isinstance(ended.outcome, Done):
            hops = live_hops(captured_s, ended.received_s, ended.outcome.timings, sent_s)
        else:
            hops = unrun_hops(captured_s, ended.received_s, ended.ended_s, sent_s)
        attributes: Attributes = {
            "sightline.stream": self.stream,
            "sightline.seq": ended.packet.seq,
            "sightline.outcome": outcome,
            "sightline.frame_bytes": len(ended.packet.payload),
            **served_attributes(ended.served),
            **done_attributes(ended.outcome),
        }
        trace = Trace(ended.frame, "frame", captured_s, sent_s, hops, attributes, failure)
        self._tracer.send(trace)
        log.info(
            "frame traced",
            stream=self.stream,
            seq=ended.packet.seq,
            trace_id=ended.frame,
            age_ms=round((sent_s - captured_s) * 1e3, 1),
            outcome=outcome,
        )


def served_attributes(served: ServedModel) -> Attributes:
    """Return a trace's attributes of what answered."""
    return {
        "sightline.model": f"{served.name} v{served.version}",
        "sightline.engine": served.engine,
        "sightline.device": served.device,
    }


def done_attributes(outcome: Outcome) -> Attributes:
    """Return a trace's attributes of what was found, none for a frame that was not run."""
    if not isinstance(outcome, Done):
        return {}
    width, height = outcome.size_wh
    return {
        "sightline.width": width,
        "sightline.height": height,
        "sightline.batch_size": outcome.batch_size,
        "sightline.detections": len(outcome.detections),
    }


def _outcome(outcome: Outcome) -> tuple[str, str | None]:
    """Return how a frame ended in a word, and the code of a failure."""
    match outcome:
        case Done():
            return "answered", None
        case NotRun(reason):
            return reason, None
        case Failed(code):
            return "failed" if is_ours(code) else "refused", code


def _named(stream: str, seq: int, age_s: float) -> dict[str, str | int | float]:
    return {
        "stream": stream,
        "seq": seq,
        "frame": frame_id(stream, seq),
        "age_ms": round(age_s * 1e3, 1),
    }
