"""The frontend's own stream to the detector, for pictures that come by WebRTC.

A thread with its own event loop holds the WebSocket: the newest frame goes out, the newest
result comes in, and a lost line comes back by itself. The thread starts with the first frame
and ends when no frame has come for a while, so nobody needs to stop it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from sightline_engines import wire
from sightline_engines.errors import WireError
from sightline_engines.types import Image
from sightline_frontend.exchange import Exchange, Seen
from sightline_frontend.stats import LiveStats

FIRST_WAIT_S = 0.3
LONGEST_WAIT_S = 3.0
GREETING_TIMEOUT_S = 5.0
PING_S = 3.0  # and as long again for the answer: a dead line is found in six seconds
IDLE_S = 5.0  # without frames for so long the line is closed


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    image: Image
    came_s: float


def backoff_s(attempt: int) -> float:
    """Return how long to wait before try number `attempt` (0, 1, 2, …)."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 10))


class LiveClient:
    """Takes frames from any thread, never waiting; see the module's text."""

    def __init__(self, url: str, jpeg_quality: int, stats: LiveStats) -> None:
        self._url = url
        self._quality = jpeg_quality
        self._stats = stats
        self._settings = wire.Settings()
        self._input_size_wh: tuple[int, int] | None = None
        self._lock = threading.Lock()  # guards the thread and its loop
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._exchange: Exchange | None = None  # None while there is no line
        self._offer: _Offer | None = None
        self._offered_s = 0.0
        self._lost: str | None = None

    @property
    def problem(self) -> str | None:
        """Why boxes don't come just now, in a sentence; None while all is well."""
        exchange = self._exchange
        return self._lost if exchange is None else exchange.problem

    @property
    def seen(self) -> Seen | None:
        """The newest result of the open line."""
        exchange = self._exchange
        return None if exchange is None else exchange.seen

    def configure(
        self, settings: wire.Settings, input_size_wh: tuple[int, int] | None = None
    ) -> None:
        """Change thresholds, classes or model; they reach the server without a restart.

        `input_size_wh` is what the chosen model sees, until the server greets with it; None: what
        it greeted with first.
        """
        self._input_size_wh = input_size_wh
        if settings != self._settings:
            self._settings = settings
            self._kick()

    def offer(self, image: Image, came_s: float) -> None:
        """Take a copy of the picture if it is worth sending, no larger than the model sees."""
        self._offered_s = came_s
        self._ensure_thread()
        exchange = self._exchange
        if exchange is None:
            self._stats.drop("offline")
        elif self._offer is not None:
            self._stats.drop("encoding")
        elif not exchange.ready(came_s):
            self._stats.drop("waiting")
        else:
            limit_wh = exchange.told_size_wh or self._input_size_wh or exchange.input_size_wh
            self._offer = _Offer(_fitted(image, limit_wh), came_s)
            self._kick()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()

    def _kick(self) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake.set)

    def _idle(self) -> bool:
        return time.monotonic() - self._offered_s > IDLE_S

    def _run(self) -> None:
        try:
            asyncio.run(self._stay_connected())
        finally:
            with self._lock:
                self._thread = self._loop = None

    async def _stay_connected(self) -> None:
        with self._lock:
            self._wake = asyncio.Event()
            self._loop = asyncio.get_running_loop()
        attempt = 0
        while not self._idle():
            try:
                await self._connect_and_talk()
            except (OSError, TimeoutError, WebSocketException, WireError) as error:
                attempt = attempt + 1 if self._exchange is None else 0
                reason = str(error) or type(error).__name__
                self._lost = f"No connection to the detector at {self._url}: {reason}."
            self._exchange = self._offer = None
            await asyncio.sleep(backoff_s(attempt))
        with self._lock:
            self._loop = None

    async def _connect_and_talk(self) -> None:
        async with connect(
            self._url,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            compression=None,
            open_timeout=GREETING_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            proxy=None,
        ) as socket:
            exchange = Exchange(await _greeting(socket), self._stats)
            self._exchange, self._lost = exchange, None
            receiver = asyncio.create_task(_receive(socket, exchange))
            receiver.add_done_callback(lambda _: self._wake.set())
            try:
                await self._send(socket, exchange, receiver)
            finally:
                receiver.cancel()
            if receiver.done():
                receiver.result()  # raises what ended the line

    async def _send(
        self, socket: ClientConnection, exchange: Exchange, receiver: asyncio.Task[None]
    ) -> None:
        """Send settings and frames until the line ends or no frames come any more."""
        told: wire.Settings | None = None
        while not self._idle() and not receiver.done():
            if self._settings != told:
                told = self._settings
                await socket.send(wire.settings_to_json(told))
            if self._offer is not None:
                await self._send_frame(socket, exchange, self._offer)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE_S / 5)
            self._wake.clear()

    async def _send_frame(
        self, socket: ClientConnection, exchange: Exchange, offer: _Offer
    ) -> None:
        start_s = time.monotonic()
        payload = await asyncio.to_thread(_jpeg, offer.image, self._quality)
        message = exchange.frame(payload, offer.came_s, start_s, time.monotonic())
        self._offer = None
        if message is not None:
            await socket.send(message)


async def _greeting(socket: ClientConnection) -> wire.Hello:
    async with asyncio.timeout(GREETING_TIMEOUT_S):
        message = wire.message_from_json(await socket.recv(decode=True))
    if isinstance(message, wire.Failure):
        raise WireError(message.message)  # refused: the server says why instead of hello
    if not isinstance(message, wire.Hello):
        raise WireError("It answers, but it is no Sightline server.")
    return message


async def _receive(socket: ClientConnection, exchange: Exchange) -> None:
    while True:
        message = wire.message_from_json(await socket.recv(decode=True))
        exchange.receive(message, time.monotonic())


def _fitted(image: Image, limit_wh: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, limit_wh[0] / width, limit_wh[1] / height)
    if scale == 1.0:
        return image.copy()
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size_wh).astype(np.uint8, copy=False)


def _jpeg(image: Image, quality: int) -> bytes:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
