"""A stream's place at one engine, and the options its frames run with."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sightline_backend.admission import RateWish
from sightline_backend.batch import Outcome, Work
from sightline_backend.batcher import Batcher
from sightline_backend.options import detect_options, in_force, known_to, merged
from sightline_backend.pool import EnginePool
from sightline_engines import wire
from sightline_engines.types import ModelSpec, ServedModel


class Seat:
    """One slot of one batcher; the batcher stays in memory until `leave`."""

    def __init__(
        self,
        pool: EnginePool,
        batcher: Batcher,
        asked: wire.Settings,
        wish: RateWish,
        promised: RateWish | None = None,
    ) -> None:
        """Open the slot; raises UnknownClassError, or Refused where none is free.

        A stream that comes with what it was `promised` by another engine is never refused.
        """
        self._pool = pool
        self._batcher = batcher
        self._asked = asked
        self._options = detect_options(batcher.spec, asked)
        self._wish = wish
        self._newest: asyncio.Future[Outcome] | None = None  # which may still wait in the slot
        self.left = False
        if promised is None:
            self._stream = batcher.open_stream(wish)
        else:
            self._stream = batcher.take_over(promised)

    @classmethod
    async def take(cls, pool: EnginePool, wish: RateWish) -> Seat:
        """Take a seat at the default model; raises what keeps one from it."""
        return await cls._at(pool, None, wire.Settings(), wish, None)

    async def move(self, model: str, asked: wire.Settings) -> Seat:
        """Take a seat at another model, loading it if need be; this one is kept.

        What the stream had asked for holds further, as far as that model has it.
        """
        return await self._at(self._pool, model, asked, self._wish, self._asked)

    @property
    def replaced(self) -> bool:
        """Whether another engine serves this model's name now, so that `follow` leads there."""
        return self._batcher.replaced

    def follow(self) -> Seat | None:
        """Take a seat at the engine that replaced this one's; never waits, never refused.

        Settings hold further, and the promised rate if that engine can carry it. None: there is
        none to follow to. This seat is kept, for the frames that it still has.
        """
        batcher = self._pool.follow(self._batcher)
        if batcher is None:
            return None
        asked = replace(self._asked, classes=self.settings.classes)  # names: ids may mean others
        promised = RateWish(self._batcher.renounce(self._stream), self._wish.min_fps)
        return Seat(self._pool, batcher, known_to(batcher.spec, asked), self._wish, promised)

    @classmethod
    async def _at(
        cls,
        pool: EnginePool,
        model: str | None,
        asked: wire.Settings,
        wish: RateWish,
        before: wire.Settings | None,
    ) -> Seat:
        batcher = await pool.acquire(model)
        try:
            if before is not None:
                asked = merged(known_to(batcher.spec, before), asked)
            return cls(pool, batcher, asked, wish)
        except BaseException:
            pool.release(batcher)
            raise

    @property
    def spec(self) -> ModelSpec:
        """The model of this seat."""
        return self._batcher.spec

    @property
    def served(self) -> ServedModel:
        """The model and engine as answers name them."""
        return self._batcher.served

    @property
    def fps(self) -> float | None:
        """The frames a second that the stream is promised; None: a share of what is left."""
        return self._stream.fps

    @property
    def settings(self) -> wire.Settings:
        """The settings in force, as a client is told them."""
        return in_force(self.spec, self._options)

    @property
    def deadline_s(self) -> float:
        """Seconds from capture after which an answer is worth nothing."""
        return self._batcher.deadline_s

    def change(self, asked: wire.Settings) -> None:
        """Change what `asked` names; raises UnknownClassError and then changes nothing."""
        wanted = merged(self._asked, asked)
        self._options = detect_options(self.spec, wanted)
        self._asked = wanted

    def submit(
        self, payload: bytes | memoryview, received_s: float, captured_s: float
    ) -> asyncio.Future[Outcome]:
        """Put the stream's newest frame in its slot; times are `time.monotonic()`."""
        deadline_s = captured_s + self._batcher.deadline_s
        work = Work(payload, self._options, received_s, deadline_s)
        self._newest = self._batcher.submit(self._stream, work)
        return self._newest

    def leave(self) -> None:
        """Give the slot back; a frame that waits in it ends as closing."""
        if not self.left:
            self.left = True
            self._batcher.close_stream(self._stream)
            self._pool.release(self._batcher)

    def leave_when_answered(self) -> None:
        """Give the slot back once the newest frame has its end."""
        if self._newest is None or self._newest.done():
            self.leave()
        else:
            self._newest.add_done_callback(lambda _: self.leave())
