"""What one stream's log lines and traces tell of its frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import ParamSpec, TypeAlias, TypeVar

import structlog

from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.lines import Lines
from sightline_backend.pace import Pace
from sightline_backend.peaks import Peaks
from sightline_backend.telemetry import is_ours
from sightline_backend.tracing.ended import EndedFrame
from sightline_backend.tracing.tracer import Tracer
from sightline_engines.types import ServedModel
from sightline_engines.wire import FramePacket, frame_id

LINES_PER_S, LINES_AT_ONCE = 1.0, 3  # about single frames, of one stream
PEAK_SPAN_S = 5.0  # as the page's strip looks back
PEAKS_PER_S, PEAKS_AT_ONCE = 1.0, 10  # a stream begins with several, each above the last

OnSent: TypeAlias = Callable[[], None]
P = ParamSpec("P")
R = TypeVar("R")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counts:
    """How a stream's frames ended."""

    answered: int = 0
    dropped: int = 0
    refused: int = 0  # the sender's fault
    failed: int = 0  # the server's fault


class Journal:
    """Counts a stream's frames, logs those that failed, and chooses those that are traced.

    Traced are a share of all, those of which a warning is logged, and those slower than all of
    the five seconds before them. At debug level these have a line, too. When the slowest frame
    is five seconds old, the page names the next one, which was none of these when it came.
    """

    def __init__(self, stream: str, tracer: Tracer | None, pace: Pace) -> None:
        """`pace` is that of all streams' lines about single frames together."""
        self.stream = stream
        self.counts = Counts()
        self._tracer = tracer
        self._salt = int(stream[:8], 16)
        self._lines = Lines(Pace(LINES_PER_S, LINES_AT_ONCE), pace)
        self._debug = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
        self._peaks = Peaks(PEAK_SPAN_S)
        self._peak_pace = Pace(PEAKS_PER_S, PEAKS_AT_ONCE)
        self._broken = False

    def ended(
        self, packet: FramePacket, received_s: float, outcome: Outcome, served: ServedModel
    ) -> OnSent | None:
        """Note how a frame ended; what is returned is to be called once its end is sent.

        None: the frame is not traced. Neither this nor what is returned ever raises.
        """
        return self._guarded(self._note, packet, received_s, outcome, served)

    def summary(self) -> dict[str, int]:
        """Return what the stream's last line says of its frames."""
        left_out = {"left_out": self._lines.left_out} if self._lines.left_out else {}
        return {**asdict(self.counts), **left_out}

    def _guarded(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Do what only tells of a frame: whatever fails in it costs no frame its end."""
        try:
            return work(*args, **kwargs)
        except Exception:  # OpenTelemetry's own, for one
            if not self._broken:
                log.exception("frames can't be logged or traced", stream=self.stream)
            self._broken = True
            return None

    def _note(
        self, packet: FramePacket, received_s: float, outcome: Outcome, served: ServedModel
    ) -> OnSent | None:
        now_s = time.monotonic()
        captured_s = received_s - packet.age_ms / 1e3
        worth = self._tell(packet.seq, now_s, now_s - captured_s, outcome)
        if self._tracer is None or not (worth or self._tracer.samples(self._salt, packet.seq)):
            return None
        ended = EndedFrame(
            self.stream,
            packet.seq,
            len(packet.payload),
            captured_s,
            received_s,
            now_s,
            outcome,
            served,
        )
        return partial(self._guarded, partial(self._trace, self._tracer, ended))

    def _tell(self, seq: int, now_s: float, age_s: float, outcome: Outcome) -> bool:
        """Count a frame and log what there is to say; tell whether it is worth a trace."""
        match outcome:
            case Done(timings=timings):
                self.counts.answered += 1
                if not (self._debug or self._tracer is not None):
                    return False
                if not self._is_peak(now_s, age_s):
                    return False
                if self._debug:
                    spent = {f"{name}_ms": round(ms, 1) for name, ms in asdict(timings).items()}
                    log.debug("frame slow", **_named(self.stream, seq, age_s), **spent)
                return True
            case NotRun(reason):
                self.counts.dropped += 1
                if self._debug and reason == "late":
                    self._write(log.debug, "frame late", seq, age_s, now_s)
                return False
            case Failed(code) if not is_ours(code):
                self.counts.refused += 1
                self._write(log.info, "frame refused", seq, age_s, now_s, code=code)
                return False
            case Failed(code, message):
                self.counts.failed += 1
                why = {"code": code, "why": message[:200]}
                return self._write(log.warning, "frame failed", seq, age_s, now_s, **why)

    def _is_peak(self, now_s: float, age_s: float) -> bool:
        if not self._peaks.is_peak(now_s, age_s) or self._peak_pace.wait_s(now_s) > 0:
            return False
        self._peak_pace.count(now_s)
        return True

    def _write(
        self,
        write: Callable[..., object],
        event: str,
        seq: int,
        age_s: float,
        now_s: float,
        **facts: str,
    ) -> bool:
        return self._lines.write(write, now_s, event, **_named(self.stream, seq, age_s), **facts)

    def _trace(self, tracer: Tracer, ended: EndedFrame) -> None:
        trace = ended.trace(time.monotonic())
        tracer.send(trace)
        log.info(
            "frame traced",
            stream=self.stream,
            seq=ended.seq,
            trace_id=trace.trace_id,
            age_ms=round((trace.end_s - trace.start_s) * 1e3, 1),
            outcome=ended.said[0],
        )


def _named(stream: str, seq: int, age_s: float) -> dict[str, str | int | float]:
    return {
        "stream": stream,
        "seq": seq,
        "frame": frame_id(stream, seq),
        "age_ms": round(age_s * 1e3, 1),
    }
