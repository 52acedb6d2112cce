"""The live stream's handshake: who gets in, who doesn't, and how they are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sightline_backend.sessions import REFUSALS_AT_ONCE
from sightline_engines import wire
from tests.backend.camera import connected
from tests.backend.running import Backend, running, until
from tests.fakes import FakeEngine, FakeModels


async def refusal(backend: Backend, query: str = "", **options: Any) -> tuple[int, str]:
    """Return the status and the error's code of a handshake that must fail."""
    options = {"subprotocols": [wire.SUBPROTOCOL], "proxy": None, **options}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{backend.port}/ws/detect{query}", **options):
            pass
    response = refused.value.response
    return response.status_code, json.loads(response.body)["error"]["code"]


@pytest.mark.parametrize(
    "origin", [None, "http://127.0.0.1:8501", "http://localhost:8501", "https://cams.example.org"]
)
async def test_pages_of_the_same_host_and_allowed_ones_get_in(origin: str | None) -> None:
    async with (
        running(allowed_origins="https://cams.example.org") as backend,
        backend.camera(origin=origin) as camera,
    ):
        assert (await camera.detect(1)).seq == 1


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1.evil.example"]
)
async def test_pages_of_other_hosts_are_refused(origin: str) -> None:
    async with running() as backend:
        assert await refusal(backend, origin=origin) == (403, "origin_refused")


async def test_refused_handshakes_are_a_few_lines_that_hold_nothing_of_the_caller() -> None:
    with capture_logs() as lines:
        async with running() as backend:
            for number in range(REFUSALS_AT_ONCE + 20):
                await refusal(backend, origin=f"https://evil{number}.example")
            await refusal(backend, "?fps=private")
    told = [line for line in lines if line["event"] == "stream refused"]
    assert REFUSALS_AT_ONCE <= len(told) < REFUSALS_AT_ONCE + 20
    assert {line["code"] for line in told} <= {"origin_refused", "bad_rate"}
    assert "evil" not in str(lines)
    assert "private" not in str(lines)


@pytest.mark.parametrize("subprotocols", [None, ["sightline.v2"]])
async def test_another_subprotocol_is_refused(subprotocols: list[str] | None) -> None:
    async with running() as backend:
        assert await refusal(backend, subprotocols=subprotocols) == (400, "wrong_subprotocol")


async def test_a_stream_too_many_is_told_when_to_try_again_and_closed_with_1013() -> None:
    async with running(max_streams=1) as backend:
        async with backend.camera() as camera:
            url = f"ws://127.0.0.1:{backend.port}/ws/detect"
            async with connect(url, subprotocols=[wire.SUBPROTOCOL], proxy=None) as refused:  # type: ignore[list-item]
                text = await refused.recv()
                assert isinstance(text, str)
                failure = wire.message_from_json(text)
                with pytest.raises(ConnectionClosed):
                    await refused.recv()
                assert refused.close_code == 1013
                assert "5 s" in (refused.close_reason or "")
            assert isinstance(failure, wire.Failure)
            assert (failure.code, failure.seq) == ("busy", None)
            assert (await camera.detect(1)).seq == 1
        await until(lambda: len(backend.service.sessions) == 0)
        async with backend.camera() as camera:
            assert (await camera.detect(1)).seq == 1


async def test_a_stream_too_many_costs_no_look_into_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(max_streams=1) as backend, backend.camera():
        monkeypatch.delattr(FakeModels, "list")  # a look would be an error
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        async with connect(url, subprotocols=[wire.SUBPROTOCOL], proxy=None) as refused:  # type: ignore[list-item]
            text = await refused.recv()
            assert isinstance(text, str)
            failure = wire.message_from_json(text)
        assert isinstance(failure, wire.Failure)
        assert failure.code == "busy"


@pytest.mark.parametrize(
    "query",
    [
        "?fps=",
        "?fps=0",
        "?fps=-5",
        "?fps=nan",
        "?fps=inf",
        "?fps=many",
        "?fps=5&min_fps=6",
        "?min_fps=5",
    ],
)
async def test_a_rate_that_makes_no_sense_is_refused(query: str) -> None:
    async with running() as backend:
        assert await refusal(backend, query) == (400, "bad_rate")


async def test_a_stream_that_names_its_rate_is_told_what_it_is_promised() -> None:
    async with running(FakeEngine(seconds=0.05), max_batch=1) as backend:  # under 20 fps
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        async with connected(f"{url}?fps=10") as one, connected(f"{url}?fps=15&min_fps=2") as two:
            assert one.hello.fps == 10
            assert two.hello.fps is not None
            assert 2 <= two.hello.fps < 10
        async with backend.camera() as camera:
            assert camera.hello.fps is None


async def test_a_rate_that_there_is_no_room_for_is_refused_with_a_time_to_come_back() -> None:
    async with running(FakeEngine(seconds=0.05), max_batch=1) as backend, backend.camera():
        url = f"ws://127.0.0.1:{backend.port}/ws/detect?fps=30"
        async with connect(url, subprotocols=[wire.SUBPROTOCOL], proxy=None) as refused:  # type: ignore[list-item]
            text = await refused.recv()
            assert isinstance(text, str)
            failure = wire.message_from_json(text)
            with pytest.raises(ConnectionClosed):
                await refused.recv()
        assert isinstance(failure, wire.Failure)
        assert failure.code == "busy"
        assert "Ask for fps=" in failure.message
        assert failure.retry_after_s == 5
        assert refused.close_code == 1013
        assert "5 s" in str(refused.close_reason)
