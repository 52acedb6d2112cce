"""Models come into memory when asked for, and leave it when another needs the room."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from random import Random

import pytest

from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import NoRoomForModelError, Refused, UnknownModelError
from sightline_backend.place import Place
from sightline_backend.pool import EnginePool
from sightline_backend.room import Room
from sightline_backend.telemetry import Telemetry
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.errors import EngineError, ModelFileError
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec
from sightline_monitoring.metrics import Metrics
from tests.fakes import FakeEngine, FakeModels, named


@asynccontextmanager
async def pool_of(
    models: FakeModels, capacity: int = 2, preload: tuple[str, ...] = ()
) -> AsyncIterator[EnginePool]:
    telemetry = Telemetry(Metrics())

    def load(spec: ModelSpec) -> Batcher:
        return Batcher([ThreadRunner(spec, models.load, PictureLimits())], BatchLimits(), telemetry)

    async with EnginePool(models, load, "fake", preload, capacity) as pool:
        yield pool


def models_named(*names: str) -> FakeModels:
    return FakeModels([FakeEngine(named(name)) for name in names])


class FailingClose(FakeEngine):
    """An engine whose runtime fails as it is let go."""

    def close(self) -> None:
        """Note that the engine was let go, and fail."""
        super().close()
        raise RuntimeError("The runtime is confused.")


class HeldClose(FakeEngine):
    """An engine that is let go only when `may_close` is set."""

    may_close: threading.Event
    closing: threading.Event

    def close(self) -> None:
        """Wait, then let go."""
        self.closing.set()
        self.may_close.wait()
        super().close()


@contextmanager
def held_close(models: FakeModels, name: str) -> Iterator[threading.Event]:
    """Keep an engine from closing until the block ends; yields what its close sets."""
    engine = models.engines[name]
    assert isinstance(engine, HeldClose)
    engine.may_close, engine.closing = threading.Event(), threading.Event()
    try:
        yield engine.closing
    finally:
        engine.may_close.set()


class SlowList(FakeModels):
    """A store on a slow disk: `list` waits while `listed` is clear."""

    def __init__(self, engines: Sequence[FakeEngine]) -> None:
        super().__init__(engines)
        self.listing = threading.Event()
        self.listed = threading.Event()
        self.listed.set()

    def list(self) -> Sequence[ModelSpec]:
        """Return every model, in its own time."""
        self.listing.set()
        self.listed.wait()
        return super().list()


async def serves(pool: EnginePool, name: str | None) -> None:
    """Use a model as a stream does; raises what it can't do."""
    async with asyncio.timeout(5), pool.using(name) as batcher:
        batcher.close_stream(batcher.open_stream())


async def until_it_serves(pool: EnginePool, name: str) -> None:
    """Wait for room: models that nobody waits for any more may still be loading."""
    async with asyncio.timeout(5):
        while True:
            with suppress(NoRoomForModelError):
                await serves(pool, name)
                return
            await asyncio.sleep(0.005)


async def test_the_default_and_the_preloaded_are_there_from_the_start() -> None:
    models = models_named("fake", "a", "b")
    async with pool_of(models, preload=("a",)) as pool:
        assert pool.trouble is None
        assert pool.loaded == {"fake", "a"}
        assert pool.default.spec is models.engines["fake"].spec
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
                assert batcher.spec.name == name
    assert models.loads == ("fake", "a", "b", "a")


async def test_a_model_waits_for_all_that_make_room_for_it() -> None:
    room, loop = Room(1), asyncio.get_running_loop()
    async with pool_of(models_named("fake")) as pool:
        for name in ("a", "b"):
            room.places[name] = Place(named(name), loop.create_future())
            room.places[name].ready.set_result(pool.default)
        assert [place.spec.name for place in room.make()] == ["a", "b"]
    assert room.places == {}


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


async def test_a_caller_who_leaves_while_a_model_makes_room_breaks_neither_model() -> None:
    models = models_named("fake", "a", "b")
    models.engines["a"] = HeldClose(named("a"))
    async with pool_of(models) as pool:
        async with pool.using("a"):
            pass
        with held_close(models, "a") as closing:
            waiting = asyncio.create_task(pool.acquire("b"))
            await asyncio.to_thread(closing.wait)
            waiting.cancel()
            await asyncio.wait([waiting])
        for name in ("b", "a", "b"):
            await serves(pool, name)


async def test_after_a_storm_of_switches_and_leaves_every_model_still_serves() -> None:
    random = Random(7)
    names = ("a", "b", "c", "d")
    models = models_named("fake", *names)

    async def client(pool: EnginePool) -> None:
        for _ in range(20):
            wish = asyncio.create_task(serves(pool, random.choice(names)))
            await asyncio.wait([wish], timeout=random.choice([0, 0.001, 0.01]))
            wish.cancel()
            await asyncio.wait([wish])
            if not wish.cancelled():
                assert isinstance(wish.exception(), NoRoomForModelError | None)

    async with pool_of(models, capacity=3) as pool:
        await asyncio.gather(*(client(pool) for _ in range(4)))
        for name in (*names, "fake"):
            await until_it_serves(pool, name)
        assert len(pool.loaded) <= 3


async def test_an_engine_that_fails_to_close_keeps_no_other_open() -> None:
    models = models_named("fake", "a", "b", "c")
    models.engines["a"] = FailingClose(named("a"))
    models.engines["b"] = FailingClose(named("b"))
    async with pool_of(models, capacity=3, preload=("a", "b")) as pool:
        await serves(pool, "c")
    assert all(engine.closed for engine in models.engines.values())


async def test_names_are_looked_up_without_holding_others_up() -> None:
    models = SlowList([FakeEngine(named("fake")), FakeEngine(named("a"))])
    async with pool_of(models, preload=("a",)) as pool:
        models.listed.clear()
        unknown = asyncio.create_task(pool.acquire("x"))
        await asyncio.to_thread(models.listing.wait)
        for name in (None, "fake", "a"):
            await serves(pool, name)
        models.listed.set()
        with pytest.raises(UnknownModelError):
            await unknown


async def test_a_pool_that_closes_takes_no_further_model() -> None:
    models = models_named("fake", "a")
    async with pool_of(models) as pool:
        pass
    with pytest.raises(Refused, match="stopping"):
        await pool.acquire("a")
