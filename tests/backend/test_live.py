"""The live stream's handshake: who gets in, who doesn't, and how they are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sightline_engines import wire
from tests.backend.running import Backend, running, until
from tests.fakes import FakeModels


async def refusal(backend: Backend, **options: Any) -> tuple[int, str]:
    """Return the status and the error's code of a handshake that must fail."""
    options = {"subprotocols": [wire.SUBPROTOCOL], "proxy": None, **options}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{backend.port}/ws/detect", **options):
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
