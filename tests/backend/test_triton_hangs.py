"""A Triton that takes connections and never answers: nobody else notices."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing
from typing import Any

from tests.backend.running import running
from tests.fakes import encoded, grey

PICTURE = encoded(grey(200))


async def test_a_triton_that_hangs_holds_nobody_up_and_takes_no_threads() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with running(triton_grpc_url=address, triton_timeout_ms=400) as backend:
            before = _threads()
            for _ in range(3):
                asked = [backend.http.get("/api/triton") for _ in range(30)]
                answers = await asyncio.gather(*asked, backend.http.get("/health"))
                assert {answer.status_code for answer in answers} == {200}
                assert {answer.json()["live"] for answer in answers[:-1]} == {False}
            assert _threads() <= before + 2
            assert all("trouble" in answer.json() for answer in answers)
            backend.service.triton.predictor._begin = _unasked  # type: ignore[method-assign, assignment]
            refused = await backend.http.post("/predict", files={"image": PICTURE})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_away")
            assert address in refused.json()["error"]["message"]


def _unasked(*_: object) -> Any:
    raise AssertionError("Triton was asked although it is known to be away")


async def test_pictures_that_wait_for_a_triton_that_hangs_leave_all_others_their_threads() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        there: dict[str, Any] = {
            "triton_http_url": address,
            "triton_protocol": "http",
            "triton_timeout_ms": 6000,
        }
        async with running(**there) as backend:
            waiting = [
                asyncio.create_task(
                    backend.http.post(f"/predict?model=m{number}", files={"image": PICTURE})
                )
                for number in range(24)
            ]
            await asyncio.sleep(0.5)
            assert (await backend.http.post("/detect", files={"file": PICTURE})).status_code == 200
            assert (await backend.http.get("/api/models")).status_code == 200
            assert not any(one.done() for one in waiting)
            ends = await asyncio.gather(*waiting)
    assert {one.status_code for one in ends} == {503}


def _threads() -> int:
    """Count all threads but FastAPI's own, which look up what a route needs."""
    return sum(not one.name.startswith("AnyIO") for one in threading.enumerate())
