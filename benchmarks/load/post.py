"""A camera that posts each picture to an HTTP address, as it does with most other servers."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from benchmarks.load.account import Account
from benchmarks.load.http1 import Connection, post_request
from benchmarks.load.live import SAMPLE
from benchmarks.load.spec import LoadSpec

IN_FLIGHT = 8  # requests of a stream at once; a frame that finds as many is given up


class PostStream:
    """Posts frames over as many connections as are needed, up to IN_FLIGHT."""

    def __init__(self, stream: int, spec: LoadSpec, account: Account) -> None:
        self._stream = stream
        self._url = urlsplit(spec.url)
        self._account = account
        self._field = None if spec.raw else spec.field
        self._header = spec.header
        self._connections: list[Connection] = []
        self._requests: dict[int, bytes] = {}  # by the picture's identity: made once
        self._opening: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        """Open the first connection, so that the first frame need not wait for it."""
        connection = Connection(self._ended)
        try:
            await self._connect(connection)
        except OSError as error:
            self._account.refused[type(error).__name__] += 1
            return
        self._connections.append(connection)

    def send(self, seq: int, due_s: float, jpeg: bytes) -> None:
        """Post a frame; it is given up at once where too many are under way."""
        request = self._requests.get(id(jpeg))
        if request is None:
            request = self._requests[id(jpeg)] = post_request(
                self._url, jpeg, self._field, self._header
            )
        idle = next((c for c in self._connections if c.seq is None), None)
        if idle is None and len(self._connections) >= IN_FLIGHT:
            self._account.drop(self._stream, seq, "too many under way")
            return
        self._account.jpeg_bytes += len(jpeg)
        self._account.wire_bytes += len(request)
        if idle is not None:
            idle.post(seq, request)
            return
        connection = Connection(self._ended)
        connection.seq = seq
        self._connections.append(connection)
        task = asyncio.create_task(self._open_and_post(connection, seq, request))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def close(self) -> None:
        """Close the connections."""
        self._closing = True
        for connection in self._connections:
            connection.close()

    async def _open_and_post(self, connection: Connection, seq: int, request: bytes) -> None:
        try:
            await self._connect(connection)
        except OSError:
            self._connections.remove(connection)
            self._account.fail(self._stream, seq, "no connection")
            return
        connection.post(seq, request)

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._url.hostname or "127.0.0.1", self._url.port or 80
        await loop.create_connection(lambda: connection, host, port)

    def _ended(self, connection: Connection, status: int, body: bytes) -> None:
        """Take a request's end; status 0: the connection broke."""
        seq, connection.seq = connection.seq, None
        if connection.broken and connection in self._connections:
            self._connections.remove(connection)
            self._account.closed += not self._closing and seq is not None and not status
        if seq is None or self._closing:
            return
        if 200 <= status < 300:
            if not self._account.sample:
                self._account.sample = body.decode(errors="replace")[:SAMPLE]
            self._account.answer(self._stream, seq, time.monotonic())
        else:
            self._account.fail(self._stream, seq, str(status) if status else "disconnected")
