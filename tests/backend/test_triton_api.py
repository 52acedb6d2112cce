"""/api/triton: how Triton is told, deployments for streams and callers, and what mends itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from sightline_backend.app import create_app
from sightline_backend.service import Service
from sightline_backend.settings import Settings
from sightline_backend.triton.watch import Watch
from sightline_engines.triton.server import TritonServer
from tests.backend.camera import Camera, connected
from tests.backend.running import running, serving, until
from tests.backend.serving_bench import filled_store
from tests.backend.swapping import film
from tests.engines.tiny import constant_model
from tests.fakes import encoded, grey
from tests.triton.environment import TritonEnvironment

PICTURE = encoded(grey(200))
FIRST, SECOND = 3, 4  # artefacts of cam; 1 and 2 ship
TOKEN = "a-long-password-of-mine"  # noqa: S105  of this test alone


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A server with the model cam of two versions, and its Triton."""

    server: TritonServer
    service: Service
    http: httpx.AsyncClient
    port: int

    async def call(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        response = await self.http.request(method, f"/api/triton{path}", json=body or None)
        return response.status_code, response.json() if response.content else None

    async def states(self) -> dict[str, str]:
        told = (await self.call("GET", ""))[1]
        return {one["name"]: one["state"] for one in told["models"]}

    async def predicted(self) -> httpx.Response:
        return await self.http.post("/predict?model=cam", files={"image": PICTURE})

    async def answers_again(self) -> None:
        """Wait until the deployment answers; the test's own time limit is the limit."""
        while (await self.predicted()).status_code != 200:  # noqa: ASYNC110  another's state
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def camera(self) -> AsyncIterator[Camera]:
        async with connected(f"ws://127.0.0.1:{self.port}/ws/detect?model=cam") as camera:
            yield camera


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("triton")
    (folder / "models").mkdir()
    with TritonServer(triton_environment.options(folder / "models"), folder / "log") as server:
        yield server


@asynccontextmanager
async def served(triton: TritonServer, folder: Path) -> AsyncIterator[Site]:
    """Run a server of the model cam beside a Triton."""
    with filled_store(folder) as store:
        raw = np.array([[8, 8, 24, 24, 0.8, 1]], np.float32)
        labels = {"names": "{0: 'person', 1: 'face'}"}
        path = constant_model(folder / "second.onnx", raw, batch="n", metadata=labels)
        path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person", "face"]}')
        store.models.add_version("cam", path)
    settings = Settings(
        model="cam",
        models_dir=folder / "models",
        port=0,
        isolate=False,
        deadline_ms=20_000,
        triton_grpc_url=triton.grpc_url,
        triton_metrics_url=triton.metrics_url,
        triton_repository=triton.options.repository,
        triton_timeout_ms=15_000,
    )
    app = create_app(settings)
    service: Service = app.state.service
    parts = service.triton
    watch = Watch(parts.link, parts.deploying, service.telemetry.metrics.triton, every_s=0.3)
    object.__setattr__(parts, "watch", watch)
    async with serving(app, settings) as (_, port):
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=90, trust_env=False) as http:
            yield Site(triton, service, http, port)


async def test_a_model_is_deployed_told_of_unloaded_loaded_and_removed(
    triton: TritonServer, tmp_path: Path
) -> None:
    async with served(triton, tmp_path) as site:
        status, made = await site.call("POST", "/deployments", model="cam", max_batch=4)
        assert (status, made["number"], made["active"], made["loaded"]) == (201, 1, True, True)
        assert (made["artefact_id"], made["version"], made["max_batch"]) == (FIRST, "1", 4)
        assert made["names"]["pictures"] == "cam"
        answer = (await site.predicted()).json()
        assert (answer["model"], answer["deployment"]) == ("cam", 1)
        assert [one["class_name"] for one in answer["detections"]] == ["person"]
        assert (await site.http.post("/predict", files={"image": b"no"})).status_code == 415
        await _check_told(site)
        await _check_loading(site)
        assert await site.call("POST", "/deployments/cam/rollback") == (
            409,
            {"error": {"code": "deploy_failed", "message": _NOTHING_BEFORE}},
        )
        assert await site.call("DELETE", "/deployments/cam") == (204, None)
        told = (await site.call("GET", ""))[1]
        assert (told["models"], told["deployments"]) == ([], [])
        assert (await site.call("DELETE", "/deployments/cam"))[0] == 404


_NOTHING_BEFORE = "There is no deployment of 'cam' before number 1 to go back to."


