"""How messages cross between server and worker: a length (8 bytes), then a pickle.

Pickle is right here and nowhere else in Sightline: both ends are the same program, started
by the same user, and the worker process guards against crashes, not against intruders.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import Any, BinaryIO, cast

_LENGTH = struct.Struct("!Q")


def packed(message: object) -> bytes:
    """Return a message as it crosses."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read(stream: BinaryIO) -> Any:
    """Wait for a message; raises EOFError once the other end is gone."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  see above


def write(stream: BinaryIO, message: object) -> None:
    """Send a message; raises OSError once the other end is gone."""
    stream.write(packed(message))
    stream.flush()


class Link(asyncio.Protocol):
    """The server's end: one question at a time, on the event loop."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[Any] | None = None

    def ask(self, message: object) -> asyncio.Future[Any]:
        """Send a message; the future is its answer, or ConnectionResetError."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._answer.set_exception(ConnectionResetError("the worker is gone"))
        else:
            self._transport.write(packed(message))
        return self._answer

    def close(self) -> None:
        """Let the worker see that nothing more comes."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect an answer; it comes in one piece as a rule."""
        self._received += data
        if len(self._received) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack_from(self._received)
        end = _LENGTH.size + length
        if len(self._received) < end:
            return
        answer = pickle.loads(memoryview(self._received)[_LENGTH.size : end])  # noqa: S301
        self._received = bytearray()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the question that is open."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the worker is gone"))
