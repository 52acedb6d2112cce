"""One WebSocket, one stream: frames in, exactly one end for each of them out.

The reader takes messages as they come; the outbox sends answers in the order in which they
arise. Nothing a client does ends another's stream, and of what it does wrong only lasting
garbage ends its own.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline_backend.answers import answer
from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_backend.ending import BROKEN, GARBAGE, GONE, IDLE, Ending
from sightline_backend.errors import Refused
from sightline_backend.journal import Journal
from sightline_backend.options import known_to, merged
from sightline_backend.outbox import Outbox
from sightline_backend.pace import Pace
from sightline_backend.seat import Seat
from sightline_backend.settings import Settings
from sightline_backend.telemetry import Telemetry
from sightline_engines import wire
from sightline_engines.errors import SightlineError, WireError

MAX_STRIKES = 20  # messages in a row that are neither a frame nor settings
MAX_TEXT_CHARS = 16_384
FLUSH_S = 2.0
LAST_ANSWER_S = 2.0  # for the frame that is in the engine's hands when the stream ends
MESSAGES_PER_S, MESSAGES_AT_ONCE = 240.0, 120  # from one client; twice any camera's rate
SWITCHES_PER_S, SWITCHES_AT_ONCE = 0.2, 10  # of model; each may load one and measure it

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Session:
    """Serves one accepted WebSocket until it ends, and leaves its seat then."""

    def __init__(
        self,
        socket: WebSocket,
        seat: Seat,
        settings: Settings,
        telemetry: Telemetry,
        journal: Journal,
    ) -> None:
        self._journal = journal
        self._socket = socket
        self._seat = seat
        self._settings = settings
        self._telemetry = telemetry
        self._outbox = Outbox(socket, settings.slow_client_timeout_s)
        self._strikes = 0
        self._heard_s = time.monotonic()
        self._models: tuple[str, ...] = ()
        self._running: set[asyncio.Future[Outcome]] = set()
        self._left: list[Seat] = []  # that a frame may still be at
        self._switching: asyncio.Task[None] | None = None
        self._since = wire.Settings()  # set since the change of model under way was asked for
        self._switches = Pace(SWITCHES_PER_S, SWITCHES_AT_ONCE)
        self._told: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def end(self, ending: Ending) -> None:
        """Have the stream end from outside."""
        if not self._told.done():
            self._told.set_result(ending)

    async def run(self, models: tuple[str, ...]) -> Ending:
        """Serve the stream and close its socket; `models` are told to the client."""
        self._models = models
        self._post(self._hello())
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._outbox.write())
        ending = BROKEN
        try:
            ending = await self._first_ending(reader, writer)
        finally:
            await self._wind_up(reader, writer, ending)
        return ending

    async def _first_ending(
        self, reader: asyncio.Task[Ending], writer: asyncio.Task[Ending]
    ) -> Ending:
        self._watch_for_silence()
        waiting: list[asyncio.Future[Ending]] = [self._told, reader, writer]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        try:
            return done.pop().result()
        except Exception:  # the outermost loop of a stream: a bug ends this one alone
            log.exception("a stream failed")
            return BROKEN

    async def _wind_up(
        self, reader: asyncio.Task[Ending], writer: asyncio.Task[Ending], ending: Ending
    ) -> None:
        reader.cancel()
        if self._switching is not None:
            self._switching.cancel()
            await asyncio.wait([self._switching])
        self.end(ending)  # nothing watches it any more
        for seat in (self._seat, *self._left):
            seat.leave()
        await self._end_frames(LAST_ANSWER_S if ending.flush else 0)
        if ending.flush:
            self._outbox.finish()
            await asyncio.wait([writer], timeout=FLUSH_S)
        writer.cancel()
        await asyncio.wait([reader, writer])
        if ending.code is not None:
            with suppress(WebSocketDisconnect, RuntimeError):  # the client may be gone by now
                await self._socket.close(ending.code, ending.reason)

    def _watch_for_silence(self) -> None:
        """End the stream once nothing has come for too long; looks again when that may be."""
        if self._told.done():
            return
        left_s = self._heard_s + self._settings.idle_timeout_s - time.monotonic()
        if left_s <= 0:
            self.end(IDLE)
        else:
            asyncio.get_running_loop().call_later(left_s, self._watch_for_silence)

    async def _end_frames(self, wait_s: float) -> None:
        """Wait a moment for the frame that is in the engine's hands, then do without it."""
        if self._running:
            await asyncio.wait(self._running, timeout=wait_s)
        for future in self._running:
            future.cancel()  # the batcher counts it as dropped, too
        await asyncio.sleep(0)  # now each of them has its end

    async def _read(self) -> Ending:
        pace = Pace(MESSAGES_PER_S, MESSAGES_AT_ONCE)
        while self._strikes < MAX_STRIKES:
            await self._outbox.room()
            if (wait_s := pace.wait_s(time.monotonic())) > 0:
                await asyncio.sleep(wait_s)  # a flooding client is held up by its own connection
            pace.count(time.monotonic())
            message = await self._socket.receive()
            self._heard_s = time.monotonic()
            if message["type"] == "websocket.disconnect":
                return GONE
            try:
                if message.get("bytes") is not None:
                    self._take_frame(message["bytes"])
                else:
                    self._take_text(message["text"])
                self._strikes = 0
            except SightlineError as error:
                self._strikes = self._strikes + 1 if isinstance(error, WireError) else 0
                self._refuse(error)
        return GARBAGE

    def _take_frame(self, message: bytes) -> None:
        received_s = time.monotonic()
        packet = wire.decode_frame(message)
        size, most = len(packet.payload), self._settings.max_frame_bytes
        self._outbox.owed += 1
        if size > most:
            self._telemetry.frame_refused()
            advice = f"This frame has {size} bytes; send at most {most}: fewer pixels or quality."
            self._answer(self._seat, packet, received_s, Failed("too_large", advice))
            return
        captured_s = received_s - packet.age_ms / 1e3
        if self._seat.replaced and (seat := self._seat.follow()) is not None:
            self._sit(seat)
        future = self._seat.submit(packet.payload, received_s, captured_s)
        self._running.add(future)
        future.add_done_callback(partial(self._ended, self._seat, packet, received_s))

    def _ended(
        self,
        seat: Seat,
        packet: wire.FramePacket,
        received_s: float,
        future: asyncio.Future[Outcome],
    ) -> None:
        self._running.discard(future)
        outcome = NotRun("closing") if future.cancelled() else future.result()
        self._answer(seat, packet, received_s, outcome)

    def _answer(
        self, seat: Seat, packet: wire.FramePacket, received_s: float, outcome: Outcome
    ) -> None:
        if isinstance(outcome, Done):
            self._telemetry.live_answer(time.monotonic() - received_s + packet.age_ms / 1e3)
        on_sent = self._journal.ended(packet, received_s, outcome, seat.served)
        message = answer(packet, outcome, seat.served, traced=on_sent is not None)
        self._outbox.settle(wire.message_to_json(message, seat.spec.labels), on_sent)

    def _take_text(self, text: str) -> None:
        if len(text) > MAX_TEXT_CHARS:
            raise WireError(f"A text message has at most {MAX_TEXT_CHARS} characters.")
        asked = wire.settings_from_json(text)
        if asked.model is not None and self._switching is not None:
            self._switching.cancel()  # the newest wish counts, also one to stay
        if asked.model is not None and asked.model != self._seat.spec.name:
            if (wait_s := self._switches.wait_s(time.monotonic())) > 0:
                advice = f"Too many changes of model; try again in {wait_s:.0f} s."
                raise Refused(advice, wait_s, "model")
            self._switches.count(time.monotonic())
            self._since = wire.Settings()
            self._switching = asyncio.create_task(self._switch(asked, asked.model))
            return
        self._seat.change(asked)
        if asked.classes is not None:  # by name: an id may mean another class there
            asked = replace(asked, classes=self._seat.settings.classes)
        self._since = merged(self._since, asked)
        self._post(self._seat.settings)

    async def _switch(self, asked: wire.Settings, model: str) -> None:
        """Move the stream to another model; on any error it stays where it is."""
        try:
            seat = await self._seat.move(model, asked)
            seat.change(known_to(seat.spec, replace(self._since, model=None)))
        except SightlineError as error:
            self._refuse(error)
            return
        except Exception:  # the outermost of this task: a bug here leaves the stream running
            log.exception("a change of model failed")
            advice = "The server failed on this change of model; its log says why."
            self._post(wire.Failure("internal", advice))
            return
        self._sit(seat)
        self._post(seat.settings)

    def _sit(self, seat: Seat) -> None:
        """Go on at another seat and tell the client what holds there.

        What the engine of the old one has in hand is answered by it, with its labels.
        """
        self._left = [left for left in self._left if not left.left]
        self._left.append(self._seat)
        self._seat.leave_when_answered()
        self._seat = seat
        self._post(self._hello())

    def _refuse(self, error: SightlineError) -> None:
        """Say what was wrong with a message, or when what it asks for may be had."""
        wait_s = None
        if isinstance(error, Refused):
            wait_s = error.retry_after_s
            self._telemetry.turned_away(error.reason)
        self._post(wire.Failure(error.code, error.message, retry_after_s=wait_s))

    def _post(self, message: wire.ServerMessage) -> None:
        self._outbox.post(wire.message_to_json(message))

    def _hello(self) -> wire.Hello:
        return wire.Hello(
            model=self._seat.served,
            labels=self._seat.spec.labels,
            input_size_wh=self._seat.spec.input_size_wh,
            settings=self._seat.settings,
            deadline_ms=self._seat.deadline_s * 1e3,
            fps=self._seat.fps,
            credits=self._settings.credits,
            max_frame_bytes=self._settings.max_frame_bytes,
            models=self._models,
            stream=self._journal.stream,
        )
