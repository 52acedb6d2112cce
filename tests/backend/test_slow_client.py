"""A client that sends but never reads: held up by its own connection, then let go."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from contextlib import closing

from sightline_backend.outbox import BACKLOG
from sightline_engines import wire
from tests.backend.camera import PICTURE
from tests.backend.running import Backend, running, until
from tests.fakes import FakeEngine

HANDSHAKE = (
    "GET /ws/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Protocol: {wire.SUBPROTOCOL}\r\nSec-WebSocket-Key: {{key}}\r\n\r\n"
)


def deaf_socket(port: int) -> socket.socket:
    """Connect with the smallest receive buffer, so that unread answers back up soon."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    raw.sendall(HANDSHAKE.format(key=base64.b64encode(os.urandom(16)).decode()).encode())
    raw.setblocking(False)
    return raw


def masked(message: bytes) -> bytes:
    """Return a client's binary message with a mask of zeros."""
    return b"\x82" + bytes([0x80 | 126]) + len(message).to_bytes(2, "big") + bytes(4) + message


async def flood(raw: socket.socket) -> None:
    """Send frames for ever without reading a byte."""
    loop = asyncio.get_running_loop()
    seq = 0
    while True:
        frame = wire.encode_frame(wire.FramePacket(seq, 0, 0, PICTURE))
        try:
            await loop.sock_sendall(raw, masked(frame))
        except OSError:  # the server has let go
            return
        seq += 1


def waits_to_be_sent(backend: Backend) -> int:
    sessions = backend.service.sessions
    outboxes = [session._outbox for session in sessions._open]
    return max((box._queue.qsize() + box.owed for box in outboxes), default=0)


async def test_a_client_that_never_reads_is_let_go_and_harms_nobody() -> None:
    engine = FakeEngine(boxes=300)  # answers of 25 kB
    async with (
        running(engine, slow_client_timeout_s=0.3) as backend,
        backend.camera() as other,
    ):
        with closing(deaf_socket(backend.port)) as raw:
            await until(lambda: len(backend.service.sessions) == 2)
            flooding = asyncio.create_task(flood(raw))
            seq, most = 0, 0
            while len(backend.service.sessions) == 2:
                assert (await other.detect(seq)).seq == seq
                most = max(most, waits_to_be_sent(backend))
                seq += 1
            assert (await other.detect(seq)).seq == seq
            assert most <= BACKLOG
            await flooding


async def test_a_client_that_reads_late_still_learns_why_it_was_closed() -> None:
    engine = FakeEngine(boxes=300)
    async with running(engine, slow_client_timeout_s=0.2) as backend:
        async with backend.camera(max_queue=1, close_timeout=1) as camera:

            async def send() -> None:
                for seq in range(100_000):
                    if len(backend.service.sessions) == 0:
                        return
                    await camera.send(seq)

            sending = asyncio.create_task(send())
            await until(lambda: len(backend.service.sessions) == 0)
            _, code = await camera.closing()
            await asyncio.gather(sending, return_exceptions=True)
        assert code == 1008
