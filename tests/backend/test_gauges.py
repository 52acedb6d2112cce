"""What the pool tells the scrapes: waiting pictures, capacity, the models in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.registry import Collector

from sightline_backend.gauges import PoolGauges
from tests.backend.running import running, until
from tests.fakes import encoded, grey


async def test_waiting_pictures_are_counted_and_timed() -> None:
    async with running() as backend, backend.camera() as camera:
        gauges = PoolGauges(backend.service.pool, backend.service.telemetry.metrics)
        gauges.copy()
        assert await backend.metric("sightline_waiting", kind="live") == 0
        assert await backend.metric("sightline_queue_age_seconds") == 0
        with backend.engine.held():
            await camera.send(1)
            await until(backend.engine.busy.is_set)
            await camera.send(2)
            upload = asyncio.create_task(backend.detect(encoded(grey(200))))
            await until(lambda: backend.service.pool.default.waiting == 2)
            gauges.copy()
            assert await backend.metric("sightline_waiting", kind="live") == 1
            assert await backend.metric("sightline_waiting", kind="upload") == 1
            assert await backend.metric("sightline_queue_age_seconds") > 0
        await upload


async def test_the_default_models_capacity_and_deadline_are_told() -> None:
    async with running() as backend:
        backend_load = backend.service.pool.default.load(0.0)
        PoolGauges(backend.service.pool, backend.service.telemetry.metrics).copy()
        assert await backend.metric("sightline_capacity_fps") == backend_load.capacity_fps > 0
        assert await backend.metric("sightline_best_batch_size") >= 1
        assert await backend.metric("sightline_deadline_seconds") > 0
        assert await backend.metric("sightline_engines_running") == 1
        assert await backend.metric("sightline_engine_fallback") == 0
        assert await backend.metric("sightline_model_loads_total", result="loaded") == 1
        text = (await backend.http.get("/metrics")).text
        assert 'sightline_model_info{device="CPU",engine="fake",model="fake"' in text


class Stuck(Collector):
    """A collector that hangs, as a driver in trouble does."""

    def __init__(self) -> None:
        self.asked, self.free = threading.Event(), threading.Event()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self.asked.set()
        self.free.wait()
        return iter(())


async def test_frames_are_answered_while_a_scrape_hangs() -> None:
    stuck = Stuck()
    async with running() as backend, backend.camera() as camera:
        backend.service.telemetry.metrics.registry.register(stuck)
        scrape = asyncio.create_task(backend.http.get("/metrics"))
        try:
            await until(stuck.asked.is_set)
            await camera.detect(1)
            assert (await backend.detect(encoded(grey(200)))).status_code == 200
            assert not scrape.done()
        finally:
            stuck.free.set()
        assert (await scrape).status_code == 200
