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

    def fail(self, error: SightlineError) -> None:
        """Tell those who wait for the model, if it isn't ready, why it won't be."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen, even if all who asked have gone
