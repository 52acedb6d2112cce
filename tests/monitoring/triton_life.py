"""A model's time at Triton: deployed, promoted for it, asked, deployed anew, rolled back."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.fakes import encoded, noise
from tests.monitoring.lifecycle import MODEL, calls, get, post

PICTURE = encoded(noise(320, 240))


async def at_triton(port: int, seconds: float) -> int:
    """Have the shipped model serve through Triton for a while; return what was answered."""
    async with calls(port) as http:
        await post(http, "/api/triton/deployments", {"model": MODEL})
        change = {"artefact_id": await _artefact(http), "engine": "triton"}
        await post(http, f"/api/models/{MODEL}/promote", change)
        answered = await _asked(http, seconds)
        # a second one, moved to and back from while it serves
        await post(http, "/api/triton/deployments", {"model": MODEL})
        answered += await _asked(http, seconds / 2)
        await post(http, f"/api/triton/deployments/{MODEL}/rollback", {})
        await post(http, f"/api/models/{MODEL}/rollback", {})
        return answered


async def _artefact(http: httpx.AsyncClient) -> int:
    found = await get(http, f"/api/models/{MODEL}")
    artefacts = [one for version in found["versions"] for one in version["artefacts"]]
    return int(next(one["id"] for one in artefacts if one["format"] == "onnx"))


async def _asked(http: httpx.AsyncClient, seconds: float) -> int:
    """Send pictures through engine triton, and some straight to what is deployed."""
    answered, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        answered += (await http.post("/detect", files={"file": PICTURE})).is_success
        straight = await http.post("/predict", files={"image": PICTURE})
        assert straight.is_success, straight.text
        await asyncio.sleep(0.1)
    return answered
