"""The server's parts that deal with Triton, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sightline_backend.pool import EnginePool
from sightline_backend.serving.serving import Serving
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store
from sightline_backend.triton.deploying import Deploying
from sightline_backend.triton.link import Link
from sightline_backend.triton.predictor import Predictor
from sightline_backend.triton.watch import Watch
from sightline_monitoring.triton import TritonMetrics


@dataclass(frozen=True, slots=True, eq=False)
class TritonParts:
    """What the routes ask; there whether a Triton is configured or not."""

    link: Link
    deploying: Deploying
    watch: Watch
    predictor: Predictor

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch over Triton for the length of a block."""
        try:
            async with self.link, self.watch:
                yield
        finally:
            self.predictor.close()


def triton_parts(
    settings: Settings, store: Store, pool: EnginePool, serving: Serving, metrics: TritonMetrics
) -> TritonParts:
    """Return the parts, none of them at work yet."""
    link = Link(settings)
    deploying = Deploying(link, store, pool, serving, metrics)
    watch = Watch(link, deploying, metrics)
    return TritonParts(link, deploying, watch, Predictor(link, settings.max_upload_bytes))
