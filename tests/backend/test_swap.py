"""What serves a name changes while streams run, and no frame is lost by it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sightline_backend import shelf
from sightline_backend.admission import RateWish
from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import NoRoomForModelError, Refused, ReportedError
from sightline_backend.pool import EnginePool
from sightline_backend.seat import Seat
from sightline_backend.serving.loading import Fit, Fitted, as_it_is
from sightline_backend.serving.turns import Machine
from sightline_backend.settings import Settings
from sightline_backend.telemetry import Telemetry
from sightline_backend.workers.choice import runners
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.assets import shipped_model
from sightline_engines.errors import EngineError, EngineMemoryError, ModelFileError, SightlineError
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import default_options
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from sightline_monitoring.metrics import Metrics
from tests.backend.running import running, until
from tests.backend.swapping import FilesOfModels, file_of, film
from tests.backend.test_lanes import FakeRunner, Seen
from tests.fakes import FakeEngine, encoded, grey

OLD, NEW, THIRD = file_of("old"), file_of("new"), file_of("third")


def store_of(*specs: ModelSpec, seconds: float = 0.001) -> FilesOfModels:
    return FilesOfModels([FakeEngine(spec, seconds) for spec in specs])


@asynccontextmanager
async def pool_of(
    models: FilesOfModels, capacity: int = 2, fit: Fit = as_it_is
) -> AsyncIterator[EnginePool]:
    telemetry, machine = Telemetry(Metrics()), Machine()

    def make(spec: ModelSpec) -> Batcher:
        one = ThreadRunner(spec, models.load, PictureLimits())
        return Batcher([one], BatchLimits(), telemetry, machine)

    async with EnginePool(models, make, "fake", capacity=capacity, fit=fit) as pool:
        yield pool


async def test_sixteen_streams_and_uploads_lose_nothing_when_their_model_is_swapped() -> None:
    models = store_of(OLD, NEW, seconds=0.002)
    async with running(models=models) as backend, AsyncExitStack() as stack:
        cameras = [await stack.enter_async_context(backend.camera()) for _ in range(16)]
        ends, enough, uploads = [Counter[str]() for _ in cameras], asyncio.Event(), Counter[int]()

        async def upload() -> None:
            while not enough.is_set():
                answer = await backend.detect(encoded(grey(200)))
                uploads[answer.status_code] += 1

        tasks = [asyncio.create_task(film(*one, enough)) for one in zip(cameras, ends, strict=True)]
        tasks.append(asyncio.create_task(upload()))
        await until(lambda: all(one["old"] >= 3 for one in ends))
        for _ in range(2):
            await backend.service.pool.swap("fake", NEW)
            await backend.service.pool.swap("fake", OLD)
        await backend.service.pool.swap("fake", NEW)
        before = [one["new"] for one in ends]
        await until(lambda: all(e["new"] > b + 2 for e, b in zip(ends, before, strict=True)))
        enough.set()
        await asyncio.gather(*tasks)
        assert set().union(*ends) <= {"old", "new"}, ends
        assert set(uploads) == {200}
        assert all(camera.hello.model.version == "new" for camera in cameras)
        assert backend.service.pool.default.streams == 16
    assert all(engine.closed for engine in models.files.values())


async def test_a_frame_in_the_old_engines_hands_is_answered_by_it_with_its_labels() -> None:
    other = file_of("new", labels=("cat", "dog"))
    models = store_of(OLD, other)
    old = models.files[OLD.path]
    async with running(models=models) as backend, backend.camera() as camera:
        await camera.set(classes=("0",))
        with old.held():
            await camera.send(1)
            await asyncio.to_thread(old.busy.wait)
            await camera.send(2)  # waits at the old engine
            await backend.service.pool.swap("fake", replace(other, input_size_wh=(32, 32)))
            assert (await camera.detect(3)).model.version == "new"
        both = [await camera.result(), await camera.result()]
        assert [(one.seq, one.model.version) for one in both] == [(1, "old"), (2, "old")]
        assert both[0].detections.to_dicts(OLD.labels)[0]["class_name"] == "person"
        assert camera.hello.labels == ("cat", "dog")
        assert camera.hello.input_size_wh == (32, 32)
        assert camera.hello.settings.classes == (), "no class of the old one is known here"
        await until(lambda: backend.service.pool.default.streams == 1)


async def test_settings_hold_after_a_swap() -> None:
    async with running(models=store_of(OLD, NEW)) as backend, backend.camera("fps=5") as camera:
        await camera.set(conf=0.5, classes=("0",))
        await backend.service.pool.swap("fake", NEW)
        await camera.detect(1)
        asked = camera.hello.settings
        assert (asked.conf, asked.classes, camera.hello.fps) == (0.5, ("person",), 5)


async def test_after_a_change_of_model_the_client_is_greeted_anew() -> None:
    engines = [FakeEngine(), FakeEngine(file_of("o", "other", ("face", "dog")))]
    async with running(*engines) as backend, backend.camera("fps=5") as camera:
        await camera.set(model="other")
        assert camera.hello.model.name == "other"
        assert (camera.hello.labels, camera.hello.fps) == (("face", "dog"), 5)


@pytest.mark.parametrize("failure", [ModelFileError("3 outputs"), ZeroDivisionError("secret")])
async def test_a_swap_that_fails_changes_nothing_and_says_why(failure: Exception) -> None:
    models = store_of(OLD, NEW)
    models.broken_files[NEW.path] = failure
    async with running(models=models) as backend, backend.camera() as camera:
        with pytest.raises((ModelFileError, EngineError), match=r"3 outputs|log says why"):
            await backend.service.pool.swap("fake", NEW)
        assert (await camera.detect(1)).model.version == "old"
        assert backend.service.pool.default.spec is OLD


async def test_a_record_that_fails_leaves_the_old_one_and_closes_the_new() -> None:
    async def record() -> None:
        raise EngineError("The disk is full.")

    models = store_of(OLD, NEW)
    async with pool_of(models) as pool:
        with pytest.raises(EngineError, match="disk is full"):
            await pool.swap("fake", NEW, record)
        assert pool.default.spec is OLD
        assert await asyncio.to_thread(models.files[NEW.path].let_go.wait, 5)


async def test_the_record_is_made_when_the_new_one_is_warm_and_before_it_serves() -> None:
    models = store_of(OLD, NEW)
    async with pool_of(models) as pool:

        async def record() -> None:
            assert models.loads[-1] == "new"
            assert pool.default.spec is OLD

        assert (await pool.swap("fake", NEW, record)).spec is NEW
        assert pool.default.spec is NEW


async def test_two_swaps_at_once_go_one_after_the_other() -> None:
    models = store_of(OLD, NEW, THIRD)
    async with pool_of(models) as pool:
        await asyncio.gather(pool.swap("fake", NEW), pool.swap("fake", THIRD))
        assert pool.default.spec is THIRD
        assert [spec.version for spec in pool.warm] == ["new"]
        await until(lambda: models.files[OLD.path].closed)


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


async def test_a_model_that_is_not_in_memory_can_be_swapped_in_a_full_server() -> None:
    models = store_of(OLD, file_of("a", "a"), file_of("b", "b"))
    async with pool_of(models, capacity=2) as pool, pool.using("a"):
        assert (await pool.swap("b", file_of("b", "b"))).spec.name == "b"
        assert pool.loaded == {"fake", "a"}


async def test_a_swap_while_the_server_stops_ends_and_leaves_nothing() -> None:
    models = store_of(OLD, NEW)
    async with pool_of(models) as pool:
        models.go.clear()
        swap = asyncio.create_task(pool.swap("fake", NEW))
        await until(lambda: models.loads[-1] == "new")
        asyncio.get_running_loop().call_later(0.1, models.go.set)
    with pytest.raises((Refused, EngineError)):
        await swap
    assert await asyncio.to_thread(models.files[NEW.path].let_go.wait, 5)


async def test_a_rate_is_kept_where_the_new_engine_carries_it_and_else_shared() -> None:
    slow = FakeEngine(NEW, seconds=0.02)
    models = FilesOfModels([FakeEngine(OLD, seconds=0.001), slow])
    async with pool_of(models) as pool:
        seats = [await Seat.take(pool, RateWish(fps)) for fps in (5.0, 200.0, None)]
        await pool.swap("fake", NEW)
        moved = [seat.follow() for seat in seats]
        assert [seat.fps for seat in moved if seat is not None] == [5.0, None, None]
        assert [seat.follow() for seat in moved if seat is not None] == [None] * 3
        for seat in (*seats, *moved):
            assert seat is not None
            seat.leave()


async def test_a_full_engine_that_is_swapped_for_an_equal_one_keeps_its_promises() -> None:
    models = store_of(OLD, NEW, seconds=0.02)
    async with pool_of(models) as pool:
        load = pool.default.load(0.0)
        each = int(0.7 * load.capacity_fps / 4 * 10) / 10
        seats = [await Seat.take(pool, RateWish(each)) for _ in range(4)]
        await pool.swap("fake", NEW)
        moved = [seat.follow() for seat in seats]
        assert [seat.fps for seat in moved if seat is not None] == [each] * 4


async def isolated_pool(folder: Path) -> tuple[EnginePool, ModelSpec]:
    settings = Settings(models_dir=folder)
    spec = recognise(shipped_model())
    telemetry = Telemetry(Metrics())

    class One:
        def list(self) -> list[ModelSpec]:
            return [spec]

        def find(self, name_or_path: str) -> ModelSpec:
            return spec

    def make(spec: ModelSpec) -> Batcher:
        limits = BatchLimits(max_batch=1)  # the less is measured
        return Batcher(runners(spec, settings, limits.picture), limits, telemetry)

    return EnginePool(One(), make, spec.name), spec


async def test_a_new_engine_that_is_killed_while_it_warms_up_leaves_the_old_one(
    tmp_path: Path,
) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        (old,) = pool.default.pids
        swap = asyncio.create_task(pool.swap(spec.name, replace(spec, engine="onnxruntime")))
        fresh: list[int] = []

        def warming() -> bool:
            children = psutil.Process().children()
            fresh[:] = [
                child.pid
                for child in children
                if child.pid != old and "sightline_backend.workers.child" in child.cmdline()
            ]
            return bool(fresh)

        await until(warming)
        os.kill(fresh[0], signal.SIGKILL)
        with pytest.raises(EngineError, match="signal 9"):
            await swap
        assert pool.default.pids == [old]
        assert pool.trouble is None


async def test_a_kept_worker_that_was_killed_is_loaded_anew(tmp_path: Path) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        (kept,) = pool.default.pids
        await pool.swap(spec.name, replace(spec, engine="onnxruntime"))
        os.kill(kept, signal.SIGKILL)
        batcher = await pool.swap(spec.name, spec)
        assert batcher.pids != [kept]
        now_s = time.monotonic()
        work = Work(encoded(grey(200)), default_options(spec), now_s, now_s + 60)
        assert isinstance(await batcher.submit(batcher.open_stream(), work), Done)


async def test_a_swap_replaces_an_engine_that_is_being_restarted(tmp_path: Path) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        os.kill(pool.default.pids[0], signal.SIGKILL)
        batcher = await pool.swap(spec.name, replace(spec, engine="onnxruntime"))
        assert pool.default is batcher
        assert batcher.served.engine == "onnxruntime"
        assert pool.trouble is None
