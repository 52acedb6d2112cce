"""Gauges that only the event loop may read, copied for the scrapes at regular intervals."""

from __future__ import annotations

import asyncio
import logging
import time

from sightline_backend.batcher import Batcher
from sightline_backend.jobs.supervisor import Supervisor
from sightline_backend.pool import EnginePool
from sightline_backend.serving.plans import Plans
from sightline_backend.uploads import Uploads
from sightline_engines.types import ServedModel
from sightline_monitoring.metrics import Metrics
from sightline_monitoring.model_info import ModelLabels

EVERY_S = 0.5

log = logging.getLogger(__name__)


class PoolGauges:
    """Tells the metrics what the models in memory and the jobs have to do."""

    def __init__(
        self, pool: EnginePool, uploads: Uploads, jobs: Supervisor, plans: Plans, metrics: Metrics
    ) -> None:
        self.pids: list[int] = []  # of the engines; replaced as a whole, for other threads
        self._pool = pool
        self._uploads = uploads
        self._jobs = jobs
        self._plans = plans
        self._metrics = metrics
        self._models: set[str] = set()  # that have series of their own

    async def watch(self) -> None:
        """Copy again and again, until cancelled."""
        while True:
            try:
                self.copy()
            except Exception:  # the outermost loop: old figures for ever would be worse than none
                log.exception("the gauges can't be read")
            await asyncio.sleep(EVERY_S)

    def copy(self) -> None:
        """Copy the present state."""
        metrics, running, now_s = self._metrics, self._pool.running, time.monotonic()
        loads = [batcher.load(now_s) for batcher in running]
        metrics.waiting.labels("live").set(sum(load.frames for load in loads))
        metrics.queue_age.labels("live").set(max((load.longest_s for load in loads), default=0.0))
        metrics.waiting.labels("upload").set(len(self._uploads))
        metrics.queue_age.labels("upload").set(self._uploads.longest_s(now_s))
        metrics.deadline.set(max((batcher.deadline_s for batcher in running), default=0.0))
        metrics.engine_fallback.set(any(batcher.served.fallback for batcher in running))
        metrics.models_in_memory(_labels(batcher.served) for batcher in running)
        # Replaced engines and candidates take memory, too.
        self.pids = [pid for batcher in self._pool.in_memory for pid in batcher.pids]
        self._copy_engines(running)
        self._copy_jobs(now_s)
        if (default := self._pool.default) in running:
            load = loads[running.index(default)]
            metrics.capacity.set(load.capacity_fps)
            metrics.reserved.set(load.reserved_fps)
            metrics.best_batch.set(load.best_batch)

    def _copy_jobs(self, now_s: float) -> None:
        lifecycle = self._metrics.lifecycle
        queued, running = self._jobs.open_jobs
        lifecycle.jobs.labels("queued").set(queued)
        lifecycle.jobs.labels("running").set(running)
        lifecycle.job_silence.set(self._jobs.silence_s(now_s))
        lifecycle.rebuilding.set(len(self._plans.stale))

    def _copy_engines(self, running: list[Batcher]) -> None:
        """Give each model in memory its series, and take those of the others away."""
        metrics = self._metrics
        models = {batcher.spec.name for batcher in running}
        for batcher in running:
            metrics.engines_running.labels(batcher.spec.name).set(batcher.engines_running)
            metrics.engine_busy.labels(batcher.spec.name)
        for gone in self._models - models:
            metrics.engines_running.remove(gone)
            metrics.engine_busy.remove(gone)
        self._models = models


def _labels(served: ServedModel) -> ModelLabels:
    return ModelLabels(served.name, served.version, served.engine, served.precision, served.device)
