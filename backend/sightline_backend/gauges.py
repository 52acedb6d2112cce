"""Gauges that only the event loop may read, copied for the scrapes at regular intervals."""

from __future__ import annotations

import asyncio
import time

from sightline_backend.pool import EnginePool
from sightline_engines.types import ServedModel
from sightline_monitoring.metrics import Metrics
from sightline_monitoring.model_info import ModelLabels

EVERY_S = 0.5


class PoolGauges:
    """Tells the metrics what the models in memory have to do."""

    def __init__(self, pool: EnginePool, metrics: Metrics) -> None:
        self.pids: list[int] = []  # of the engines; replaced as a whole, for other threads
        self._pool = pool
        self._metrics = metrics

    async def watch(self) -> None:
        """Copy again and again, until cancelled."""
        while True:
            self.copy()
            await asyncio.sleep(EVERY_S)

    def copy(self) -> None:
        """Copy the present state."""
        metrics, running, now_s = self._metrics, self._pool.running, time.monotonic()
        loads = [batcher.load(now_s) for batcher in running]
        metrics.waiting.labels("live").set(sum(load.live for load in loads))
        metrics.waiting.labels("upload").set(sum(load.uploads for load in loads))
        metrics.queue_age.set(max((load.longest_s for load in loads), default=0.0))
        metrics.engines_running.set(sum(batcher.engines_running for batcher in running))
        metrics.engine_fallback.set(any(batcher.served.fallback for batcher in running))
        metrics.models_in_memory(_labels(batcher.served) for batcher in running)
        self.pids = [pid for batcher in running for pid in batcher.pids]
        if (default := self._pool.default) in running:
            load = loads[running.index(default)]
            metrics.deadline.set(default.deadline_s)
            metrics.capacity.set(load.capacity_fps)
            metrics.reserved.set(load.reserved_fps)
            metrics.best_batch.set(load.best_batch)


def _labels(served: ServedModel) -> ModelLabels:
    return ModelLabels(served.name, served.version, served.engine, served.precision, served.device)
