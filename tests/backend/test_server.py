"""The server as a process: how it starts, how it refuses to, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.errors import PortTakenError
from sightline_backend.server import bind
from sightline_backend.settings import Settings
from sightline_engines.assets import SHIPPED_NAME
from tests.backend.camera import connected
from tests.fakes import encoded, grey


async def start(folder: Path, **settings: object) -> asyncio.subprocess.Process:
    """Start `python -m sightline_backend` with nothing set but these."""
    chosen = {"port": 0, "log_format": "json", "models_dir": folder, **settings}
    env = {f"SIGHTLINE_{name.upper()}": str(value) for name, value in chosen.items()}
    env["PATH"] = os.defpath
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sightline_backend", env=env, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip


async def log_line(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Return the log line of an event, which must come."""
    assert process.stderr is not None
    async for text in process.stderr:
        line: dict[str, Any] = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"the server ended without {event!r}")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await start(folder)
    try:
        line = await log_line(process, "serving")
        yield process, line["address"].removeprefix("http")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_at_a_signal_streams_are_told_1001_and_the_process_ends_well(
    tmp_path: Path, stop: signal.Signals
) -> None:
    async with (
        serving(tmp_path) as (process, address),
        connected(f"ws{address}/ws/detect") as camera,
    ):
        assert camera.hello.model.name == SHIPPED_NAME
        assert (await camera.detect(1, encoded(grey(90, 640, 360)))).size_wh == (640, 360)
        process.send_signal(stop)
        assert await camera.closing() == ([], 1001)
        assert (await log_line(process, "model closed"))["model"] == SHIPPED_NAME
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        ({"port": 70_000}, 2, "port"),
        ({"engine": "abacus"}, 2, "engine"),
        ({"preload": "a,b,c,d"}, 2, "max_models"),
        ({"model": "nothing"}, 1, "nothing"),
        ({"model": "/no/such.onnx"}, 1, "/no/such.onnx"),
        ({"device": "abacus"}, 1, "abacus"),
        ({"host": "192.0.2.1"}, 1, "SIGHTLINE_HOST"),
    ],
)
async def test_a_start_that_fails_says_why_without_a_traceback(
    tmp_path: Path, settings: dict[str, object], status: int, said: str
) -> None:
    process = await start(tmp_path, **settings)
    _, told = await process.communicate()
    assert process.returncode == status
    assert said in told.decode()
    assert "Traceback" not in told.decode()


def test_a_port_in_use_is_named_with_the_setting_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"127.0.0.1:{port}.*SIGHTLINE_PORT"):
            bind(Settings(port=port))


def test_the_listener_is_known_for_tcp_so_that_answers_are_sent_at_once() -> None:
    with bind(Settings(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
