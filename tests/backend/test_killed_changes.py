"""A server that is killed while a model is swapped or uploaded: the old or the new, never half."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from sightline_backend.store.store import open_store
from tests.backend.camera import connected
from tests.browser import processes
from tests.cli.running import free_port, wait_for
from tests.engines.tiny import constant_model, random_raw

NAME = "mine"


def two_versions(folder: Path, tmp_path: Path) -> list[int]:
    """Put a model of two versions into a store; return their artefacts' ids."""
    store = open_store(folder)
    for seed in (1, 2):
        raw = random_raw("end2end", 2) + np.float32(seed)
        file = constant_model(tmp_path / f"{seed}.onnx", raw)
        if seed == 1:
            store.models.add(file, NAME)
        else:
            store.models.add_version(NAME, file)
    ids = [v.artefacts[0].id for v in store.models.model(NAME).versions]
    store.close()
    return ids


async def stream_until_lost(port: int) -> None:
    """Be a live camera until the server is gone."""
    with suppress(Exception):  # however it is lost
        async with connected(f"ws://127.0.0.1:{port}/ws/detect") as camera:
            for seq in range(1, 10_000):
                await camera.detect(seq)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.7])
async def test_a_server_killed_amid_a_swap_comes_back_with_the_old_or_the_new(
    tmp_path: Path, after_s: float
) -> None:
    folder, port = tmp_path / "models", free_port()
    old, new = two_versions(folder, tmp_path)
    settings = {"models_dir": str(folder), "model": NAME, "engine": "onnxruntime"}
    server = processes.backend(port, tmp_path / "log", **settings, deadline_ms="5000")
    await asyncio.to_thread(server.start)
    try:
        assert server.process is not None
        live = asyncio.create_task(stream_until_lost(port))
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            url = f"http://127.0.0.1:{port}/api/models/{NAME}/promote"
            wish = {"artefact_id": new, "force": True, "reason": "to be killed amid it"}
            promotion = asyncio.create_task(http.post(url, json=wish))
            await asyncio.sleep(after_s)
            family = psutil.Process(server.process.pid).children(recursive=True)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            with suppress(httpx.HTTPError):
                await promotion
        await live
        wait_for(lambda: not any(one.is_running() for one in family))
        await asyncio.to_thread(server.start)
        async with httpx.AsyncClient(trust_env=False) as http:
            (row,) = (await http.get(f"http://127.0.0.1:{port}/api/serving")).json()
        async with connected(f"ws://127.0.0.1:{port}/ws/detect") as camera:
            await camera.detect(1)
            assert camera.hello.model.version == ("1" if row["artefact_id"] == old else "2")
    finally:
        server.stop()
    store = open_store(folder)
    standing = store.promotions.standing(NAME)
    assert row["artefact_id"] == (standing.artefact_id if standing else old)
    report = store.models.scan()
    assert (report.missing, report.broken, report.orphaned) == ((), (), ())
    store.close()


async def test_a_server_killed_amid_an_upload_has_nothing_of_it(tmp_path: Path) -> None:
    folder, port = tmp_path / "models", free_port()
    model = constant_model(tmp_path / "new.onnx", random_raw("end2end", 2)).read_bytes()
    server = processes.backend(port, tmp_path / "log", models_dir=str(folder))
    await asyncio.to_thread(server.start)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = ["POST /api/models?filename=new.onnx HTTP/1.1", "Host: x"]
        head = "\r\n".join([*lines, f"Content-Length: {len(model)}", "", ""])
        writer.write(head.encode() + model[: len(model) // 2])
        await writer.drain()
        wait_for(lambda: any(folder.glob(".incoming-*/*")))
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        writer.close()
        await asyncio.to_thread(server.start)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            listed = (await http.get(f"http://127.0.0.1:{port}/api/models")).json()
            again = await http.post(
                f"http://127.0.0.1:{port}/api/models?filename=new.onnx", content=model
            )
    finally:
        server.stop()
    assert [one["name"] for one in listed] == ["sightline-webcam"]
    assert again.status_code == 201, again.text
    assert len([path for path in folder.glob("files/*/*.onnx")]) == 1
