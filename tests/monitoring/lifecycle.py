"""What happens to a model beside serving: jobs, promotions, a trial in the shadow."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from tests.fakes import encoded, noise

MODEL = "sightline-webcam"
LIMIT_S = 300.0  # jobs have the least priority: on a busy machine seconds become minutes
SHADOW_S = 2.0


async def converted(port: int) -> int:
    """Have one job fail and one done; return the artefact that came of it."""
    async with calls(port) as http:
        # that its input has a fixed size is found out when the job reads the file
        fails = {"model": MODEL, "format": "onnx", "input_size_wh": [320, 320]}
        failing = await _start(http, fails)
        made = await _start(http, {"model": MODEL, "format": "openvino"})
        assert (await _ended(http, failing))["state"] == "failed"
        artefact: int = (await _ended(http, made))["result"]["artefact_id"]
        return artefact


async def promoted(port: int, artefact: int) -> int:
    """Try it out, promote it, roll back; return how many pictures were answered."""
    async with calls(port) as http:
        change = {"artefact_id": artefact, "engine": "openvino"}
        answered = await _shadow(http, change)
        await post(http, f"/api/models/{MODEL}/promote", change)
        await post(http, f"/api/models/{MODEL}/rollback", {})
        return answered


def calls(port: int) -> httpx.AsyncClient:
    """Return a client of a server, as an async context."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, trust_env=False)


async def _shadow(http: httpx.AsyncClient, what: dict[str, Any]) -> int:
    """Have both see some pictures."""
    await post(http, f"/api/models/{MODEL}/shadow", {**what, "share": 1.0})
    answered, end_s = 0, time.monotonic() + SHADOW_S
    while time.monotonic() < end_s:
        picture = {"file": encoded(noise(320, 240))}
        answered += (await http.post("/detect", files=picture)).is_success
        await asyncio.sleep(0.2)
    await http.delete(f"/api/models/{MODEL}/shadow")
    return answered


async def _start(http: httpx.AsyncClient, request: dict[str, Any]) -> int:
    return int((await post(http, "/api/convert", request))["id"])


async def _ended(http: httpx.AsyncClient, job: int) -> dict[str, Any]:
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        found = await get(http, f"/api/jobs/{job}")
        if found["state"] not in ("queued", "running"):
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"job {job} hasn't ended: {found}")


async def get(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Return what a path answers, which has to be a success."""
    answer = await http.get(path)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def post(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what it answers to a body, which has to be a success."""
    answer = await http.post(path, json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found
