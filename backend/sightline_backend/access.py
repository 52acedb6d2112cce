"""What stands before every HTTP call: its id, its line in the log, and its trace."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline_backend.batch import Done
from sightline_backend.tracing.ended import done_attributes, served_attributes
from sightline_backend.tracing.hops import Attributes, Trace, upload_hops
from sightline_backend.tracing.traceparent import TraceParent, read_traceparent
from sightline_backend.tracing.tracer import Tracer
from sightline_engines.types import ServedModel

REQUEST_ID = "x-request-id"
# Asked every few seconds, for ever.
SILENT = frozenset({"/metrics", "/health", "/health/live", "/health/ready"})
LONGEST_PATH, LONGEST_METHOD = 200, 20
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # UUIDs, ULIDs, hex

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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


class AccessLog:
    """Gives each call an id, which is in the answer and in every log line about it.

    A successful read is logged at debug, everything else at info, the server's own faults at
    warning. No line holds a caller's address, a query or the name of a file.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer | None) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on; a WebSocket's stream has an id of its own."""
        structlog.contextvars.clear_contextvars()
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call.read(Headers(scope=scope), time.monotonic())
        scope.setdefault("state", {})["call"] = call
        # It stays bound: the server logs a traceback after the app has returned.
        structlog.contextvars.bind_contextvars(request_id=call.id)
        answer = _Answer(send, call.id)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            self._ended(scope, call, answer.status)

    def _ended(self, scope: Scope, call: Call, status: int) -> None:
        path, method = scope["path"], scope["method"]
        sent_s = time.monotonic()
        traced = {"trace_id": call.trace_id} if self._trace(call, scope, status, sent_s) else {}
        if method == "GET" and path in SILENT and status < 500:
            return
        write = log.info
        if status >= 500 and status != 503:
            write = log.warning
        elif status < 400 and method == "GET":
            write = log.debug
        write(
            "request",
            method=method[:LONGEST_METHOD],
            path=path[:LONGEST_PATH],
            status=status,
            ms=round((sent_s - call.began_s) * 1e3, 1),
            **traced,
        )

    def _trace(self, call: Call, scope: Scope, status: int, sent_s: float) -> bool:
        """Send the call's trace if it has one and is to be traced; tell whether it was."""
        tracer = self._tracer
        if tracer is None or call.detected is None:
            return False
        if not tracer.samples_call(call.trace_id, call.parent):
            return False
        name = f"{scope['method']} {scope['path']}"
        tracer.send(call.trace(name, call.detected, status, sent_s))
        return True


class _Answer:
    """An answer on its way out, with the call's id put into it."""

    def __init__(self, send: Send, call_id: str) -> None:
        self._send = send
        self._call_id = call_id
        self.status = 500  # unless it gets as far as an answer

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self._call_id
        await self._send(message)
