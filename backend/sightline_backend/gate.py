"""What every HTTP request passes before any of it is parsed or counted.

Plain ASGI, since it has to count bytes while they arrive: an upload that is too large is
turned away at its first byte too many, not after it has filled a disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline_backend.errors import RefusalReason
from sightline_backend.handlers import error_response
from sightline_backend.settings import Settings

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
DRAIN_S = 2.0  # for the rest of an upload that is refused
FORM_BYTES = 64 * 2**10  # what the multipart form adds to its file
LEAST_BYTES_PER_S = 2**20  # at which a model or a data set has to arrive
LARGE_AT_ONCE = 4  # models and data sets, which take minutes, apart from pictures, which don't
_LARGE = frozenset({"/api/models", "/api/datasets"})


class MethodGate:
    """Turns away methods HTTP doesn't know: each would be a time series of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or answer it with 405."""
        if scope["type"] == "http" and scope["method"] not in METHODS:
            response = error_response(405, "method_not_allowed", "There is no such method.")
            response.headers["connection"] = "close"
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


class UploadGate:
    """Bounds the size of a body, the time it may take, and how many are in hand at once."""

    def __init__(
        self, app: ASGIApp, settings: Settings, refused: Callable[[RefusalReason], None]
    ) -> None:
        """`refused` is told of every upload that finds too many others."""
        self._app = app
        self._settings = settings
        self._refused = refused
        self._in_hand = {False: 0, True: 0}  # of pictures, of models and data sets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a counted body; 413, 408 or 503 is the answer to some."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._settings)
        large = scope["path"] in _LARGE
        if self._in_hand[large] >= (LARGE_AT_ONCE if large else self._settings.max_uploads):
            self._refused("uploads")
            message = "As many uploads as are taken at once are in hand; try again in a moment."
            response = error_response(503, "busy", message, retry_after_s=1)
            await response(scope, body.receive, body.send)
            return
        self._in_hand[large] += 1
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self._in_hand[large] -= 1


class _Body:
    """One request's body on its way in, and its answer on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self._receive = receive
        self._send = send
        self._upload_bytes = _most_bytes(scope["path"], settings)
        self._most = self._upload_bytes + FORM_BYTES
        self._timeout_s = settings.upload_timeout_s
        if self._upload_bytes > settings.max_upload_bytes:
            self._timeout_s += self._upload_bytes // LEAST_BYTES_PER_S
        self._until_s = time.monotonic() + self._timeout_s
        self._announced = int(Headers(scope=scope).get("content-length", 0))  # uvicorn saw to it
        self._arrived = 0
        self._complete = False

    async def receive(self) -> Message:
        """Return the next part; raises HTTPException where the body breaks a limit."""
        if self._complete:  # the next message is the client's leaving, whenever that is
            return await self._receive()
        if self._announced > self._most:
            raise self._too_large()
        message = await self._next()
        if self._arrived > self._most:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on, once the client has had a chance to send what it still has."""
        if message["type"] == "http.response.start" and not self._complete:
            await self._drain()
            if not self._complete:
                MutableHeaders(scope=message)["connection"] = "close"
        await self._send(message)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"An upload may have {self._upload_bytes} bytes at most.")

    async def _drain(self) -> None:
        """Throw the rest away, within bounds: many clients read no answer before they have
        sent all, and an answer is lost when its connection closes with bytes unread.
        """
        self._until_s = min(self._until_s, time.monotonic() + DRAIN_S)
        with suppress(HTTPException):
            while not self._complete and self._arrived <= 2 * self._most:
                await self._next()

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._until_s - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            text = f"An upload may take {self._timeout_s:g} seconds to arrive."
            raise HTTPException(408, text) from None
        self._arrived += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message


def _most_bytes(path: str, settings: Settings) -> int:
    """Return how large a body may be: models and data sets go to the disk as they arrive."""
    match path:
        case "/api/models":
            return settings.max_model_bytes
        case "/api/datasets":
            return settings.max_dataset_bytes
    return settings.max_upload_bytes


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
