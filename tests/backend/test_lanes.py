"""What becomes of frames when an engine is lost, with a runner that fails as it is told."""

from __future__ import annotations

import asyncio

import pytest

from sightline_backend.batch import BatchRun, Done, Failed, NotRun, Remote
from sightline_backend.breaker import MOST_RESTARTS
from sightline_backend.costs import costs_beside
from sightline_backend.errors import Refused
from sightline_engines.triton.remote import Call
from sightline_engines.types import Detections, ServedModel, Timings
from tests.backend.fake_runner import FakeRunner, Seen, batching, work
from tests.backend.running import until
from tests.fakes import SPEC


async def test_the_frames_of_a_lost_batch_fail_and_the_next_ones_are_answered() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.losses = 1
        lost = await batcher.submit(stream, work())
        assert isinstance(lost, Failed)
        assert lost.code == "engine_lost"
        assert isinstance(await batcher.submit(stream, work()), Done)
        assert batcher.trouble is None
    assert runner.starts == 2
    assert seen.restarts == ["crashed"]
    assert seen.ended == 2


async def test_frames_that_wait_for_a_restart_run_after_it_or_end_as_late() -> None:
    runner = FakeRunner()
    async with batching(runner) as batcher:
        hasty, patient = batcher.open_stream(), batcher.open_stream()
        runner.losses = 1
        runner.may_start.clear()
        await batcher.submit(hasty, work())
        assert batcher.trouble is not None
        waiting = batcher.submit(patient, work(deadline_s=60.0))
        upload = batcher.enqueue(work(deadline_s=float("inf")))
        assert await batcher.submit(hasty, work(deadline_s=0.01)) == NotRun("late")
        assert not waiting.done()
        runner.may_start.set()
        assert isinstance(await waiting, Done)
        assert isinstance(await upload, Done)


async def test_an_engine_that_dies_again_and_again_rests_and_says_so() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.losses = 100
        for _ in range(MOST_RESTARTS):
            lost = await batcher.submit(stream, work())
            assert isinstance(lost, Failed)
        queued = [batcher.submit(stream, work()), batcher.enqueue(work(float("inf")))]
        for future in queued:
            outcome = await future
            assert isinstance(outcome, Failed)
            assert outcome.code == "engine_lost"
        await until(lambda: "rests" in str(batcher.trouble))
        turned_away = batcher.submit(stream, work())
        assert turned_away.done()
        told = turned_away.result()
        assert isinstance(told, Failed)
        assert "SIGHTLINE_ENGINE" in told.message
        with pytest.raises(Refused, match="again and again") as refused:
            batcher.enqueue(work())
        assert refused.value.retry_after_s > 0
        with pytest.raises(Refused):
            batcher.open_stream()
    assert seen.restarts == ["crashed"] * MOST_RESTARTS
    assert runner.closed


async def test_a_restart_that_fails_is_tried_again() -> None:
    runner = FakeRunner()
    async with batching(runner) as batcher:
        stream = batcher.open_stream()
        runner.losses, runner.broken_starts = 1, 2
        await batcher.submit(stream, work())
        assert isinstance(await batcher.submit(stream, work()), Done)
    assert runner.starts == 4


async def test_an_engine_whose_batches_all_fail_is_started_again() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.failures = 5
        for _ in range(5):
            assert isinstance(await batcher.submit(stream, work()), Failed)
        assert isinstance(await batcher.submit(stream, work()), Done)
    assert seen.restarts == ["failing"]


async def test_a_device_short_of_memory_gets_smaller_batches_from_then_on() -> None:
    runner = FakeRunner()
    async with batching(runner) as batcher:
        streams = [batcher.open_stream() for _ in range(8)]
        runner.most = 2
        await batcher.submit(streams[0], work())
        runner.batches.clear()
        await asyncio.gather(*(batcher.submit(stream, work()) for stream in streams))
    assert max(runner.batches) == 2


async def test_while_one_of_two_engines_is_lost_the_other_goes_on() -> None:
    one, other = FakeRunner(), FakeRunner()
    async with batching(one, other) as batcher:
        stream = batcher.open_stream()
        for runner in (one, other):
            runner.may_start.clear()
        one.losses = 1
        while one.losses:
            await batcher.submit(stream, work())
        assert batcher.trouble is None
        assert isinstance(await batcher.submit(stream, work()), Done)
        one.may_start.set()
        await until(lambda: one.starts == 2)


async def test_two_engines_work_side_by_side() -> None:
    runners = FakeRunner(), FakeRunner()
    async with batching(*runners) as batcher:
        streams = [batcher.open_stream() for _ in range(4)]
        for _ in range(10):
            await asyncio.gather(*(batcher.submit(stream, work()) for stream in streams))
    assert all(runner.batches for runner in runners)


