"""One HTTP call: its id, the trace that it belongs to, and what the detector made of it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from sightline_backend.batch import Done
from sightline_backend.journal import done_attributes, served_attributes
from sightline_backend.tracing.hops import Attributes, Trace, upload_hops
from sightline_backend.tracing.traceparent import TraceParent, read_traceparent
from sightline_engines.types import ServedModel

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # UUIDs, ULIDs, hex


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """What became of an upload; times are `time.monotonic()` seconds."""

    received_s: float
    decoding_s: float
    done: Done
    served: ServedModel


@dataclass(slots=True, eq=False)
class Call:
    """A call in hand; its route may note what was detected."""

    id: str
    parent: TraceParent | None
    began_s: float
    detected: Detected | None = None
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def read(cls, headers: Headers, now_s: float) -> Call:
        """Take the caller's id if it is well formed, else its trace's, else a new one."""
        parent = read_traceparent(headers.get("traceparent"))
        call = cls("", parent, now_s)
        if parent is not None:
            call.trace_id = parent.trace_id
        asked = headers.get("x-request-id", "")
        call.id = asked if _REQUEST_ID.fullmatch(asked) else call.trace_id
        return call

    def trace(self, name: str, found: Detected, status: int, sent_s: float) -> Trace:
        """Return the trace of a call whose answer has left."""
        hops = upload_hops(
            self.began_s, found.received_s, found.decoding_s, found.done.timings, sent_s
        )
        attributes: Attributes = {
            "http.response.status_code": status,
            "sightline.request": self.id,
            **served_attributes(found.served),
            **done_attributes(found.done),
        }
        parent_id = None if self.parent is None else self.parent.span_id
        failure = str(status) if status >= 500 else None
        return Trace(
            self.trace_id, name, self.began_s, sent_s, hops, attributes, failure, parent_id
        )
