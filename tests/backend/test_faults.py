"""The real server with a real engine in its worker process, which is killed and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sightline_backend.app import create_app
from sightline_backend.settings import Settings
from sightline_engines import wire
from sightline_engines.types import Result
from tests.backend.camera import Camera, connected
from tests.backend.running import Backend, serving, until
from tests.fakes import FakeModels, encoded, noise
from tests.frontend.fake_backend import free_port

PICTURE = encoded(noise(320, 240))


@asynccontextmanager
async def isolated(tmp_path: Path, **settings: Any) -> AsyncIterator[Backend]:
    chosen = Settings(
        model="sightline-webcam", models_dir=tmp_path, port=0, deadline_ms=5_000, **settings
    )
    app = create_app(chosen)
    async with serving(app, chosen) as (server, port):
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
            yield Backend(app, server, port, http, FakeModels([]))


def workers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "sightline_backend.workers.child" in child.cmdline()]


async def stream(camera: Camera, ended: Counter[str], enough: asyncio.Event) -> None:
    """Send a frame after each end until there were enough; count the ends by kind."""
    seq = 0
    while not enough.is_set():
        seq += 1
        await camera.send(seq, PICTURE)
        message = await camera.recv()
        assert not isinstance(message, wire.Hello | wire.Settings)
        assert message.seq == seq
        code = message.code if isinstance(message, wire.Failure) else type(message).__name__
        ended[code] += 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
async def test_an_engine_process_that_dies_or_hangs_costs_its_batch_and_no_stream(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A stopped process is a hung engine: it takes batches and never answers."""
    async with isolated(tmp_path) as backend, AsyncExitStack() as stack:
        cameras = [await stack.enter_async_context(backend.camera()) for _ in range(3)]
        ended = [Counter[str]() for _ in cameras]
        enough = asyncio.Event()
        streams = [
            asyncio.create_task(stream(camera, ends, enough))
            for camera, ends in zip(cameras, ended, strict=True)
        ]
        await until(lambda: all(ends["Result"] >= 3 for ends in ended))
        (worker,) = workers()
        os.kill(worker.pid, number)
        await until(lambda: any(ends["engine_lost"] for ends in ended))
        assert (await backend.http.get("/health/live")).status_code == 204
        before = [ends["Result"] for ends in ended]
        await until(lambda: all(e["Result"] >= b + 3 for e, b in zip(ended, before, strict=True)))
        enough.set()
        await asyncio.gather(*streams)
        reason = "hung" if number == signal.SIGSTOP else "crashed"
        assert await backend.metric("sightline_engine_restarts_total", reason=reason) == 1
        assert set().union(*ended) <= {"Result", "engine_lost", "Dropped"}
        assert (await backend.http.get("/health")).json()["status"] == "ready"
        (again,) = workers()
        assert again.pid != worker.pid
    assert workers() == []


async def test_while_the_engine_is_away_the_server_says_so(tmp_path: Path) -> None:
    async with isolated(tmp_path) as backend, backend.camera() as camera:
        await camera.detect(1, PICTURE)
        (worker,) = workers()
        worker.kill()
        await camera.send(2, PICTURE)
        failure = await camera.recv()
        assert isinstance(failure, wire.Failure)
        health = (await backend.http.get("/health")).json()
        assert (health["status"], health["ready"]) == ("recovering", False)
        assert "started again" in health["trouble"]
        assert (await backend.http.get("/health/ready")).status_code == 503
        upload = await backend.detect(PICTURE)  # waits for the engine, and is answered
        assert upload.status_code == 200
        assert (await backend.http.get("/health/ready")).status_code == 204


async def test_several_engines_share_the_streams(tmp_path: Path) -> None:
    async with isolated(tmp_path, instances=2) as backend:
        pids = {worker.pid for worker in workers()}
        assert len(pids) == 2
        async with backend.camera() as one, backend.camera() as other:
            answers = await asyncio.gather(one.detect(1, PICTURE), other.detect(1, PICTURE))
        assert all(isinstance(answer, Result) for answer in answers)


async def test_a_frame_with_more_scans_than_a_camera_makes_is_refused(tmp_path: Path) -> None:
    async with isolated(tmp_path, max_frame_scans=1) as backend, backend.camera() as camera:
        await camera.send(1, PICTURE.replace(b"\xff\xd9", b"\xff\xda\xff\xda\xff\xda\xff\xd9"))
        failure = await camera.recv()
        assert isinstance(failure, wire.Failure)
        assert failure.seq == 1
        await camera.detect(2, PICTURE)


async def test_sigterm_ends_streams_with_1001_and_leaves_nothing_even_when_the_engine_hangs(
    tmp_path: Path,
) -> None:
    port = free_port()
    environment = {
        **os.environ,  # noqa: TID251  the server's own process needs PATH and the rest
        "SIGHTLINE_PORT": str(port),
        "SIGHTLINE_MODELS_DIR": str(tmp_path),
        "SIGHTLINE_DEADLINE_MS": "60000",
    }
    server = psutil.Popen([sys.executable, "-m", "sightline_backend"], env=environment)
    try:
        await until(lambda: listens(port))
        async with connected(f"ws://127.0.0.1:{port}/ws/detect") as camera:
            await camera.detect(1, PICTURE)
            (worker,) = server.children()
            worker.suspend()
            await camera.send(2, PICTURE)
            server.terminate()
            _, code = await camera.closing()
        assert code == 1001
        assert await asyncio.to_thread(server.wait, 30) == 0
        assert not worker.is_running()
    finally:
        if server.is_running():
            server.kill()
            server.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
