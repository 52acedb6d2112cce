"""The way of one frame or call as spans of time: pure logic, worked out once it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sightline_engines.types import Timings

Attributes: TypeAlias = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Hop:
    """A part of the way; times are `time.monotonic()` seconds."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Trace:
    """One frame or call from end to end, and its hops in order within it."""

    trace_id: str  # 32 hex digits
    name: str
    start_s: float
    end_s: float
    hops: tuple[Hop, ...]
    attributes: Attributes = field(default_factory=dict)
    failure: str | None = None  # an error's code
    parent_id: str | None = None  # 16 hex digits: the span of whoever called


def live_hops(
    captured_s: float, received_s: float, timings: Timings, sent_s: float
) -> tuple[Hop, ...]:
    """Return the hops of a live frame that was answered.

    In a batch of several the pictures are decoded one after the other: the gap between `decode`
    and `preprocess` is the decoding of the others.
    """
    started_s = received_s + timings.queue / 1e3
    done_s = received_s + timings.total / 1e3
    return _in_order(
        captured_s,
        [
            Hop("client", captured_s, received_s),
            Hop("queue", received_s, started_s),
            Hop("decode", started_s, started_s + timings.decode / 1e3),
            *_engine(done_s, timings),
            Hop("answer", done_s, sent_s),
        ],
        sent_s,
    )


def unrun_hops(
    captured_s: float, received_s: float, ended_s: float, sent_s: float
) -> tuple[Hop, ...]:
    """Return the hops of a live frame that was dropped or failed."""
    return _in_order(
        captured_s,
        [
            Hop("client", captured_s, received_s),
            Hop("queue", received_s, ended_s),
            Hop("answer", ended_s, sent_s),
        ],
        sent_s,
    )


def upload_hops(
    began_s: float, received_s: float, decoding_s: float, timings: Timings, sent_s: float
) -> tuple[Hop, ...]:
    """Return the hops of an upload, which is decoded before it gets in line."""
    decoded_s = decoding_s + timings.decode / 1e3
    done_s = received_s + timings.total / 1e3
    return _in_order(
        began_s,
        [
            Hop("receive", began_s, decoding_s),
            Hop("decode", decoding_s, decoded_s),
            Hop("queue", decoded_s, received_s + (timings.queue + timings.decode) / 1e3),
            *_engine(done_s, timings),
            Hop("answer", done_s, sent_s),
        ],
        sent_s,
    )


def _engine(done_s: float, timings: Timings) -> list[Hop]:
    inferred_s = done_s - timings.postprocess / 1e3
    prepared_s = inferred_s - timings.infer / 1e3
    return [
        Hop("preprocess", prepared_s - timings.preprocess / 1e3, prepared_s),
        Hop("infer", prepared_s, inferred_s),
        Hop("postprocess", inferred_s, done_s),
    ]


def _in_order(start_s: float, hops: list[Hop], end_s: float) -> tuple[Hop, ...]:
    """Keep each hop behind the one before it and within the whole, whatever the clocks say."""
    kept: list[Hop] = []
    for hop in hops:
        begins_s = min(max(hop.start_s, start_s), end_s)
        start_s = min(max(hop.end_s, begins_s), end_s)
        kept.append(Hop(hop.name, begins_s, start_s))
    return tuple(kept)
