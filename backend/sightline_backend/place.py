"""The place of one model in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sightline_backend.batcher import Batcher
from sightline_engines.errors import SightlineError
from sightline_engines.types import ModelSpec


@dataclass(slots=True, eq=False)
class Place:
    """One model in memory, or on its way there."""

    spec: ModelSpec
    ready: asyncio.Future[Batcher]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leases: int = 0
    used: int = 0  # when it was last asked for, in requests
    task: asyncio.Task[None] | None = None
    kept: asyncio.TimerHandle | None = None  # until when a replaced one that nobody uses stays

    @property
    def serves(self) -> bool:
        """Whether the model can take frames: it is loaded and not on its way out."""
        done = self.ready.done() and self.ready.exception() is None
        return done and not self.stop.is_set()

    def runs(self, spec: ModelSpec) -> bool:
        """Tell whether a model's very file runs here, in the engine that is asked for."""
        if not self.serves:
            return False
        batcher = self.ready.result()
        if batcher.fallback is not None or batcher.trouble is not None:
            return False
        here, asked = self.spec, spec
        return (here.path, here.sha256, here.engine, here.passport) == (
            *(asked.path, asked.sha256, asked.engine),
            asked.passport,
        )

    def mark_replaced(self, replaced: bool) -> None:
        """Tell those who use it whether another engine serves its name now."""
        if self.serves:
            self.ready.result().replaced = replaced

    def leave(self) -> None:
        """Close the model; one that is still being loaded is given up."""
        self.stop.set()
        if not self.ready.done() and self.task is not None:
            self.task.cancel()

    def fail(self, error: SightlineError) -> None:
        """Tell those who wait for the model, if it isn't ready, why it won't be."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen, even if all who asked have gone
