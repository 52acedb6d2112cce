"""The load generator against servers: the real one, and ones that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from benchmarks.load.drive import offer_load
from benchmarks.load.frames import jpegs
from benchmarks.load.live import clock_of
from benchmarks.load.report import LoadReport
from benchmarks.load.run import LoadError, run_load
from benchmarks.load.schedule import NUMBERS
from benchmarks.load.spec import Kind, LoadSpec
from sightline_engines import wire
from tests.backend.running import running
from tests.fakes import FakeEngine, encoded, grey

PICTURES = [encoded(grey(200))]
Answering = Callable[[ServerConnection, wire.FramePacket], Awaitable[None]]


def load(url: str, *rates: float, **changes: Any) -> LoadSpec:
    settings = {"seconds": 0.5, "warm_s": 0.1, "deadline_ms": 5_000.0, **changes}
    kind: Kind = "http" if url.startswith("http") else "sightline"
    return LoadSpec(kind, url, rates, **settings)


@asynccontextmanager
async def odd_server(answering: Answering) -> AsyncIterator[str]:
    """Run a server that says hello and then answers each frame as it is told."""

    async def stream(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "hello"}))
        async for message in socket:
            assert isinstance(message, bytes)
            await answering(socket, wire.decode_frame(message))

    async with serve(
        stream, "127.0.0.1", 0, subprotocols=[Subprotocol(wire.SUBPROTOCOL)], compression=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/detect"


async def result(socket: ServerConnection, seq: int, clock: int | None = None) -> None:
    captured_us = clock_of(seq) if clock is None else clock
    await socket.send(json.dumps({"type": "result", "seq": seq, "captured_us": captured_us}))


async def against(answering: Answering, *rates: float) -> LoadReport:
    async with odd_server(answering) as url:
        return await offer_load(load(url, *rates, deadline_ms=200.0), PICTURES)


async def test_the_real_server_answers_every_stream_s_frames() -> None:
    async with running(FakeEngine()) as backend:
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        report = await offer_load(load(url, 20.0, 40.0, timeline=True), PICTURES)
    assert report.offered == report.ended > 0
    assert report.answered > 0
    assert (report.wrong_stream, report.wrong_seq, report.lost, report.closed) == (0, 0, 0, 0)
    assert len(report.timeline) == report.answered
    assert min(report.in_time_by_stream) > 0
    assert report.jpeg_bytes < report.wire_bytes < report.jpeg_bytes * 1.1  # tiny pictures
    assert json.loads(report.sample)["type"] == "result"


@pytest.mark.parametrize("raw", [False, True], ids=["form", "raw"])
async def test_pictures_are_posted(raw: bool) -> None:
    async with running(FakeEngine()) as backend:
        url = f"http://127.0.0.1:{backend.port}/detect"
        # Fewer in all than may be under way: the first may take long on a busy machine.
        report = await offer_load(load(url, 12.0, raw=raw), PICTURES)
    assert report.offered == report.ended > 0
    if raw:  # /detect takes a form alone
        assert report.errors == {"422": report.offered}
    else:
        assert report.answered == report.offered
        assert json.loads(report.sample)["detections"]


async def test_a_post_that_finds_too_many_under_way_is_given_up() -> None:
    engine = FakeEngine()
    async with running(engine) as backend:
        url = f"http://127.0.0.1:{backend.port}/detect"
        with engine.held():
            report = await offer_load(load(url, 40.0, deadline_ms=100.0), PICTURES)
    assert report.offered == report.ended
    assert report.dropped["too many under way"] > 0
    assert 0 < report.lost <= 8


async def test_a_server_of_its_own_process_is_loaded_from_another() -> None:
    async with running(FakeEngine()) as backend:
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        spec = load(url, 15.0, seconds=1.0, size_wh=(320, 180), frames=4, core=0)
        report = await asyncio.to_thread(run_load, spec)
    assert report.offered == report.ended == 15
    assert report.answered > 0


async def test_nobody_at_the_address_is_said() -> None:
    spec = load("ws://127.0.0.1:9/ws/detect", 15.0, size_wh=(320, 180), frames=2)
    report = await asyncio.to_thread(run_load, spec)
    assert report.refused == {"ConnectionRefusedError": 1}
    assert report.errors == {"disconnected": report.offered}


async def test_a_load_that_can_t_start_tells_why(tmp_path: Path) -> None:
    spec = load("ws://127.0.0.1:9/ws/detect", 15.0, clip=tmp_path / "none.mp4")
    with pytest.raises(LoadError, match=r"none\.mp4"):
        await asyncio.to_thread(run_load, spec)


async def test_a_full_server_s_refusals_are_counted() -> None:
    async with running(FakeEngine(), max_streams=1) as backend:
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        report = await offer_load(load(url, 20.0, 20.0), PICTURES)
    assert report.refused == {"busy": 1}
    assert report.offered == report.ended


async def test_an_answer_with_another_stream_s_number_is_seen() -> None:
    async def crossed(socket: ServerConnection, packet: wire.FramePacket) -> None:
        await result(socket, (packet.seq + NUMBERS) % (2 * NUMBERS))

    report = await against(crossed, 20.0, 20.0)
    assert report.wrong_stream > 0
    assert (report.answered, report.lost) == (0, report.offered)


async def test_wrong_numbers_and_second_answers_are_seen() -> None:
    async def twice(socket: ServerConnection, packet: wire.FramePacket) -> None:
        await result(socket, packet.seq)
        await result(socket, packet.seq)

    report = await against(twice, 20.0)
    assert report.answered == report.offered
    assert report.wrong_seq >= report.offered


async def test_a_number_with_another_frame_s_clock_is_seen() -> None:
    async def confused(socket: ServerConnection, packet: wire.FramePacket) -> None:
        await result(socket, packet.seq, clock=packet.captured_us + 1)

    report = await against(confused, 20.0)
    assert report.wrong_seq >= report.offered == report.lost


async def test_frames_that_get_no_answer_are_lost() -> None:
    async def every_other(socket: ServerConnection, packet: wire.FramePacket) -> None:
        if packet.seq % 2:
            await result(socket, packet.seq)

    report = await against(every_other, 20.0)
    assert report.lost in range(4, 7)
    assert report.lost + report.answered == report.offered


async def test_a_connection_that_the_server_ends_is_counted() -> None:
    async def gone(socket: ServerConnection, packet: wire.FramePacket) -> None:
        await socket.close(1011)

    report = await against(gone, 20.0)
    assert report.closed == 1
    assert report.errors == {"disconnected": report.offered}


@pytest.mark.parametrize(("count", "size_wh"), [(0, (64, 48)), (3, (64, 48)), (2, (641, 359))])
def test_rendered_pictures_stand_in_for_a_clip(count: int, size_wh: tuple[int, int]) -> None:
    files = jpegs(None, size_wh, 85, count)
    assert len(files) == count
    assert all(file.startswith(b"\xff\xd8") for file in files)