async def _check_told(site: Site) -> None:
    while True:  # until the first probe of both names
        told = (await site.call("GET", ""))[1]
        models = {one["name"]: one for one in told["models"]}
        if all(models[name]["probe"] for name in ("cam", "cam_tensors")):
            break
        await asyncio.sleep(0.1)
    assert (told["configured"], told["live"], told["ready"], told["trouble"]) == (
        True, True, True, None,
    )  # fmt: skip
    assert {name: one["kind"] for name, one in models.items()} == {
        "cam": "pictures",
        "cam_tensors": "tensors",
        "cam__1__detector": "detector",
        "cam__1__preprocess": "step",
        "cam__1__postprocess": "step",
    }
    assert {one["state"] for one in models.values()} == {"READY"}
    assert models["cam"]["deployment"] == {"model": "cam", "number": 1}
    assert models["cam"]["probe"]["ok"]
    counted = models["cam"]["statistics"]
    assert counted["requests"] >= 1
    assert counted["success_rate"] == 1
    assert counted["p99_ms"] >= counted["p50_ms"] > 0
    assert counted["mean_ms"]["request"] > 0
    (deployment,) = told["deployments"]
    assert (deployment["active"], deployment["rollback_to"]) == (True, None)
    health = (await site.http.get("/health")).json()["triton"]
    assert (health["live"], health["models"]["cam"]) == (True, "READY")
    registry = site.service.telemetry.metrics.registry
    assert registry.get_sample_value("sightline_triton_models", {"state": "ready"}) == 2


async def _check_loading(site: Site) -> None:
    status, model = await site.call("POST", "/models/cam/unload")
    assert (status, model["name"], model["state"]) == (200, "cam", "UNAVAILABLE")
    states = await site.states()
    assert (states["cam_tensors"], states["cam__1__detector"]) == ("READY", "READY")
    assert states["cam__1__preprocess"] == "UNAVAILABLE"
    await asyncio.sleep(1.0)  # the watch leaves alone what was unloaded on purpose
    assert (await site.states())["cam"] == "UNAVAILABLE"
    assert (await site.predicted()).status_code == 404
    assert (await site.call("POST", "/models/cam/load"))[1]["state"] == "READY"
    assert (await site.predicted()).status_code == 200
    for change in ("load", "unload"):
        assert (await site.call("POST", f"/models/nobody/{change}"))[0] == 404
    for name in ("cam_tensors", "cam__1__detector"):
        await site.call("POST", f"/models/{name}/unload")
        await asyncio.sleep(1.0)
        assert (await site.states())[name] == "UNAVAILABLE"
        assert (await site.call("POST", "/models/cam_tensors/load"))[1]["state"] == "READY"
        assert (await site.predicted()).status_code == 200


