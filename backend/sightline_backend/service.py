"""The parts of a running server, as its routes find them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from sightline_backend.gauges import PoolGauges
from sightline_backend.jobs.supervisor import Supervisor
from sightline_backend.pool import EnginePool
from sightline_backend.reader import Reader
from sightline_backend.scrape import Scrape
from sightline_backend.serving.serving import Serving
from sightline_backend.sessions import Sessions
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store
from sightline_backend.telemetry import Telemetry
from sightline_backend.tracing.tracer import Tracer
from sightline_backend.triton.parts import TritonParts
from sightline_backend.uploads import Uploads
from sightline_engines.picture import PictureLimits
from sightline_monitoring.history import History

DECODED_UPLOADS = 4  # pictures in memory at once: at 50 megapixels each is 150 MB


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """What every route may need; made when the app starts."""

    settings: Settings
    store: Store
    jobs: Supervisor
    pool: EnginePool
    serving: Serving
    sessions: Sessions
    telemetry: Telemetry
    uploads: Uploads
    gauges: PoolGauges
    scrape: Scrape
    triton: TritonParts
    tracer: Tracer | None = None  # None: nothing is traced
    history: History = field(default_factory=History)
    decoded: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DECODED_UPLOADS))
    # Each examined file has a process of its own, with memory in proportion to the file.
    model_turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    dataset_turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @property
    def reader(self) -> Reader:
        """The thread for what may hang while it is read."""
        return self.scrape.reader

    @property
    def limits(self) -> PictureLimits:
        """What an uploaded picture may have."""
        return PictureLimits(self.settings.max_upload_bytes, self.settings.max_pixels)

    @property
    def trouble(self) -> str | None:
        """Why no new work is taken; None while it is."""
        if self.sessions.stopping:
            return "The server is stopping; try again in a moment."
        return self.pool.trouble


def _service(connection: HTTPConnection) -> Service:
    return cast(Service, connection.app.state.service)


Running = Annotated[Service, Depends(_service)]
