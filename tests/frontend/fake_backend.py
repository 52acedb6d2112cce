"""A detector that speaks the wire format and misbehaves as told."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from sightline_engines import wire
from sightline_engines.types import Detections, Result, ServedModel, Timings

LABELS = ("person", "face")
MODEL = ServedModel("fake", "1", "fake", "fp32", "CPU")
HELLO = wire.Hello(
    model=MODEL,
    labels=LABELS,
    input_size_wh=(64, 48),
    settings=wire.Settings(conf=0.25, iou=0.45, classes=(), max_detections=300, model="fake"),
    deadline_ms=500,
    credits=2,
    max_frame_bytes=2**20,
    stream="3fa9c2" * 4,
)


@dataclass(slots=True)
class FakeBackend:
    """What the fake does and what it has seen; changed by tests while it runs."""

    url: str
    delay_s: float = 0.0
    greeting: str = field(default_factory=lambda: wire.message_to_json(HELLO))
    answer: Callable[[wire.FramePacket], str] | None = None  # None: one box
    close_after: int | None = None  # frames, then the line is cut
    packets: list[wire.FramePacket] = field(default_factory=list)
    settings: list[wire.Settings] = field(default_factory=list)
    lines: int = 0  # connections so far
    open_lines: int = 0

    async def serve_line(self, line: ServerConnection) -> None:
        """Speak with one client until it goes."""
        self.lines += 1
        self.open_lines += 1
        try:
            await line.send(self.greeting)
            for count in itertools.count(1):
                message = await line.recv()
                if isinstance(message, str):
                    self.settings.append(wire.settings_from_json(message))
                    continue
                packet = wire.decode_frame(message)
                self.packets.append(packet)
                await asyncio.sleep(self.delay_s)
                await line.send((self.answer or one_box)(packet))
                if self.close_after is not None and count >= self.close_after:
                    line.transport.abort()
        finally:
            self.open_lines -= 1


def one_box(packet: wire.FramePacket) -> str:
    """Return a result with one box over the picture's left half."""
    found = Detections(
        np.array([[0, 0, 32, 48]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int32)
    )
    result = Result(
        packet.seq, packet.captured_us, (64, 48), found, Timings(total=1.0, infer=1.0), MODEL
    )
    return wire.message_to_json(result, LABELS)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(fake: FakeBackend) -> Iterator[FakeBackend]:
    """Serve on a thread of its own until the block ends; may be used again and again."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    listening = threading.Event()
    port = int(fake.url.rsplit(":", 1)[1])

    async def main() -> None:
        async with serve(
            fake.serve_line,
            "127.0.0.1",
            port,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            close_timeout=0.5,
        ):
            listening.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        if not listening.wait(10):
            raise RuntimeError("the fake detector doesn't listen")
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
