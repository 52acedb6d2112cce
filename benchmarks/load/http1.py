"""HTTP/1.1 as the load generator needs it: one request under way on a kept connection.

By hand, since the clients there are take up to a millisecond of processor time a request,
which on two cores would be part of what is measured. An answer belongs to the request that
went before it on its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from urllib.parse import SplitResult

BOUNDARY = "sightline-load-8c1f6e"

Ended = Callable[["Connection", int, bytes], None]  # status (0: it broke) and body


class Connection(asyncio.Protocol):
    """One kept connection with at most one request under way, that of frame `seq`."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self.seq: int | None = None
        self.broken = False

    def post(self, seq: int, request: bytes) -> None:
        """Send a request."""
        self.seq = seq
        if self._transport is not None and not self.broken:
            self._transport.write(request)
        else:
            self._ended(self, 0, b"")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to send."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read an answer; nothing happens until the whole of it is here."""
        self._answer += data
        answer = read_answer(self._answer)
        if answer is None:
            return
        status, body, kept = answer
        self._answer.clear()
        if not kept:
            self.broken = True
            self.close()
        self._ended(self, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that was under way."""
        if not self.broken:
            self.broken = True
            self._ended(self, 0, b"")


def post_request(url: SplitResult, jpeg: bytes, field: str | None, header: str = "") -> bytes:
    """Return the bytes of a POST of one picture; `field` None: the picture is the body.

    `header` is a further line of the head, without its end.
    """
    if field is None:
        kind, body = "image/jpeg", jpeg
    else:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        head = (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{field}"; filename="frame.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = head.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode()
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: */*\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    )
    head += f"{header}\r\n\r\n" if header else "\r\n"
    return head.encode() + body


def read_answer(data: bytearray) -> tuple[int, bytes, bool] | None:
    """Return status, body and whether the connection is kept; None while some is missing."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    status = int(first.split(" ", 2)[1])
    if status == 100:
        del data[: end + 4]
        return read_answer(data)
    fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    asked = fields.get("connection", "").lower()
    kept = asked == "keep-alive" if first.startswith("HTTP/1.0") else asked != "close"
    rest = bytes(data[end + 4 :])
    if fields.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(rest)
        return None if body is None else (status, body, kept)
    length = int(fields.get("content-length", "0"))
    return (status, rest[:length], kept) if len(rest) >= length else None


def _unchunked(data: bytes) -> bytes | None:
    """Return a chunked body put together; None while some is missing."""
    body, at = bytearray(), 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].split(b";")[0], 16)
        if len(data) < end + size + 4:
            return None
        if not size:
            return bytes(body)
        body += data[end + 2 : end + 2 + size]
        at = end + size + 4
    return None
