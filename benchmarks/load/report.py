"""What a run of the load generator found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Ages:
    """How old answers were when they came, in ms from when their frames were due."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Ten seconds of a run."""

    at_s: float  # from when the counting began
    in_time: int
    age_ms: Ages


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The figures of one run, of frames due after the warm-up unless it says otherwise."""

    seconds: float  # the time in which the counted frames were due
    deadline_ms: float
    rates: tuple[float, ...]  # asked for, by stream
    start_s: float  # `time.monotonic()` of this machine when the counting began
    offered: int
    answered: int  # in time and late
    in_time: int
    dropped: Mapping[str, int]  # by reason
    errors: Mapping[str, int]  # by code
    lost: int  # never heard of again
    wrong_stream: int  # answers that belong to another connection
    wrong_seq: int  # answers to no frame, or to one that was ended already
    age_ms: Ages
    offered_by_stream: tuple[int, ...]
    in_time_by_stream: tuple[int, ...]
    windows: tuple[Window, ...]
    answered_ever: int  # in the warm-up too
    jpeg_bytes: int  # of the pictures sent, in the warm-up too
    wire_bytes: int  # given to the sockets for them, handshakes apart
    refused: Mapping[str, int]  # streams that could not open, by code
    closed: int  # connections that the other side ended during the run
    notices: Mapping[str, int]  # errors that named no frame, by code
    generator_cpu_s: float  # while frames were sent and answers read
    sample: str = ""  # the first answer, cut short
    timeline: tuple[tuple[float, float], ...] = ()  # (due, answered) of each, monotonic seconds

    @property
    def late(self) -> int:
        """Frames that were answered past the deadline."""
        return self.answered - self.in_time

    @property
    def ended(self) -> int:
        """Frames that have an end; the books are right when these are the offered ones."""
        return self.answered + sum(self.dropped.values()) + sum(self.errors.values()) + self.lost

    @property
    def goodput(self) -> float:
        """Frames a second that were answered in time."""
        return self.in_time / self.seconds if self.seconds else 0.0

    def to_json(self) -> str:
        """Return the report as a JSON object."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["age_ms"] = Ages(**data["age_ms"])
        data["windows"] = tuple(
            Window(row["at_s"], row["in_time"], Ages(**row["age_ms"])) for row in data["windows"]
        )
        for name in ("rates", "offered_by_stream", "in_time_by_stream"):
            data[name] = tuple(data[name])
        data["timeline"] = tuple((due_s, at_s) for due_s, at_s in data["timeline"])
        return cls(**data)


def ages_of(seconds: Sequence[float]) -> Ages:
    """Return the quantiles of ages; all 0 for none."""
    if not seconds:
        return Ages()
    ordered = sorted(seconds)
    p50, p95, p99 = (
        ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95, 0.99)
    )
    return Ages(*(round(value * 1e3, 3) for value in (p50, p95, p99, ordered[-1])))
