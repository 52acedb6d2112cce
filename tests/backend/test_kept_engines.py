"""Engines that were replaced: kept for a rollback, and the first to go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sightline_backend import shelf
from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import NoRoomForModelError, ReportedError
from sightline_backend.pool import EnginePool
from sightline_backend.serving.loading import Fitted
from sightline_engines.errors import EngineMemoryError, ModelFileError, SightlineError
from sightline_engines.pipeline import default_options
from sightline_engines.types import ModelSpec
from tests.backend.fake_runner import FakeRunner, Seen
from tests.backend.running import until
from tests.backend.swap_pool import NEW, OLD, THIRD, pool_of, store_of
from tests.backend.swapping import FilesOfModels, file_of
from tests.fakes import FakeEngine


async def test_a_rollback_to_a_warm_engine_loads_nothing() -> None:
    models = store_of(OLD, NEW)
    async with pool_of(models) as pool:
        first = pool.default
        await pool.swap("fake", NEW)
        assert await pool.swap("fake", OLD) is first
        assert models.loads == ("old", "new")


class OneFile(FakeRunner):
    """A runner of one file, which fails as it is told."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.file = spec

    @property
    def spec(self) -> ModelSpec:
        return self.file


@pytest.mark.parametrize("losses", [0, 1])
async def test_a_rollback_takes_a_kept_engine_only_if_it_still_answers(losses: int) -> None:
    made: list[OneFile] = []
    seen = Seen()

    def make(spec: ModelSpec) -> Batcher:
        made.append(OneFile(spec))
        return Batcher([made[-1]], BatchLimits(), seen)

    async with EnginePool(store_of(OLD, NEW), make, "fake", capacity=2) as pool:
        await pool.swap("fake", NEW)
        made[0].losses = losses
        batcher = await pool.swap("fake", OLD)
        assert len(made) == 2 + losses
        assert seen.ended == 0, "a frame of our own counts as nobody's"
        now_s = time.monotonic()
        work = Work(b"never read", default_options(OLD), now_s, now_s + 60)
        assert isinstance(await batcher.submit(batcher.open_stream(), work), Done)
        assert made[0].closed == bool(losses)


async def test_an_engine_that_is_being_restarted_is_not_what_is_asked_for() -> None:
    made: list[OneFile] = []

    def make(spec: ModelSpec) -> Batcher:
        made.append(OneFile(spec))
        return Batcher([made[-1]], BatchLimits(), Seen())

    async with EnginePool(store_of(OLD), make, "fake", capacity=2) as pool:
        now_s = time.monotonic()
        made[0].losses = 1
        made[0].may_start.clear()
        work = Work(b"never read", default_options(OLD), now_s, now_s + 60)
        await pool.default.submit(pool.default.open_stream(), work)
        await until(lambda: pool.trouble is not None)
        await pool.swap("fake", OLD)
        assert pool.trouble is None
        assert len(made) == 2


async def test_the_engine_before_the_last_goes_before_another_is_loaded() -> None:
    models = store_of(OLD, NEW, THIRD)
    async with pool_of(models, capacity=3) as pool:
        await pool.swap("fake", NEW)
        models.go.clear()
        swap = asyncio.create_task(pool.swap("fake", THIRD))
        await until(lambda: models.loads[-1] == "third")
        assert models.files[OLD.path].closed
        models.go.set()
        await swap
        assert [spec.version for spec in pool.warm] == ["new"]


async def test_what_is_kept_counts_and_is_the_first_to_go() -> None:
    models = store_of(OLD, NEW, file_of("a", "a"))
    async with pool_of(models, capacity=2) as pool:
        async with pool.using("a"):
            pass
        async with pool.using("fake"):
            await pool.swap("fake", NEW)
            assert len(pool.in_memory) == 3, "somebody is still at the old one"
        assert pool.loaded == {"fake", "a"}
        assert pool.warm == []
        await until(lambda: models.files[OLD.path].closed)


class Tight(FilesOfModels):
    """Has memory for a file's engine only when another's was closed."""

    failure: SightlineError = EngineMemoryError("CUDA ran out of memory.")

    def load(self, spec: ModelSpec) -> FakeEngine:
        """Return a file's engine, or fail for lack of memory."""
        engine = super().load(spec)
        if spec.version == "tight" and not self.files[OLD.path].closed:
            raise self.failure
        return engine