async def test_a_server_that_stops_while_an_engine_is_down_does_not_wait_for_it() -> None:
    runner = FakeRunner()
    async with batching(runner) as batcher:
        runner.losses = 1
        await batcher.submit(batcher.open_stream(), work())
        runner.may_start.clear()
        waiting = batcher.submit(batcher.open_stream(), work())
    assert await waiting == NotRun("closing")


async def test_a_batch_that_does_not_end_holds_up_a_stop_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sightline_backend.batcher.LAST_BATCH_S", 0.01)
    runner = FakeRunner()
    async with batching(runner) as batcher:
        runner.endless = True
        running = batcher.submit(batcher.open_stream(), work())
        await until(lambda: bool(runner.batches))
    assert await running == NotRun("closing")
    assert runner.closed


@pytest.mark.parametrize("code", ["engine_failed", "engine_memory", "internal"])
async def test_whatever_an_engine_fails_with_again_and_again_it_is_started_anew(code: str) -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.failures, runner.code = 5, code
        for _ in range(5):
            await batcher.submit(stream, work())
        assert isinstance(await batcher.submit(stream, work()), Done)
    assert seen.restarts == ["failing"]


async def test_bad_pictures_are_no_reason_to_start_an_engine_anew() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.failures, runner.code = 50, "corrupt_picture"
        for _ in range(50):
            await batcher.submit(stream, work())
    assert seen.restarts == []


def done(decode_ms: float) -> Done:
    return Done(Detections.empty(), (64, 64), Timings(decode=decode_ms), 1)


@pytest.mark.parametrize(
    ("run", "elapsed_s", "costs"),
    [
        (BatchRun([done(10.0)], 0.010, 0.020), 0.032, [0.012]),
        (BatchRun([done(10.0), done(30.0)], 0.040, 0.020), 0.062, [0.011, 0.031]),
        (BatchRun([Failed("corrupt_picture", "")], 0.300), 0.302, [0.302]),
        (BatchRun([done(10.0), Failed("x", "")], 0.310, 0.020), 0.332, [0.011, 0.301]),
    ],
)
def test_each_frame_is_charged_what_it_cost(
    run: BatchRun, elapsed_s: float, costs: list[float]
) -> None:
    assert costs_beside(run, elapsed_s) == pytest.approx(costs)


SERVED = ServedModel(SPEC.name, SPEC.version, "triton", "fp32", "Triton there:8001")
WELL = Remote(SERVED, None)
DOWN = Remote(SERVED, "It is down.")


async def test_while_its_server_is_away_frames_say_so_and_no_engine_is_started_again() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.remote = DOWN
        for _ in range(8):  # more than failures that a local engine is restarted for
            assert await batcher.submit(stream, work()) == Failed("engine_away", "It is down.")
        assert batcher.trouble == "It is down."
        assert batcher.engines_running == 0
        runner.remote = WELL
        await until(lambda: batcher.trouble is None)  # with no frame at all
        assert isinstance(await batcher.submit(stream, work()), Done)
    assert seen.restarts == []


async def test_one_that_may_begin_away_is_asked_before_its_first_frame() -> None:
    runner = FakeRunner()
    runner.remote = DOWN
    batcher = batching(runner)
    batcher.at_triton = True
    async with batcher:
        await until(lambda: batcher.trouble is not None)
        assert sum(runner.batches) == 0  # nothing but a question


async def test_frames_are_left_to_the_engine_that_still_reaches_the_server() -> None:
    cut_off, well, seen = FakeRunner(), FakeRunner(), Seen()
    cut_off.remote, well.remote = DOWN, WELL
    batcher = batching(cut_off, well, seen=seen)
    batcher.at_triton = True
    async with batcher:
        await until(lambda: batcher.engines_running == 1)
        stream = batcher.open_stream()
        for _ in range(10):
            assert isinstance(await batcher.submit(stream, work()), Done)
        assert batcher.trouble is None
    assert sum(cut_off.batches) == 0


async def test_calls_to_the_server_and_who_answered_are_told() -> None:
    runner, seen = FakeRunner(), Seen()
    async with batching(runner, seen=seen) as batcher:
        stream = batcher.open_stream()
        runner.remote = Remote(SERVED, None, (Call("ok", 0.1),))
        await batcher.submit(stream, work())
        standing_in = ServedModel(SPEC.name, SPEC.version, "onnxruntime", "fp32", "CPU", "It fell.")
        runner.remote = Remote(standing_in, None, (Call("away", 2.0),))
        assert isinstance(await batcher.submit(stream, work()), Done)
        assert batcher.trouble is None
    assert seen.calls[:2] == ["ok", "away"]
    assert seen.fallen_back == [False, True]
