"""What stands before every HTTP call: its id, its line in the log, and its trace."""

from __future__ import annotations

import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline_backend.call import Call
from sightline_backend.tracing.tracer import Tracer

REQUEST_ID = "x-request-id"
SILENT = ("/metrics", "/health")  # asked every few seconds, for ever
LONGEST_PATH, LONGEST_METHOD = 200, 20

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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
        if path.startswith(SILENT):
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
