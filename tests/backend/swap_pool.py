"""A pool of fake engines, of which one is to replace another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.pool import EnginePool
from sightline_backend.serving.loading import Fit, as_it_is
from sightline_backend.serving.turns import Machine
from sightline_backend.telemetry import Telemetry
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec
from sightline_monitoring.metrics import Metrics
from tests.backend.swapping import FilesOfModels, file_of
from tests.fakes import FakeEngine

OLD, NEW, THIRD = file_of("old"), file_of("new"), file_of("third")


def store_of(*specs: ModelSpec, seconds: float = 0.001) -> FilesOfModels:
    """Return a store of fake engines."""
    return FilesOfModels([FakeEngine(spec, seconds) for spec in specs])


@asynccontextmanager
async def pool_of(
    models: FilesOfModels, capacity: int = 2, fit: Fit = as_it_is
) -> AsyncIterator[EnginePool]:
    """Run a pool whose engines are threads of fakes."""
    telemetry, machine = Telemetry(Metrics()), Machine()

    def make(spec: ModelSpec) -> Batcher:
        one = ThreadRunner(spec, models.load, PictureLimits())
        return Batcher([one], BatchLimits(), telemetry, machine)

    async with EnginePool(models, make, "fake", capacity=capacity, fit=fit) as pool:
        yield pool
