"""What a stream has to send, in order, with a bound on what may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline_backend.ending import GONE, UNREAD, Ending

BACKLOG = 64  # frames without an end and messages to send, together


class Outbox:
    """Messages on their way to one client.

    `owed` counts the frames that still need an end. Who takes a new message from the client
    waits for `room` first: then what is posted never exceeds the bound, and a client that
    sends but doesn't read is held up by its own connection.
    """

    def __init__(self, socket: WebSocket, slow_client_timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = slow_client_timeout_s
        self._queue: asyncio.Queue[tuple[str, Callable[[], None] | None] | None] = asyncio.Queue()
        self._moved = asyncio.Event()
        self.owed = 0

    def post(self, text: str) -> None:
        """Put a message at the end."""
        self._queue.put_nowait((text, None))

    def settle(self, text: str, sent: Callable[[], None] | None = None) -> None:
        """Put a message at the end that ends a frame; `sent` is called once it has left."""
        self.owed -= 1
        self._queue.put_nowait((text, sent))

    def finish(self) -> None:
        """Let `write` return once it has sent what waits."""
        self._queue.put_nowait(None)

    async def room(self) -> None:
        """Wait until a further message may be taken from the client."""
        while self.owed + self._queue.qsize() >= BACKLOG:
            self._moved.clear()
            await self._moved.wait()

    async def write(self) -> Ending:
        """Send what is posted until `finish`, or until the client can't be reached."""
        while (letter := await self._queue.get()) is not None:
            text, sent = letter
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._socket.send_text(text)
            except TimeoutError:
                return UNREAD
            except (WebSocketDisconnect, RuntimeError):
                return GONE  # RuntimeError: uvicorn has closed it meanwhile, over ping or size
            self._moved.set()
            if sent is not None:
                sent()
        return GONE
