"""What serves a name changes while streams run, and no frame is lost by it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from sightline_backend.admission import RateWish
from sightline_backend.errors import Refused
from sightline_backend.seat import Seat
from sightline_engines.errors import EngineError, ModelFileError
from tests.backend.running import running, until
from tests.backend.swap_pool import NEW, OLD, THIRD, pool_of, store_of
from tests.backend.swapping import FilesOfModels, file_of, film
from tests.fakes import FakeEngine, encoded, grey


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
    slow = FakeEngine(NEW, seconds=0.12)
    models = FilesOfModels([FakeEngine(OLD, seconds=0.001), slow])
    async with pool_of(models) as pool:
        seats = [await Seat.take(pool, RateWish(fps)) for fps in (5.0, 80.0, None)]
        await pool.swap("fake", NEW)
        moved = [seat.follow() for seat in seats]
        assert [seat.fps for seat in moved if seat is not None] == [5.0, None, None]
        assert [seat.follow() for seat in moved if seat is not None] == [None] * 3
        for seat in (*seats, *moved):
            assert seat is not None
            seat.leave()


async def test_a_full_engine_that_is_swapped_for_an_equal_one_keeps_its_promises() -> None:
    models = store_of(OLD, NEW, seconds=0.06)  # long beside what a busy machine adds to it
    async with pool_of(models) as pool:
        load = pool.default.load(0.0)
        each = int(0.6 * load.capacity_fps / 4 * 10) / 10
        seats = [await Seat.take(pool, RateWish(each)) for _ in range(4)]
        await pool.swap("fake", NEW)
        moved = [seat.follow() for seat in seats]
        assert [seat.fps for seat in moved if seat is not None] == [each] * 4
