"""A stream's place at one engine, and the options its frames run with."""

from __future__ import annotations

import asyncio

from sightline_backend.batch import Outcome, Work
from sightline_backend.batcher import Batcher
from sightline_backend.options import detect_options, in_force, known_to, merged
from sightline_backend.pool import EnginePool
from sightline_engines import wire
from sightline_engines.types import ModelSpec, ServedModel


class Seat:
    """One slot of one batcher; the batcher stays in memory until `leave`."""

    def __init__(self, pool: EnginePool, batcher: Batcher, asked: wire.Settings) -> None:
        """Open the slot; raises UnknownClassError, or Refused where none is free."""
        self._pool = pool
        self._batcher = batcher
        self._asked = asked
        self._options = detect_options(batcher.engine.spec, asked)
        self._stream = batcher.open_stream()

    @classmethod
    async def take(
        cls, pool: EnginePool, model: str | None, asked: wire.Settings, before: Seat | None = None
    ) -> Seat:
        """Take a seat at a model, loading it if need be; raises what keeps one from it.

        What the stream had asked for `before` holds further, as far as this model has it.
        """
        batcher = await pool.acquire(model)
        try:
            if before is not None:
                asked = merged(known_to(batcher.engine.spec, before._asked), asked)
            return cls(pool, batcher, asked)
        except BaseException:
            pool.release(batcher)
            raise

    @property
    def spec(self) -> ModelSpec:
        """The model of this seat."""
        return self._batcher.engine.spec

    @property
    def served(self) -> ServedModel:
        """The model and engine as answers name them."""
        return self._batcher.engine.served

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
