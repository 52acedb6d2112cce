"""A live client as a test needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sightline_engines import wire
from sightline_engines.types import Result
from tests.fakes import encoded, grey

PICTURE = encoded(grey(200))


class Camera:
    """Sends frames and settings, and reads what comes back."""

    def __init__(self, socket: ClientConnection, hello: wire.Hello) -> None:
        self.socket = socket
        self.hello = hello

    async def send(
        self, seq: int, picture: bytes = PICTURE, age_ms: int = 0, captured_us: int = 0
    ) -> None:
        """Send a frame."""
        packet = wire.FramePacket(seq, captured_us, age_ms, picture)
        await self.socket.send(wire.encode_frame(packet))

    async def set(self, **settings: Any) -> wire.ServerMessage:
        """Send settings and return the answer."""
        await self.socket.send(wire.settings_to_json(wire.Settings(**settings)))
        return await self.recv()

    async def recv(self) -> wire.ServerMessage:
        """Return the next message; a further hello is kept as `hello`."""
        while True:
            text = await self.socket.recv()
            assert isinstance(text, str)
            message = wire.message_from_json(text)
            if not isinstance(message, wire.Hello):
                return message
            self.hello = message

    async def result(self) -> Result:
        """Return the next message, which must be a result."""
        message = await self.recv()
        assert isinstance(message, Result), message
        return message

    async def detect(self, seq: int, picture: bytes = PICTURE) -> Result:
        """Send a frame and return its result."""
        await self.send(seq, picture)
        result = await self.result()
        assert result.seq == seq
        return result

    async def closing(self) -> tuple[list[wire.ServerMessage], int]:
        """Return what still comes and the code with which the server closes."""
        messages = []
        with suppress(ConnectionClosed):
            while True:
                messages.append(await self.recv())
        assert self.socket.close_code is not None
        return messages, self.socket.close_code  # 1006 if the connection just broke


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Camera]:
    """Connect and read the hello."""
    options = {"subprotocols": [wire.SUBPROTOCOL], "proxy": None, **options}
    async with connect(url, **options) as socket:
        text = await socket.recv()
        assert isinstance(text, str)
        hello = wire.message_from_json(text)
        assert isinstance(hello, wire.Hello), hello
        yield Camera(socket, hello)
