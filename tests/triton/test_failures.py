"""A live stream through the real server and a real Triton that fails in every way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from sightline_backend.app import create_app
from sightline_backend.service import Service
from sightline_backend.settings import Settings
from sightline_engines import wire
from sightline_engines.types import Result
from tests.backend.camera import Camera, connected
from tests.backend.running import serving, until
from tests.fakes import encoded, grey
from tests.triton.at_triton import AtTriton, at_triton
from tests.triton.environment import TritonEnvironment

PICTURE = encoded(grey(120, 320, 240))
RECOVERY_S = 30.0  # the probes are eight seconds apart at most, and the machine is busy


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with at_triton(triton_environment, tmp_path_factory.mktemp("triton")) as running:
        yield running


@dataclass(slots=True, eq=False)
class Stream:
    """A camera that goes on whatever comes back."""

    camera: Camera
    messages: list[wire.ServerMessage] = field(default_factory=list)

    async def run(self) -> None:
        """Send a frame once the one before has its end."""
        for seq in range(1_000_000):
            await self.camera.send(seq, PICTURE)
            message = await self.camera.recv()
            assert getattr(message, "seq", None) == seq  # each frame has one end of its own
            self.messages.append(message)
            await asyncio.sleep(0.02)

    async def next(self, what: Callable[[wire.ServerMessage], bool]) -> wire.ServerMessage:
        """Return the first of the messages from now on that is such a one."""
        at, end_s = len(self.messages), time.monotonic() + RECOVERY_S
        while time.monotonic() < end_s:
            for message in self.messages[at:]:
                if what(message):
                    return message
            at = len(self.messages)
            await asyncio.sleep(0.01)
        raise AssertionError(f"none came; the last was {self.messages[-1:]}")


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The server under test."""

    service: Service
    http: httpx.AsyncClient
    stream: Stream

    def restarts(self) -> float:
        """Return how often a worker was started again."""
        registry = self.service.telemetry.metrics.registry
        reasons = ("crashed", "hung", "failing")
        values = [
            registry.get_sample_value("sightline_engine_restarts_total", {"reason": reason})
            for reason in reasons
        ]
        return sum(value or 0.0 for value in values)

    async def told(self, status: int) -> None:
        """Wait until an orchestrator is told that the server is ready (204), or that it isn't."""
        while (await self.http.get("/health/ready")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def served(triton: AtTriton, folder: Path, **settings: object) -> AsyncIterator[Served]:
    """Run the real server with engine triton, and a stream through it."""
    known = {
        "models_dir": folder,
        "port": 0,
        "engine": "triton",
        "triton_grpc_url": triton.server.grpc_url,
        "triton_timeout_ms": 3_000,
        "deadline_ms": 5_000,
        "threads": 1,
        "max_batch": 2,
        **settings,
    }
    chosen = Settings(**known)  # type: ignore[arg-type]
    app = create_app(chosen)
    async with serving(app, chosen) as (_, port):
        base = f"http://127.0.0.1:{port}"
        async with (
            httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http,
            connected(f"ws://127.0.0.1:{port}/ws/detect") as camera,
        ):
            stream = Stream(camera)
            task = asyncio.create_task(stream.run())
            try:
                yield Served(app.state.service, http, stream)
            finally:
                task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(ended, asyncio.CancelledError), ended


def by_triton(message: wire.ServerMessage) -> bool:
    return isinstance(message, Result) and message.model.engine == "triton"


def by_standby(message: wire.ServerMessage) -> bool:
    return (
        isinstance(message, Result)
        and message.model.engine == "onnxruntime"
        and "in Triton's place" in (message.model.fallback or "")
    )


def away(message: wire.ServerMessage) -> bool:
    return isinstance(message, wire.Failure) and message.code == "engine_away"


async def test_frames_fail_and_say_why_while_triton_is_away_and_run_again_by_themselves(
    triton: AtTriton, tmp_path: Path
) -> None:
    # It starts without its model, so that it can be deployed by this very server.
    async with served(triton, tmp_path) as server:
        failure = await server.stream.next(away)
        assert isinstance(failure, wire.Failure)
        assert "sightline triton deploy" in failure.message
        await server.told(503)
        triton.load()
        await server.stream.next(by_triton)
        await server.told(204)
        workers = server.service.pool.default.pids
        assert len(workers) == 2  # both are at Triton at once

        await asyncio.to_thread(triton.server.kill)
        failure = await server.stream.next(away)
        assert isinstance(failure, wire.Failure)
        assert triton.server.grpc_url in failure.message
        await server.told(503)
        answer = await server.http.post("/detect", files={"file": PICTURE})
        assert answer.json()["error"]["code"] == "engine_away"

        await asyncio.to_thread(triton.server.restart)
        await asyncio.to_thread(triton.load)
        await server.stream.next(by_triton)
        assert server.service.pool.default.pids == workers
        assert server.restarts() == 0


async def test_a_standby_answers_every_frame_and_says_so_until_triton_is_back(
    triton: AtTriton, tmp_path: Path
) -> None:
    await asyncio.to_thread(triton.load)

    def restarted() -> None:
        triton.server.restart()
        triton.load()

    troubles: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (triton.kill_network, triton.reload),
        (triton.unload, triton.load),
        (triton.server.kill, restarted),
    ]
    async with served(triton, tmp_path, triton_fallback="onnxruntime") as server:
        for fail, mend in troubles:
            await server.stream.next(by_triton)
            await asyncio.to_thread(fail)
            await server.stream.next(by_standby)
            await server.told(204)
            await asyncio.to_thread(mend)
            await server.stream.next(by_triton)
            await until(lambda: server.service.pool.default.served.fallback is None)  # both are
        assert all(isinstance(message, Result) for message in server.stream.messages)
        assert server.restarts() == 0
        registry = server.service.telemetry.metrics.registry
        for ran_on in ("triton", "fallback"):
            labels = {"ran_on": ran_on}
            assert registry.get_sample_value("sightline_triton_batches_total", labels)
        assert registry.get_sample_value("sightline_triton_calls_total", {"result": "away"})
