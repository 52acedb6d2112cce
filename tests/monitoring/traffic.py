"""Every kind of traffic that a server meets, on its real ports, within some seconds."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import httpx
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from sightline_engines import wire
from sightline_engines.types import Result
from tests.backend.camera import Camera, connected
from tests.fakes import encoded, noise

PICTURE = encoded(noise(320, 240))
LATE_MS = 60_000


async def traffic(port: int, server_pid: int, seconds: float) -> int:
    """Show every panel something; return how many pictures and frames were answered.

    Others are superseded, late, bad, or lost with an engine that dies with a batch in hand. A
    stream is turned away, since the server must have been told to take two.
    """
    end_s = time.monotonic() + seconds
    url = f"ws://127.0.0.1:{port}/ws/detect"
    async with connected(f"{url}?fps=10&min_fps=1") as steady, connected(url) as greedy:
        await _turned_away(url)
        live, more, uploads, _ = await asyncio.gather(
            _steady(steady, end_s),
            _greedy(greedy, end_s),
            _uploads(f"http://127.0.0.1:{port}", end_s),
            _crash(server_pid, seconds / 3),
        )
    return live + more + uploads


async def _turned_away(url: str) -> None:
    async with connect(url, subprotocols=[Subprotocol(wire.SUBPROTOCOL)], proxy=None) as socket:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()


async def _steady(camera: Camera, end_s: float) -> int:
    """Send a frame after each end, every twentieth too old."""
    seq = answered = 0
    while time.monotonic() < end_s:
        seq += 1
        await camera.send(seq, PICTURE, age_ms=0 if seq % 20 else LATE_MS)
        answered += isinstance(await camera.recv(), Result)
        await asyncio.sleep(0.05)
    return answered


async def _greedy(camera: Camera, end_s: float) -> int:
    """Send eight frames at a time, so that most are superseded."""
    seq = answered = 0
    while time.monotonic() < end_s:
        for _ in range(8):
            seq += 1
            await camera.send(seq, PICTURE)
        for _ in range(8):
            answered += isinstance(await camera.recv(), Result)
        await asyncio.sleep(0.1)
    return answered


async def _uploads(base: str, end_s: float) -> int:
    answered = 0
    async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
        while time.monotonic() < end_s:
            for picture in (PICTURE, b"no picture"):
                answer = await http.post("/detect", files={"file": picture})
                answered += answer.is_success
            await http.get("/api/models")
            await http.get("/nowhere")
            await asyncio.sleep(0.3)
    return answered


async def _crash(server_pid: int, after_s: float) -> None:
    """Kill an engine, stopped first so that a batch is surely in its hands."""
    await asyncio.sleep(after_s)
    for child in psutil.Process(server_pid).children():
        if "sightline_backend.workers.child" in _words(child):
            child.suspend()
            await asyncio.sleep(0.2)
            child.kill()


def _words(process: psutil.Process) -> list[str]:
    """Return a process's command line, nothing of one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
