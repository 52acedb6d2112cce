"""A stream's place at one engine, and the options its frames run with."""

from __future__ import annotations

import asyncio

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
        self, pool: EnginePool, batcher: Batcher, asked: wire.Settings, wish: RateWish
    ) -> None:
        """Open the slot; raises UnknownClassError, or Refused where none is free."""
        self._pool = pool
        self._batcher = batcher
        self._asked = asked
        self._options = detect_options(batcher.spec, asked)
        self._wish = wish
        self._stream = batcher.open_stream(wish)

    @classmethod
    async def take(cls, pool: EnginePool, wish: RateWish) -> Seat:
        """Take a seat at the default model; raises what keeps one from it."""
        return await cls._at(pool, None, wire.Settings(), wish, None)

    async def move(self, model: str, asked: wire.Settings) -> Seat:
        """Take a seat at another model, loading it if need be; this one is kept.

        What the stream had asked for holds further, as far as that model has it.
        """
        return await self._at(self._pool, model, asked, self._wish, self._asked)

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
        return self._batcher.submit(self._stream, work)

    def leave(self) -> None:
        """Give the slot back; a frame that waits in it ends as closing."""
        self._batcher.close_stream(self._stream)
        self._pool.release(self._batcher)
