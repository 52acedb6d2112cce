"""What the pool tells the scrapes: waiting pictures, capacity, the models in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from sightline_backend import gauges, reader, scrape
from tests.backend.running import running, until
from tests.fakes import SPEC, FakeEngine, encoded, grey, named, noise


async def test_waiting_pictures_are_counted_and_timed() -> None:
    async with running() as backend, backend.camera() as camera:
        told = backend.service.gauges
        told.copy()
        for kind in ("live", "upload"):
            assert await backend.metric("sightline_waiting", kind=kind) == 0
            assert await backend.metric("sightline_queue_age_seconds", kind=kind) == 0
        with backend.engine.held():
            await camera.send(1)
            await until(backend.engine.busy.is_set)
            await camera.send(2)
            calls = [backend.detect(encoded(grey(200))) for _ in range(7)]
            uploads = asyncio.gather(*calls)
            await until(lambda: len(backend.service.uploads) == 7)
            await until(lambda: backend.service.pool.default.waiting == 5)
            told.copy()
            assert await backend.metric("sightline_waiting", kind="live") == 1
            assert await backend.metric("sightline_waiting", kind="upload") == 7
            for kind in ("live", "upload"):
                assert await backend.metric("sightline_queue_age_seconds", kind=kind) > 0
        await uploads


async def test_no_frame_is_older_in_line_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as backend, backend.camera() as camera:
        with backend.engine.held():
            await camera.send(1)
            await until(backend.engine.busy.is_set)
            await camera.send(2, age_ms=4_990)  # late before the engine is free
            await until(lambda: backend.service.pool.default.waiting == 1)
            scheduler = backend.service.pool.default._scheduler
            first_s = scheduler.longest_since_s
            await asyncio.sleep(0.05)
            scheduler.expire(float("inf"))
            assert [scheduler.longest_since_s] == [None]
            await camera.send(3)
            await until(lambda: backend.service.pool.default.waiting == 1)
            assert scheduler.longest_since_s is not None
            assert first_s is not None
            assert scheduler.longest_since_s >= first_s + 0.05


async def test_the_default_models_capacity_and_deadline_are_told() -> None:
    async with running() as backend:
        backend_load = backend.service.pool.default.load(0.0)
        backend.service.gauges.copy()
        assert await backend.metric("sightline_capacity_fps") == backend_load.capacity_fps > 0
        assert await backend.metric("sightline_best_batch_size") >= 1
        assert await backend.metric("sightline_deadline_seconds") > 0
        assert await backend.metric("sightline_engine_fallback") == 0
        assert await backend.metric("sightline_model_loads_total", result="loaded") == 1
        text = (await backend.http.get("/metrics")).text
        assert 'sightline_model_info{device="CPU",engine="fake",model="fake"' in text


async def test_each_model_in_memory_has_series_of_its_own_and_leaves_none() -> None:
    names = ("fake", "two", "three")
    engines = [FakeEngine(SPEC), *(FakeEngine(named(name)) for name in names[1:])]
    async with running(*engines, max_models=2) as backend:
        for name in names:
            assert (await backend.detect(encoded(grey(200)), model=name)).status_code == 200
            backend.service.gauges.copy()
        assert await backend.metric("sightline_engines_running", model="fake") == 1
        assert await backend.metric("sightline_engine_busy_seconds_total", model="three") > 0
        text = (await backend.http.get("/metrics")).text
        assert 'model="two"' not in text


async def test_to_be_looked_at_takes_nothing_from_a_promise() -> None:
    async with running() as backend, backend.camera(query="fps=1.5") as camera:
        await camera.detect(1)
        scheduler = backend.service.pool.default._scheduler
        before = scheduler.promised_fps
        for slot in scheduler._slots.values():
            slot._counted_s = -1e6  # as though the stream had sent nothing for days
        backend.service.gauges.copy()
        assert scheduler.promised_fps == before
        assert scheduler.reserved_fps(0.0) < before


async def test_the_gauges_go_on_after_a_bad_moment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gauges, "EVERY_S", 0.01)
    async with running() as backend:
        told = backend.service.gauges
        with monkeypatch.context() as patch:
            patch.setattr(type(backend.service.pool), "running", property(lambda pool: 1 / 0))
            await until(lambda: "the gauges can't be read" in caplog.text)
        told.pids = [-1]
        await until(lambda: told.pids == [])


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


async def test_frames_and_uploads_are_answered_while_scrapes_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "LIMIT_S", 0.2)
    stuck = Stuck()
    large = encoded(noise(900, 900), ".png")
    assert len(large) > 2**20  # so that it is kept in a file, which takes a thread
    async with running() as backend, backend.camera() as camera:
        backend.service.telemetry.metrics.add(stuck)
        try:
            for _ in range(50):
                scrape_ = await backend.http.get("/metrics")
                assert scrape_.status_code == 503
                assert scrape_.json()["error"]["code"] == "metrics_hang"
            assert stuck.asked.is_set()
            await camera.detect(1)
            assert (await backend.detect(large)).status_code == 200
        finally:
            stuck.free.set()


async def test_a_crowd_of_scrapers_is_given_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "FRESH_S", 60.0)
    async with running() as backend:
        one = (await backend.http.get("/metrics")).text
        await backend.detect(encoded(grey(200)))
        assert (await backend.http.get("/metrics")).text == one
