"""What is under way on one open line to the detector; no input or output of its own."""

from __future__ import annotations

from dataclasses import dataclass

from sightline_engines import wire
from sightline_engines.types import Result
from sightline_frontend.jargon import plainly
from sightline_frontend.pacing import Pacer
from sightline_frontend.stats import FrameName, LiveStats

_FAILURES_SHOWN = 5  # as many frames in a row that failed are no accident
_WITHOUT_TRITON = (
    "Don't want to wait? Press “Serve live video without Triton” on the page Deploy. With "
    "`SIGHTLINE_TRITON_FALLBACK=onnxruntime` the detector does so by itself next time."
)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A result and when its frame came, on the clock of `time.monotonic`."""

    result: Result
    came_s: float
    frame: FrameName


@dataclass(frozen=True, slots=True)
class _Sent:
    came_s: float
    sent_s: float
    encode_ms: float


class Exchange:
    """Matches frames with their answers; `seen` and `problem` are the newest of each."""

    def __init__(self, hello: wire.Hello, stats: LiveStats) -> None:
        self.input_size_wh = hello.input_size_wh
        self.told_size_wh: tuple[int, int] | None = None  # by a later hello: of what answers now
        self.seen: Seen | None = None
        self.problem: str | None = None
        self._stats = stats
        self._stream = hello.stream
        self._pacer = Pacer(hello.credits)
        self._max_frame_bytes = hello.max_frame_bytes
        self._sent: dict[int, _Sent] = {}
        self._seq = 0
        self._failures = 0
        stats.serving(hello.model)

    def ready(self, now_s: float) -> bool:
        """Tell whether a frame is worth sending now."""
        return self._pacer.ready(now_s)

    def frame(self, payload: bytes, came_s: float, start_s: float, now_s: float) -> bytes | None:
        """Return the message of a frame that came, was encoded from `start_s` and leaves now.

        None for one that is larger than the server takes; it is counted.
        """
        if len(payload) > self._max_frame_bytes:
            self._stats.drop("too_large")
            return None
        self._seq += 1
        self._pacer.sent(self._seq, now_s)
        self._sent[self._seq] = _Sent(came_s, now_s, (now_s - start_s) * 1e3)
        return wire.encode_frame(
            wire.FramePacket(
                seq=self._seq,
                captured_us=int(came_s * 1e6),
                age_ms=round((now_s - came_s) * 1e3),
                payload=payload,
            )
        )

    def receive(self, message: wire.ServerMessage, now_s: float) -> None:
        """Take one of the server's messages."""
        match message:
            case Result() as result:
                self._pacer.ended(result.seq, result.timings)
                if self._failures >= _FAILURES_SHOWN:
                    self.problem = None
                self._failures = 0
                self._stats.serving(result.model)
                self._take_result(result, now_s)
            case wire.Dropped(seq, reason):
                self._end(seq, reason)
            case wire.Failure(code, text, seq):
                if seq is None:
                    self.problem = text
                else:
                    self._end(seq, code)
                    self._fail(code, text)
            case wire.Settings():
                self.problem = None
            case wire.Hello() as hello:  # another model or engine answers from now on
                self.input_size_wh = self.told_size_wh = hello.input_size_wh
                self._max_frame_bytes = hello.max_frame_bytes
                self._stats.serving(hello.model)
                self.problem = None

    def _take_result(self, result: Result, now_s: float) -> None:
        sent = self._sent.pop(result.seq, None)
        if sent is not None:
            round_trip_ms = (now_s - sent.sent_s) * 1e3
            self._stats.answered(now_s, sent.encode_ms, round_trip_ms, result.timings)
            frame = FrameName(self._stream, result.seq, result.traced)
            self.seen = Seen(result, sent.came_s, frame)

    def _fail(self, code: str, text: str) -> None:
        self._failures += 1
        if self._failures < _FAILURES_SHOWN:
            return
        if code == "engine_away":
            self.problem = f"{plainly(text)} {_WITHOUT_TRITON}"
        else:
            self.problem = f"The detector fails on every frame: {plainly(text)}"

    def _end(self, seq: int, reason: str) -> None:
        self._pacer.ended(seq)
        self._sent.pop(seq, None)
        self._stats.drop(reason)