async def test_streams_at_triton_move_with_deployments_and_lose_no_frame(
    triton: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_backend.triton.deploying.MOVE_S", 0.001)  # all moves are late
    async with served(triton, tmp_path) as site:
        assert (await site.call("POST", "/deployments", model="cam"))[0] == 201
        await site.service.serving.promote("cam", FIRST, engine="triton")
        ends: Counter[str] = Counter()
        enough = asyncio.Event()
        async with site.camera() as camera:
            filming = asyncio.create_task(film(camera, ends, enough))
            refused = await site.call("POST", "/deployments", model="cam", artefact_id=SECOND)
            assert (refused[0], refused[1]["error"]["code"]) == (409, "accuracy_gate")
            assert (await site.states())["cam"] == "READY"
            assert site.service.pool.default.spec.version == "1"
            again = await site.call(
                "POST", "/deployments", model="cam", config={"instance_count": 2}
            )
            assert (again[0], again[1]["artefact_id"]) == (
                201,
                FIRST,
            )  # the same file, other settings
            await _answered(ends, "1", 3)
            status, made = await site.call(
                "POST", "/deployments", model="cam", artefact_id=SECOND, force=True, reason="a test"
            )
            assert (status, made["rollback_to"]) == (201, again[1]["number"])
            await _answered(ends, "2", 3)
            assert site.service.pool.default.spec.version == "2"
            status, back = await site.call("POST", "/deployments/cam/rollback")
            assert (status, back["number"]) == (200, again[1]["number"])
            ends.pop("1")
            await _answered(ends, "1", 3)
            assert (await site.call("DELETE", "/deployments/cam"))[0] == 409  # it serves
            for name in ("cam_tensors", back["names"]["parts"][1]):
                refused = await site.call("POST", f"/models/{name}/unload")
                assert (refused[0], refused[1]["error"]["code"]) == (409, "not_possible")
            enough.set()
            await filming
        assert set(ends) == {"1", "2"}, "a frame was lost"
        standing = site.service.store.promotions.standing("cam")
        assert standing is not None
        assert (standing.artefact_id, standing.engine) == (FIRST, "triton")
        await site.service.serving.promote("cam", FIRST, engine="onnxruntime")
        assert (await site.call("DELETE", "/deployments/cam"))[0] == 204


async def _answered(ends: Counter[str], version: str, count: int) -> None:
    target = ends[version] + count
    while ends[version] < target:  # noqa: ASYNC110  a counter has no event
        await asyncio.sleep(0.02)


async def test_dead_steps_and_a_triton_that_was_killed_come_back_by_themselves(
    triton: TritonServer, tmp_path: Path
) -> None:
    async with served(triton, tmp_path) as site:
        made = (await site.call("POST", "/deployments", model="cam"))[1]
        step = made["names"]["parts"][0]
        for process in psutil.Process(triton.pid).children(recursive=True):
            if any(step in word for word in process.cmdline()):
                os.kill(process.pid, signal.SIGKILL)
        response = await site.predicted()
        assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_away")
        assert (await site.states())["cam"] == "READY"  # as Triton believes
        await site.answers_again()
        registry = site.service.telemetry.metrics.registry
        told = {"result": "reloaded"}
        # It is counted once all names have been tried.
        await until(lambda: registry.get_sample_value("sightline_triton_reloads_total", told) == 1)
        triton.kill()
        assert (await site.predicted()).status_code == 503
        await asyncio.to_thread(triton.restart)
        await site.answers_again()
        await site.call("DELETE", "/deployments/cam")


WRONG: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"artefact_id": 1}, 422, "model"),
    ({"model": "nobody"}, 404, "nobody"),
    ({"model": "cam", "artefact_id": 99}, 404, "99"),
    ({"model": "cam", "config": {"instances": 2}}, 422, "instances"),
    ({"model": "cam", "config": {"instance_count": "two"}}, 422, "instance_count"),
    ({"model": "cam", "max_batch": 0}, 422, "max_batch"),
    ({"model": "../cam"}, 404, "../cam"),
)


async def test_what_cannot_be_deployed_is_told(triton: TritonServer, tmp_path: Path) -> None:
    async with served(triton, tmp_path) as site:
        for body, status, said in WRONG:
            found, answer = await site.call("POST", "/deployments", **body)
            assert (found, body) == (status, body)
            assert said in answer["error"]["message"]
        assert (await site.call("GET", ""))[1]["deployments"] == []


CHANGES = (
    ("POST", "/api/triton/deployments"),
    ("POST", "/api/triton/deployments/cam/rollback"),
    ("DELETE", "/api/triton/deployments/cam"),
    ("POST", "/api/triton/models/cam/load"),
    ("POST", "/api/triton/models/cam/unload"),
)


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_every_change_asks_for_the_password(method: str, path: str) -> None:
    body = {"model": "cam"} if path.endswith("deployments") else None
    async with running(admin_token=TOKEN) as backend:
        assert (await backend.http.request(method, path, json=body)).status_code == 403
        known = {"authorization": f"Bearer {TOKEN}"}
        response = await backend.http.request(method, path, headers=known, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "not_possible")
    assert "SIGHTLINE_TRITON_GRPC_URL" in response.json()["error"]["message"]


async def test_a_server_without_a_triton_says_what_to_set() -> None:
    async with running() as backend:
        told = (await backend.http.get("/api/triton")).json()
        assert (await backend.http.get("/health")).json()["triton"] is None
    assert (told["configured"], told["live"], told["can_deploy"]) == (False, False, False)
    assert "SIGHTLINE_TRITON_GRPC_URL" in told["why_not"]


async def test_a_triton_that_is_down_is_told_and_nothing_is_deployed(tmp_path: Path) -> None:
    there: dict[str, Any] = {"triton_grpc_url": "127.0.0.1:9", "triton_timeout_ms": 500}
    async with running(**there) as backend:
        told = (await backend.http.get("/api/triton")).json()
        assert (told["configured"], told["live"], told["can_deploy"]) == (True, False, False)
        assert "127.0.0.1:9" in told["trouble"]
        assert "SIGHTLINE_TRITON_REPOSITORY" in told["why_not_deploy"]
        load = await backend.http.post("/api/triton/models/m/load")
        assert (load.status_code, load.json()["error"]["code"]) == (503, "engine_away")
    async with running(**there, triton_repository=tmp_path) as backend:
        assert (await backend.http.get("/api/triton")).json()["can_deploy"]