@pytest.mark.parametrize(
    ("failure", "on_trial"),
    [
        (EngineMemoryError("CUDA ran out of memory."), False),
        (EngineMemoryError("CUDA ran out of memory."), True),
        (ReportedError("engine_memory", "As a worker process tells it."), False),
    ],
)
async def test_where_memory_does_not_suffice_kept_engines_go_and_it_is_tried_again(
    failure: SightlineError, on_trial: bool
) -> None:
    tight = file_of("tight", "a")
    models = Tight([FakeEngine(spec) for spec in (OLD, NEW, file_of("a", "a"), tight)])
    models.failure = failure
    async with pool_of(models, capacity=5) as pool:
        with pytest.raises(type(failure)):
            await pool.swap("a", tight)  # nothing is kept
        assert models.loads.count("tight") == 1
        await pool.swap("fake", NEW)
        if on_trial:
            async with pool.beside(tight) as candidate:
                assert candidate.spec == tight
        else:
            assert (await pool.swap("a", tight)).spec == tight
        assert models.loads.count("tight") == 3
        assert pool.warm == []


@pytest.mark.parametrize("failure", [Tight.failure, ReportedError("engine_memory", "As told.")])
@pytest.mark.parametrize("is_kept", [False, True])
async def test_kept_engines_go_for_lack_of_memory_before_an_older_file_serves(
    failure: SightlineError, is_kept: bool
) -> None:
    tight, older = file_of("tight", "a"), file_of("older", "a")
    models = Tight([FakeEngine(spec) for spec in (OLD, NEW, tight, older)])
    models.failure = failure

    def fit(spec: ModelSpec) -> Iterator[Fitted]:
        yield Fitted(spec)
        if spec == tight:
            yield Fitted(older)

    async with pool_of(models, capacity=5, fit=fit) as pool:
        if is_kept:
            await pool.swap("fake", NEW)
        async with pool.using("a") as batcher:
            found = batcher.served.version, batcher.fallback
        assert found == (("tight", None) if is_kept else ("older", failure.message))
        assert pool.warm == []


async def test_a_candidate_that_does_not_load_costs_no_kept_engine() -> None:
    models = store_of(OLD, NEW, THIRD)
    models.broken_files[THIRD.path] = ModelFileError("3 outputs")
    async with pool_of(models, capacity=2) as pool:
        await pool.swap("fake", NEW)
        models.go.clear()
        loading = asyncio.create_task(pool.beside(THIRD).__aenter__())
        await until(lambda: models.loads[-1] == "third")
        async with pool.using("fake"):
            pass
        assert pool.warm == [OLD]
        models.go.set()
        with pytest.raises(ModelFileError):
            await loading
        assert pool.warm == [OLD]
        models.broken_files.clear()
        async with pool.beside(THIRD) as candidate:
            assert pool.warm == []
            with pytest.raises(NoRoomForModelError):
                async with pool.beside(THIRD):
                    pass
            await until(lambda: set(pool.in_memory) == {pool.default, candidate})
        assert pool.in_memory == [pool.default]


async def test_what_was_replaced_goes_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "KEEP_S", 0.01)
    models = store_of(OLD, NEW)
    async with pool_of(models) as pool, pool.using("fake") as used:
        await pool.swap("fake", NEW)
        await asyncio.sleep(0.05)
        assert not models.files[OLD.path].closed, "an upload may still be there"
        pool.release(used)
        await until(lambda: models.files[OLD.path].closed)
        assert await pool.acquire("fake") is not used


async def test_what_was_replaced_makes_room_before_anything_else_does() -> None:
    models = store_of(OLD, NEW, file_of("a", "a"), file_of("b", "b"))
    async with pool_of(models, capacity=3) as pool:
        for name in ("a", "b"):
            if name == "b":
                await pool.swap("fake", NEW)
            async with pool.using(name):
                pass
        assert pool.loaded == {"fake", "a", "b"}
        assert pool.warm == []
