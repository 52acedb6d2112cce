"""Models come into memory when asked for, and leave it when another needs the room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import NoRoomForModelError, UnknownModelError
from sightline_backend.pool import EnginePool
from sightline_backend.telemetry import Telemetry
from sightline_engines.errors import EngineError, ModelFileError
from sightline_engines.types import ModelSpec
from sightline_monitoring.metrics import Metrics
from tests.fakes import FakeEngine, FakeModels, named


@asynccontextmanager
async def pool_of(
    models: FakeModels, capacity: int = 2, preload: tuple[str, ...] = ()
) -> AsyncIterator[EnginePool]:
    telemetry = Telemetry(Metrics())

    def load(spec: ModelSpec) -> Batcher:
        return Batcher(models.load(spec), BatchLimits(), telemetry)

    async with EnginePool(models, load, "fake", preload, capacity) as pool:
        yield pool


def models_named(*names: str) -> FakeModels:
    return FakeModels([FakeEngine(named(name)) for name in names])


async def test_the_default_and_the_preloaded_are_there_from_the_start() -> None:
    models = models_named("fake", "a", "b")
    async with pool_of(models, preload=("a",)) as pool:
        assert pool.ready
        assert pool.loaded == {"fake", "a"}
        assert pool.default.engine is models.engines["fake"]
    assert pool.loaded == set()
    assert all(models.engines[name].closed for name in ("fake", "a"))
    assert not models.engines["b"].closed


async def test_no_name_means_the_default() -> None:
    async with pool_of(models_named("fake")) as pool, pool.using(None) as batcher:
        assert batcher is pool.default


async def test_two_who_ask_for_a_model_at_once_share_one_load() -> None:
    models = models_named("fake", "a")
    async with pool_of(models) as pool:
        one, two = await asyncio.gather(pool.acquire("a"), pool.acquire("a"))
        assert one is two
    assert models.loads == ("fake", "a")


async def test_the_least_recently_used_idle_model_makes_room() -> None:
    models = models_named("fake", "a", "b", "c")
    async with pool_of(models, capacity=3) as pool:
        for name in ("a", "b", "a", "c"):
            async with pool.using(name):
                pass
        assert pool.loaded == {"fake", "a", "c"}
        assert models.engines["b"].closed
        assert not models.engines["a"].closed


async def test_a_model_in_use_is_never_closed_for_another() -> None:
    models = models_named("fake", "a", "b")
    async with pool_of(models) as pool:
        async with pool.using("a"):
            with pytest.raises(NoRoomForModelError, match="SIGHTLINE_MAX_MODELS"):
                await pool.acquire("b")
        async with pool.using("b"):
            assert pool.loaded == {"fake", "b"}


async def test_a_model_that_came_back_works_again() -> None:
    models = models_named("fake", "a", "b")
    async with pool_of(models) as pool:
        for name in ("a", "b", "a"):
            async with pool.using(name) as batcher:
                assert batcher.engine.spec.name == name
    assert models.loads == ("fake", "a", "b", "a")


async def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    async with pool_of(models_named("fake", "a")) as pool:
        with pytest.raises(UnknownModelError, match="There are: fake, a"):
            await pool.acquire("x")


async def test_a_failed_load_says_why_and_takes_no_room() -> None:
    models = models_named("fake", "bad", "good")
    models.broken["bad"] = ModelFileError("It has 3 outputs.")
    async with pool_of(models) as pool:
        for _ in range(2):
            with pytest.raises(ModelFileError, match="3 outputs"):
                await pool.acquire("bad")
        async with pool.using("good"):
            assert pool.loaded == {"fake", "good"}


async def test_a_bug_in_a_load_is_told_without_its_details() -> None:
    models = models_named("fake", "bad")
    models.broken["bad"] = ZeroDivisionError("secret")
    async with pool_of(models) as pool:
        with pytest.raises(EngineError, match="log says why"):
            await pool.acquire("bad")


async def test_a_caller_who_gives_up_waiting_leaves_the_model_idle() -> None:
    models = models_named("fake", "a", "b")
    async with pool_of(models) as pool:
        models.go.clear()
        waiting = asyncio.create_task(pool.acquire("a"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
        models.go.set()
        async with pool.using("a"):
            pass
        async with pool.using("b"):
            assert pool.loaded == {"fake", "b"}


async def test_a_default_that_cant_be_loaded_stops_the_start_and_closes_the_rest() -> None:
    models = models_named("fake", "a")
    models.broken["a"] = ModelFileError("It has 3 outputs.")
    with pytest.raises(ModelFileError, match="3 outputs"):
        async with pool_of(models, preload=("a",)):
            pass
    assert models.engines["fake"].closed
