"""The batcher with a fake engine: every frame ends once, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest

from sightline_backend.batch import Done, Failed, NotRun, Outcome, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import Refused
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.errors import EngineError
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import default_options
from sightline_engines.triton.remote import CallResult
from sightline_engines.types import Image
from tests.fakes import SPEC, FakeEngine, encoded, grey


@dataclass
class Seen:
    """Keeps what an observer is told."""

    batches: list[int] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    def batch_ran(self, size: int, seconds: float) -> None:
        self.batches.append(size)

    def engine_worked(self, model: str, seconds: float) -> None:
        pass

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def model_load(self, result: str) -> None:
        pass

    def engine_restarted(self, reason: str) -> None:
        self.restarts.append(reason)

    def triton_called(self, result: CallResult, seconds: float) -> None:
        pass

    def fell_back(self, active: bool) -> None:
        pass

    def swapped(self, result: str) -> None:
        pass

    def shadow_compared(self, agreed: bool) -> None:
        pass

    def plan_rebuild(self, result: str) -> None:
        pass


def on_thread(engine: FakeEngine) -> ThreadRunner:
    return ThreadRunner(engine.spec, lambda spec: engine, PictureLimits())


@asynccontextmanager
async def batching(
    engine: FakeEngine, seen: Seen | None = None, **limits: float
) -> AsyncIterator[Batcher]:
    made = Batcher([on_thread(engine)], BatchLimits(**limits), seen or Seen())  # type: ignore[arg-type]
    async with made as batcher:
        engine.batches.clear()  # those of the warm-up
        yield batcher


def work(picture: bytes | Image | None = None, age_s: float = 0.0, deadline_s: float = 5.0) -> Work:
    now_s = time.monotonic()
    picture = encoded(grey(255)) if picture is None else picture
    return Work(picture, default_options(SPEC), now_s, now_s - age_s + deadline_s)


@contextmanager
def hold(engine: FakeEngine, batcher: Batcher) -> Iterator[asyncio.Future[Outcome]]:
    """Keep the engine busy with one upload."""
    with engine.held():
        yield batcher.enqueue(work(grey(0)))


async def until_busy(engine: FakeEngine) -> None:
    assert await asyncio.to_thread(engine.busy.wait, 5)


async def test_a_frame_is_answered_with_its_boxes_and_where_its_time_went() -> None:
    seen = Seen()
    async with batching(FakeEngine(), seen) as batcher:
        outcome = await batcher.submit(batcher.open_stream(), work())
    assert isinstance(outcome, Done)
    assert len(outcome.detections) == 1
    assert outcome.size_wh == (64, 64)
    assert outcome.timings.total >= outcome.timings.infer >= 0
    assert outcome.timings.decode > 0
    assert seen.outcomes == [outcome]
    assert seen.batches == [1]


async def test_a_frame_that_waits_is_superseded_by_a_newer_one_and_never_decoded() -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        stream = batcher.open_stream()
        with hold(engine, batcher) as first:
            await until_busy(engine)
            old = batcher.submit(stream, work(b"not even a picture"))
            new = batcher.submit(stream, work())
            assert await old == NotRun("superseded")
        assert isinstance(await new, Done)
        assert isinstance(await first, Done)


async def test_a_frame_too_old_is_dropped_before_it_costs_engine_time() -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        outcome = await batcher.submit(batcher.open_stream(), work(age_s=9.0))
    assert outcome == NotRun("late")
    assert engine.batches == []


async def test_a_picture_that_cannot_be_decoded_fails_alone() -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        streams = [batcher.open_stream() for _ in range(3)]
        with hold(engine, batcher):
            await until_busy(engine)
            pictures = (encoded(grey(255)), b"garbage", encoded(grey(255)))
            waiting = [batcher.submit(s, work(p)) for s, p in zip(streams, pictures, strict=True)]
        outcomes = await asyncio.gather(*waiting)
    assert [type(outcome) for outcome in outcomes] == [Done, Failed, Done]


async def test_an_engine_that_fails_on_one_batch_goes_on_with_the_next() -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        stream = batcher.open_stream()
        engine.failure = EngineError("The device ran out of memory.")
        assert await batcher.submit(stream, work()) == Failed(
            "engine_failed", "The device ran out of memory."
        )
        engine.failure = None
        assert isinstance(await batcher.submit(stream, work()), Done)


async def test_a_bug_in_one_batch_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        stream = batcher.open_stream()
        engine.failure = ZeroDivisionError("a bug")
        outcome = await batcher.submit(stream, work())
        engine.failure = None
        assert isinstance(await batcher.submit(stream, work()), Done)
    assert isinstance(outcome, Failed)
    assert outcome.code == "internal"
    assert "a bug" not in outcome.message
    assert "a bug" in caplog.text


async def test_what_waits_when_the_batcher_closes_ends_as_closing() -> None:
    engine = FakeEngine()
    batcher = await Batcher([on_thread(engine)], BatchLimits(), Seen()).__aenter__()
    stream = batcher.open_stream()
    with hold(engine, batcher) as running:
        await until_busy(engine)
        waiting = batcher.submit(stream, work())
        leaving = asyncio.create_task(batcher.__aexit__(None, None, None))
        assert await waiting == NotRun("closing")
        assert await batcher.submit(stream, work()) == NotRun("closing")
    await leaving
    assert isinstance(await running, Done)
    assert engine.closed


async def test_closing_a_stream_ends_its_frame_and_frees_its_place() -> None:
    engine = FakeEngine()
    async with batching(engine, max_streams=1) as batcher:
        stream = batcher.open_stream()
        with pytest.raises(Refused) as refused:
            batcher.open_stream()
        assert refused.value.retry_after_s > 0
        with hold(engine, batcher):
            await until_busy(engine)
            waiting = batcher.submit(stream, work())
            batcher.close_stream(stream)
            assert await waiting == NotRun("closing")
        assert batcher.open_stream() != stream


async def test_uploads_beyond_the_queue_are_refused() -> None:
    engine = FakeEngine()
    async with batching(engine, max_uploads=1) as batcher:
        with hold(engine, batcher) as running:
            await until_busy(engine)
            queued = batcher.enqueue(work(grey(9)))
            with pytest.raises(Refused, match="try again"):
                batcher.enqueue(work(grey(9)))
        assert isinstance(await running, Done)
        assert isinstance(await queued, Done)


async def test_a_slow_machine_gets_a_deadline_it_can_meet() -> None:
    async with batching(FakeEngine(seconds=0.05), deadline_s=0.01) as batcher:
        assert batcher.deadline_s >= 0.125


async def test_a_client_that_has_gone_harms_nobody() -> None:
    engine = FakeEngine()
    async with batching(engine) as batcher:
        gone, stays = batcher.open_stream(), batcher.open_stream()
        with hold(engine, batcher):
            await until_busy(engine)
            batcher.submit(gone, work()).cancel()
            answer = batcher.submit(stays, work())
        assert isinstance(await answer, Done)


async def test_an_engine_that_fails_its_warm_up_is_closed() -> None:
    engine = FakeEngine()
    engine.failure = EngineError("The driver is too old.")
    with pytest.raises(EngineError, match="driver"):
        async with Batcher([on_thread(engine)], BatchLimits(), Seen()):
            pass
    assert await asyncio.to_thread(engine.let_go.wait, 5)
