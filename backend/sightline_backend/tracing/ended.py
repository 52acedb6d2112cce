"""A live frame that has ended, as its trace shows it."""

from __future__ import annotations

from dataclasses import dataclass

from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.telemetry import is_ours
from sightline_backend.tracing.hops import Attributes, Trace, live_hops, unrun_hops
from sightline_engines.types import ServedModel
from sightline_engines.wire import frame_id


@dataclass(frozen=True, slots=True, eq=False)
class EndedFrame:
    """What is kept of a frame until its end is sent; times are `time.monotonic()` seconds."""

    stream: str
    seq: int
    size_bytes: int
    captured_s: float
    received_s: float
    ended_s: float
    outcome: Outcome
    served: ServedModel

    def trace(self, sent_s: float) -> Trace:
        """Return the frame's trace."""
        said, failure = self.said
        if isinstance(self.outcome, Done):
            hops = live_hops(self.captured_s, self.received_s, self.outcome.timings, sent_s)
        else:
            hops = unrun_hops(self.captured_s, self.received_s, self.ended_s, sent_s)
        attributes: Attributes = {
            "sightline.stream": self.stream,
            "sightline.seq": self.seq,
            "sightline.outcome": said,
            "sightline.frame_bytes": self.size_bytes,
            **served_attributes(self.served),
            **done_attributes(self.outcome),
        }
        trace_id = frame_id(self.stream, self.seq)
        return Trace(trace_id, "frame", self.captured_s, sent_s, hops, attributes, failure)

    @property
    def said(self) -> tuple[str, str | None]:
        """How the frame ended in a word, and the code of a failure."""
        match self.outcome:
            case Done():
                return "answered", None
            case NotRun(reason):
                return reason, None
            case Failed(code):
                return "failed" if is_ours(code) else "refused", code


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
