"""A live stream over a real WebSocket: each frame gets exactly one end, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from sightline_backend.session import MAX_STRIKES
from sightline_engines import wire
from sightline_engines.errors import EngineError
from sightline_engines.types import Result
from tests.backend.running import running, until
from tests.fakes import SPEC, FakeEngine, encoded, grey


async def test_hello_tells_what_serves_and_what_the_limits_are() -> None:
    limits: dict[str, Any] = {"max_frame_bytes": 5000, "credits": 3, "deadline_ms": 1234}
    async with running(**limits) as backend, backend.camera() as camera:
        hello = camera.hello
    assert hello.model == backend.engine.served
    assert hello.labels == SPEC.labels
    assert hello.input_size_wh == SPEC.input_size_wh
    assert (hello.credits, hello.max_frame_bytes) == (3, 5000)
    assert hello.deadline_ms == 1234
    assert hello.models == ("fake",)
    assert hello.settings.conf == SPEC.postprocess.conf
    assert hello.settings.classes == ()


async def test_a_frame_is_answered_with_what_the_client_said_of_it() -> None:
    async with running() as backend, backend.camera() as camera:
        await camera.send(7, encoded(grey(204, 32, 64)), captured_us=123_456_789)
        result = await camera.result()
    assert (result.seq, result.captured_us, result.size_wh) == (7, 123_456_789, (32, 64))
    assert result.detections.score.tolist() == pytest.approx([0.8], abs=0.02)
    assert result.model == backend.engine.served
    assert result.timings.total >= result.timings.infer >= 0


async def test_many_streams_get_their_own_answers_and_nobody_elses() -> None:
    async def stream(level: int) -> None:
        async with backend.camera() as camera:
            for seq in range(10):
                result = await camera.detect(level * 100 + seq, encoded(grey(level)))
                assert result.detections.score.tolist() == pytest.approx([level / 255], abs=0.01)

    async with running(FakeEngine(seconds=0.001)) as backend:
        await asyncio.gather(*(stream(level) for level in range(80, 240, 20)))
        assert await backend.metric("sightline_frames_total", result="answered") == 80


async def test_a_newer_frame_takes_the_place_of_one_that_waits() -> None:
    async with running() as backend, backend.camera() as camera:
        with backend.engine.held():
            await camera.send(1)
            await asyncio.to_thread(backend.engine.busy.wait)
            for seq in (2, 3, 4):
                await camera.send(seq)
            dropped = [await camera.recv(), await camera.recv()]
        answered = [(await camera.result()).seq, (await camera.result()).seq]
    assert dropped == [wire.Dropped(2, "superseded"), wire.Dropped(3, "superseded")]
    assert answered == [1, 4]


async def test_a_frame_that_is_too_old_costs_no_engine_time() -> None:
    async with running(deadline_ms=100) as backend, backend.camera() as camera:
        runs = len(backend.engine.batches)
        await camera.send(1, age_ms=60_000)
        assert await camera.recv() == wire.Dropped(1, "late")
        assert len(backend.engine.batches) == runs
        assert (await camera.detect(2)).seq == 2


async def test_a_flood_beyond_the_credits_ends_every_frame_exactly_once() -> None:
    count = 300
    async with running(FakeEngine(seconds=0.002)) as backend, backend.camera() as camera:

        async def flood() -> None:
            for seq in range(count):
                await camera.send(seq)

        sending = asyncio.create_task(flood())
        ends = [await camera.recv() for _ in range(count)]
        await sending
        assert (await camera.detect(count)).seq == count
    seqs = [end.seq for end in ends if isinstance(end, Result | wire.Dropped)]
    assert sorted(seqs) == list(range(count))
    assert isinstance(ends[-1], Result), "the newest frame is never dropped as superseded"


BAD_PICTURES = {
    "an empty frame": (b"\0", "unsupported_format"),
    "text": (b"hello, I am no picture", "unsupported_format"),
    "a cut JPEG": (encoded(grey(1))[:200], "corrupt_picture"),
    "a GIF": (b"GIF89a\1\0\1\0\0\0\0;", "unsupported_format"),
    "too many bytes": (bytes(30_001), "too_large"),
    "too many pixels": (encoded(grey(1, 300, 300), ".png"), "too_large"),
}


@pytest.mark.parametrize(("picture", "code"), BAD_PICTURES.values(), ids=BAD_PICTURES)
async def test_one_bad_frame_fails_by_its_number_and_ends_nothing(
    picture: bytes, code: str
) -> None:
    async with running(max_frame_bytes=30_000, max_frame_pixels=200 * 200) as backend:
        async with backend.camera() as camera:
            await camera.send(41, picture)
            failure = await camera.recv()
            assert isinstance(failure, wire.Failure)
            assert (failure.seq, failure.code) == (41, code)
            assert failure.message
            assert (await camera.detect(42)).seq == 42
        assert await backend.metric("sightline_frames_total", result="refused") == 1


async def test_an_engine_that_fails_once_fails_one_frame() -> None:
    async with running() as backend, backend.camera() as camera:
        backend.engine.failure = EngineError("The device has no memory left.")
        await camera.send(1)
        failure = wire.Failure("engine_failed", "The device has no memory left.", 1)
        assert await camera.recv() == failure
        backend.engine.failure = None
        assert (await camera.detect(2)).seq == 2


async def test_a_bug_in_an_engine_is_hidden_from_the_client_and_ends_nothing() -> None:
    async with running() as backend, backend.camera() as camera:
        backend.engine.failure = ZeroDivisionError("secret")
        await camera.send(1)
        failure = await camera.recv()
        assert isinstance(failure, wire.Failure)
        assert failure.seq == 1
        assert "secret" not in failure.message
        backend.engine.failure = None
        assert (await camera.detect(2)).seq == 2


GARBAGE: dict[str, str | bytes] = {
    "empty text": "",
    "no JSON": "{",
    "deep JSON": "[" * 10_000,
    "another type": '{"type": "hello"}',
    "an unknown setting": '{"type": "settings", "confidence": 1}',
    "not a number": '{"type": "settings", "conf": NaN}',
    "a long text": " " * 100_000,
    "an empty message": b"",
    "a header alone": bytes(wire.HEADER_BYTES),
    "another version": b"\x09" + bytes(40),
}


@pytest.mark.parametrize("message", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_gets_an_error_and_the_stream_goes_on(message: str | bytes) -> None:
    async with running() as backend, backend.camera() as camera:
        await camera.socket.send(message)
        failure = await camera.recv()
        assert isinstance(failure, wire.Failure)
        assert (failure.code, failure.seq) == ("bad_message", None)
        assert (await camera.detect(1)).seq == 1


async def test_garbage_without_end_closes_the_stream_with_1008() -> None:
    async with running() as backend, backend.camera() as camera, backend.camera() as other:
        for _ in range(MAX_STRIKES - 1):
            await camera.socket.send("?")
            await camera.recv()
        assert (await camera.detect(1)).seq == 1, "a good message forgives the bad ones"
        for _ in range(MAX_STRIKES):
            await camera.socket.send("?")
        messages, code = await camera.closing()
        assert (len(messages), code) == (MAX_STRIKES, 1008)
        assert (await other.detect(1)).seq == 1


async def test_a_message_beyond_the_hard_limit_closes_the_stream_with_1009() -> None:
    async with running(max_frame_bytes=1024) as backend, backend.camera() as camera:
        await camera.socket.send(bytes(5000))
        assert await camera.closing() == ([], 1009)


async def test_the_resolution_may_change_from_frame_to_frame() -> None:
    async with running() as backend, backend.camera() as camera:
        for seq, size in enumerate([(64, 64), (640, 360), (31, 47), (1, 1), (360, 640)]):
            result = await camera.detect(seq, encoded(grey(200, *size)))
            assert result.size_wh == size


async def test_a_silent_stream_is_closed_with_3008() -> None:
    async with running(idle_timeout_s=0.05) as backend, backend.camera() as camera:
        assert await camera.closing() == ([], 3008)
        await until(lambda: len(backend.service.sessions) == 0)


async def test_a_client_that_leaves_in_mid_frame_harms_nobody() -> None:
    with capture_logs() as lines:
        async with running() as backend, backend.camera() as other:
            async with backend.camera() as camera:
                with backend.engine.held():
                    await camera.send(1)
                    await asyncio.to_thread(backend.engine.busy.wait)
                    await camera.send(2)
                    camera.socket.transport.abort()
                    await until(lambda: len(backend.service.sessions) == 1)
            assert (await other.detect(1)).seq == 1
            assert await backend.metric("sightline_streams_active") == 1
            dropped = await backend.metric("sightline_frames_dropped_total", reason="closing")
            assert dropped == 2, "nobody was there to answer to"
            assert await backend.metric("sightline_frames_total", result="answered") == 1
            assert await backend.metric("sightline_admitted_frames_total", in_time="yes") == 1
    closed = next(line for line in lines if line["event"] == "stream closed")
    assert (closed["answered"], closed["dropped"]) == (0, 2)


async def test_a_client_that_stops_half_way_through_a_message_harms_nobody() -> None:
    async with (
        running(idle_timeout_s=0.2) as backend,
        backend.camera() as other,
        backend.camera() as camera,
    ):
        camera.socket.transport.write(b"\x82\xfe\x40\x00mask" + bytes(100))  # of 16 KiB
        seq = 0
        while len(backend.service.sessions) == 2:
            assert (await other.detect(seq)).seq == seq
            seq += 1
            await asyncio.sleep(0.02)
        assert (await other.detect(seq)).seq == seq
        camera.socket.transport.abort()


async def test_when_the_server_stops_every_stream_is_told_1001() -> None:
    async with running() as backend, backend.camera() as one, backend.camera() as two:
        assert (await one.detect(1)).seq == 1
        with backend.engine.held():
            await two.send(1)
            await asyncio.to_thread(backend.engine.busy.wait)
            await two.send(2)
            await until(lambda: backend.service.pool.default.idle is False)
            await asyncio.sleep(0.05)
            backend.server.should_exit = True
            assert await one.closing() == ([], 1001)
            both = [wire.Dropped(2, "closing"), wire.Dropped(1, "closing")]
            assert await two.closing() == (both, 1001)


async def test_when_the_server_stops_the_frame_in_the_engines_hands_is_still_answered() -> None:
    async with running() as backend, backend.camera() as camera:
        with backend.engine.held():
            await camera.send(1)
            await until(backend.engine.busy.is_set)
            await camera.send(2)
            await until(lambda: backend.service.pool.default.waiting == 1)
            backend.server.should_exit = True
            await until(lambda: backend.service.sessions.stopping)
        messages, code = await camera.closing()
    assert [type(message) for message in messages] == [wire.Dropped, Result]
    assert code == 1001


async def test_a_frame_whose_answer_takes_too_long_is_ended_before_the_stream_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sightline_backend.session.LAST_ANSWER_S", 0.01)
    async with running() as backend, backend.camera() as camera:
        with backend.engine.held():
            await camera.send(1)
            await until(backend.engine.busy.is_set)
            backend.server.should_exit = True
            assert await camera.closing() == ([wire.Dropped(1, "closing")], 1001)
    assert await backend.metric("sightline_frames_total", result="dropped") == 1
    assert await backend.metric("sightline_frames_total", result="answered") == 0
