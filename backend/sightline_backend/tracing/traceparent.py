"""The W3C header by which a caller hands its trace on."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The caller's trace, its span in it, and whether the caller records them."""

    trace_id: str
    span_id: str
    sampled: bool


def read_traceparent(header: str | None) -> TraceParent | None:
    """Return what a `traceparent` header says, None for none and for one that is malformed."""
    found = _FORMAT.fullmatch(header or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, further = found.groups()
    if version == "ff" or (version == "00" and further) or not int(trace_id, 16):
        return None
    if not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & 1))
