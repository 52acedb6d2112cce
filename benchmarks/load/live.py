"""A camera of Sightline's own protocol: one WebSocket, frames out, their ends in.

The protocol is driven without websockets' own connection class: that one waits when the
socket's buffer is full, and a camera that waits is no open loop. It also tells how many bytes
go out.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from benchmarks.load.account import Account
from sightline_engines import wire

SAMPLE = 2000  # characters of an answer that are kept
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class LiveStream(asyncio.Protocol):
    """Sends frames whatever the server's credits say, and ends them in the account."""

    def __init__(self, stream: int, url: str, account: Account) -> None:
        self._stream = stream
        self._uri = parse_uri(url)
        self._account = account
        self._protocol = ClientProtocol(
            self._uri, subprotocols=[Subprotocol(wire.SUBPROTOCOL)], max_size=None
        )
        self._opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._text = bytearray()
        self._code = ""

    async def open(self) -> None:
        """Connect and wait for the hello; a refusal is counted and the stream stays silent."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(20):
                await loop.create_connection(lambda: self, self._uri.host, self._uri.port)
                opened = await self._opened
        except (OSError, TimeoutError) as error:
            self._account.refused[type(error).__name__] += 1
            return
        if not opened:
            self._account.refused[self._code or "closed"] += 1

    def send(self, seq: int, due_s: float, jpeg: bytes) -> None:
        """Send a frame that was due at `due_s`; its header says how late it is by now."""
        if self._transport is None:
            self._account.fail(self._stream, seq, "disconnected")
            return
        age_ms = round((time.monotonic() - due_s) * 1e3)
        packet = wire.FramePacket(seq, clock_of(seq), age_ms, jpeg)
        self._protocol.send_binary(wire.encode_frame(packet))
        self._account.jpeg_bytes += len(jpeg)
        self._account.wire_bytes += self._flush()

    async def close(self) -> None:
        """End the stream."""
        self._closing = True
        if self._transport is not None:
            self._protocol.send_close(1000)
            self._flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket."""
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read what came; the time of an answer is when its last byte is here."""
        now_s = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                if self._protocol.handshake_exc is not None:
                    self._code = str(event.status_code)
            elif isinstance(event, Frame) and event.opcode in _DATA:
                self._text += event.data
                if event.fin:
                    text, self._text = bytes(self._text), bytearray()
                    self._take(json.loads(text), text, now_s)
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what still waits: nobody will answer it."""
        self._transport = None
        if not self._opened.done():
            self._opened.set_result(False)
        elif not self._closing and self._opened.result():
            self._account.closed += 1
            self._account.fail_all(self._stream, "disconnected")

    def _take(self, message: dict[str, Any], text: bytes, now_s: float) -> None:
        match message["type"]:
            case "result":
                self._result(message, text, now_s)
            case "dropped":
                self._account.drop(self._stream, int(message["seq"]), str(message["reason"]))
            case "error" if message.get("seq") is not None:
                self._account.fail(self._stream, int(message["seq"]), str(message["code"]))
            case "error":
                self._code = str(message["code"])
                if self._opened.done():
                    self._account.notices[self._code] += 1
            case "hello" if not self._opened.done():
                self._opened.set_result(True)

    def _result(self, message: dict[str, Any], text: bytes, now_s: float) -> None:
        seq = int(message["seq"])
        if message["captured_us"] != clock_of(
            seq
        ):  # a number and a clock that don't belong together
            self._account.misread(self._stream, seq)
            return
        if not self._account.sample:
            self._account.sample = text.decode()[:SAMPLE]
        self._account.answer(self._stream, seq, now_s)

    def _flush(self) -> int:
        sent = 0
        for data in self._protocol.data_to_send():
            if data and self._transport is not None:
                self._transport.write(data)
                sent += len(data)
        return sent


def clock_of(seq: int) -> int:
    """Return what stands in a frame for its clock: another number that only it has."""
    return seq * 7 + 3
