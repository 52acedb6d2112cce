"""A model that streams use moves to a real Triton and back, without a lost frame."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sightline_backend.app import create_app
from sightline_backend.settings import Settings
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import ProcessRunner
from sightline_engines import wire
from sightline_engines.picture import PictureLimits
from sightline_engines.triton.shared_memory import FOLDER
from sightline_engines.types import Result
from tests.backend.camera import connected
from tests.backend.running import serving
from tests.fakes import encoded, grey
from tests.triton.at_triton import AtTriton, at_triton
from tests.triton.environment import TritonEnvironment

PICTURE = encoded(grey(120, 320, 240))


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with at_triton(triton_environment, tmp_path_factory.mktemp("triton")) as running:
        yield running


async def test_a_promotion_to_triton_is_refused_until_the_file_is_there_and_then_loses_no_frame(
    triton: AtTriton, tmp_path: Path
) -> None:
    settings = Settings(
        models_dir=tmp_path,
        port=0,
        engine="onnxruntime",
        threads=1,
        max_batch=1,
        deadline_ms=20_000,
        triton_grpc_url=triton.server.grpc_url,
        triton_transport="pictures",
        triton_timeout_ms=20_000,
    )
    app = create_app(settings)
    async with serving(app, settings) as (_, port):
        base = f"http://127.0.0.1:{port}"
        async with (
            httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as http,
            connected(f"ws://127.0.0.1:{port}/ws/detect") as camera,
        ):
            found: list[wire.ServerMessage] = []

            async def film() -> None:
                for seq in range(1_000_000):
                    await camera.send(seq, PICTURE)
                    found.append(await camera.recv())

            filming = asyncio.create_task(film())
            try:
                (row,) = (await http.get("/api/serving")).json()
                ask = {"artefact_id": row["artefact_id"], "engine": "triton"}
                path = f"/api/models/{triton.spec.name}/promote"
                refused = await http.post(path, json=ask)
                assert refused.status_code == 409, (row, refused.text)
                assert "sightline triton deploy" in refused.json()["error"]["message"]

                await asyncio.to_thread(triton.load, pictures=True)
                promoted = await http.post(path, json=ask)
                assert promoted.status_code == 200, promoted.text
                count = len(found)
                while len(found) < count + 10:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                back = await http.post(f"/api/models/{triton.spec.name}/rollback")
                assert back.status_code == 200, back.text
                count = len(found)
                while len(found) < count + 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            finally:
                filming.cancel()
                await asyncio.gather(filming, return_exceptions=True)
        (counted,) = triton.client.statistics(triton.deployment.pictures)
    results = [one for one in found if isinstance(one, Result)]
    assert len(results) == len(found)
    assert [one.seq for one in results] == list(range(len(results)))
    engines = [one.model.engine for one in results]
    assert list(dict.fromkeys(engines)) == ["onnxruntime", "triton"]
    assert engines[-1] == "onnxruntime"
    assert counted["inference_count"] >= engines.count("triton")  # it decoded them itself


@pytest.mark.parametrize("killed", [False, True])
async def test_a_worker_leaves_no_shared_memory_behind_here_or_at_the_server(
    triton: AtTriton, killed: bool
) -> None:
    await asyncio.to_thread(triton.load)
    options = EngineOptions("triton", threads=1, triton=triton.options(transport="system_shm"))
    runner = ProcessRunner(triton.spec, options, PictureLimits(), 2)
    try:
        await runner.start(measure_up_to=1)
        first = runner.pid
        assert first is not None
        assert of_process(first)
        assert triton.client.regions()
        if killed:
            os.kill(first, signal.SIGKILL)
            await runner.start(measure_up_to=1)  # the next one sweeps up
            assert not of_process(first)
            assert not [name for name in triton.client.regions() if f"-{first}-" in name]
    finally:
        await runner.close()
    assert not of_process(first)
    assert not triton.client.regions()


def of_process(pid: int) -> list[str]:
    """Return the names of a process's shared memory."""
    return [path.name for path in FOLDER.glob(f"sightline-{pid}-*")]
