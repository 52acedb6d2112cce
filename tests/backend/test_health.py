"""What probes, operators and pages ask of a server."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sightline_engines.types import ServedModel
from tests.backend.running import Backend, running, until
from tests.fakes import SPEC, FakeEngine, encoded, grey, named


async def test_health_names_what_serves() -> None:
    async with running() as backend, backend.camera():
        body = (await backend.http.get("/health")).json()
    assert body.pop("version")
    assert body == {
        "status": "ready",
        "live": True,
        "ready": True,
        "model": "fake",
        "engine": "fake",
        "precision": "fp32",
        "device": "CPU",
        "fallback": None,
        "streams": 1,
        "trouble": None,
        "triton": None,
    }


async def test_health_tells_of_triton_without_asking_it() -> None:
    async with running(triton_grpc_url="127.0.0.1:9") as backend:
        told = (await backend.http.get("/health")).json()["triton"]
    assert told == {"url": "127.0.0.1:9", "live": False, "ready": False, "models": {}}


class AtTriton(FakeEngine):
    """Says that it asks a Triton."""

    @property
    def served(self) -> ServedModel:
        return replace(super().served, engine="triton")


@pytest.mark.parametrize(
    ("engine", "fallback", "status"),
    [(FakeEngine, None, 204), (AtTriton, "auto", 204), (AtTriton, None, 503)],
)
async def test_an_idle_server_whose_triton_has_gone_is_not_ready(
    engine: type[FakeEngine], fallback: str | None, status: int
) -> None:
    settings: dict[str, Any] = {"triton_grpc_url": "127.0.0.1:9", "triton_fallback": fallback}
    async with running(engine(), **settings) as backend:
        await backend.http.get("/api/triton")  # has it looked at
        ready = await backend.http.get("/health/ready")
        told = (await backend.http.get("/health")).json()
    assert ready.status_code == status
    assert (told["ready"], told["status"] == "ready") == (status == 204, status == 204)
    if status == 503:
        assert "127.0.0.1:9" in ready.json()["error"]["message"]


@pytest.mark.parametrize(
    ("accept", "settings", "status", "where"),
    [
        ("", {}, 307, "http://127.0.0.1:8501/"),
        ("*/*", {}, 307, "http://127.0.0.1:8501/"),
        ("text/html,application/json;q=0.9", {}, 307, "http://127.0.0.1:8501/"),
        ("text/html", {"page_url": "https://see.example"}, 307, "https://see.example"),
        ("application/json", {}, 200, "http://127.0.0.1:8501/"),
    ],
)
async def test_people_are_sent_to_the_pages(
    accept: str, settings: dict[str, Any], status: int, where: str
) -> None:
    async with running(**settings) as backend:
        response = await backend.http.get("/", headers={"accept": accept})
        told = response.headers.get("location") or response.json()["pages"]
        assert (response.status_code, told, response.headers["vary"]) == (status, where, "Accept")
        named = await backend.http.get("/", headers={"host": "[::1]:8000"})
    if not settings:
        assert named.headers["location"] == "http://[::1]:8501/"


async def test_a_server_that_stops_is_live_and_not_ready() -> None:
    async with running() as backend:
        assert (await backend.http.get("/health/live")).status_code == 204
        assert (await backend.http.get("/health/ready")).status_code == 204
        assert await backend.metric("sightline_engine_ready") == 1
        backend.service.sessions.stopping = True
        assert (await backend.http.get("/health/live")).status_code == 204
        ready = await backend.http.get("/health/ready")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
        assert (await backend.http.get("/health")).json()["status"] == "stopping"
        assert await backend.metric("sightline_engine_ready") == 0


async def test_models_lists_the_default_first_and_says_what_is_loaded() -> None:
    async with running(FakeEngine(), FakeEngine(named("a")), preload="a") as backend:
        backend.models.engines["b"] = FakeEngine(named("b"))
        listed = (await backend.http.get("/api/models")).json()
    assert [(m["name"], m["loaded"], m["default"]) for m in listed] == [
        ("fake", True, True),
        ("a", True, False),
        ("b", False, False),
    ]
    assert listed[0]["labels"] == list(SPEC.labels)
    assert listed[0]["licence"] == "Apache-2.0"
    assert listed[0]["input_size_wh"] == [64, 64]
    assert listed[0]["defaults"] == {"conf": 0.25, "iou": 0.45, "max_detections": 300}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/detect", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("BREW", "/health", 405, "method_not_allowed"),
    ],
)
async def test_wrong_addresses_and_methods_get_the_one_error_shape(
    method: str, path: str, status: int, code: str
) -> None:
    async with running() as backend:
        response = await backend.http.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]


async def test_a_bug_in_a_route_is_logged_and_hidden(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as backend:
        service, backend.app.state.service = backend.service, None
        response = await backend.http.get("/health")
        backend.app.state.service = service
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"
    assert "Traceback" not in response.text
    assert "NoneType" not in response.text
    assert any(record.exc_info for record in caplog.records)


STORE = {
    "/api/artefacts/{artefact_id}",
    "/api/artefacts/{artefact_id}/file",
    "/api/benchmark",
    "/api/benchmark/export",
    "/api/benchmark/recommend",
    "/api/benchmark/runs",
    "/api/conversions",
    "/api/convert",
    "/api/datasets",
    "/api/datasets/{name}",
    "/api/jobs",
    "/api/jobs/events",
    "/api/jobs/{job_id}",
    "/api/jobs/{job_id}/cancel",
    "/api/jobs/{job_id}/events",
    "/api/jobs/{job_id}/log",
    "/api/jobs/{job_id}/restart",
    "/api/models/scan",
    "/api/models/{name}",
    "/api/models/{name}/promote",
    "/api/models/{name}/rollback",
    "/api/models/{name}/shadow",
    "/api/models/{name}/versions/{number}",
    "/api/pipeline",
    "/api/serving",
    "/api/triton",
    "/api/triton/deployments",
    "/api/triton/deployments/{model}",
    "/api/triton/deployments/{model}/rollback",
    "/api/triton/models/{name}/load",
    "/api/triton/models/{name}/unload",
    "/api/validate",
}


async def test_the_documentation_names_every_route_and_field() -> None:
    async with running() as backend:
        page = (await backend.http.get("/docs")).text
        assert "swagger" in page
        parts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert parts
        for part in parts:  # no other host: the machine may have no internet
            assert part.startswith("/")
            assert (await backend.http.get(part)).status_code == 200
        schema = (await backend.http.get("/openapi.json")).json()
    assert {
        "/",
        "/detect",
        "/predict",
        "/health",
        "/health/live",
        "/health/ready",
        *STORE,
        "/api/models",
        "/api/monitor",
        "/metrics",
    } == set(schema["paths"])
    detect = schema["paths"]["/detect"]["post"]
    assert {p["name"] for p in detect["parameters"]} == {
        "conf", "iou", "classes", "max_detections", "model", "format",
    }  # fmt: skip
    assert "multipart/form-data" in detect["requestBody"]["content"]
    assert {"200", "413", "415", "422", "503"} <= set(detect["responses"])
    assert "sightline.v1" in schema["info"]["description"]


async def test_metrics_count_what_happened() -> None:
    async with running() as backend:
        async with backend.camera() as camera:
            await camera.detect(1)
            await camera.send(2, age_ms=60_000)
            await camera.recv()
            await camera.send(3, b"no picture")
            await camera.recv()
            streams = await backend.metric("sightline_streams_active")
        await backend.detect(encoded(grey(200)))
        text = (await backend.http.get("/metrics")).text
        await until(lambda: len(backend.service.sessions) == 0)
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert streams == 1
    assert samples["sightline_frames_total", "answered"] == 2
    assert samples["sightline_frames_total", "dropped"] == 1
    assert samples["sightline_frames_total", "refused"] == 1
    assert samples["sightline_frames_total", "failed"] == 0
    assert samples["sightline_admitted_frames_total", "yes"] == 1
    assert samples["sightline_admitted_frames_total", "no"] == 0  # it was too old when it came
    assert samples["sightline_frames_dropped_total", "late"] == 1
    assert samples["images_processed_total",] == 2
    assert samples["inference_latency_seconds_count",] == 2
    assert samples["sightline_queue_duration_seconds_count",] == 2
    assert samples["sightline_result_age_seconds_count",] == 1
    assert samples["sightline_stage_duration_seconds_count", "decode"] == 2
    assert samples["sightline_engine_executions_total",] >= 2
    assert samples["http_requests_total", "/detect", "200", "POST"] == 1


async def test_no_client_can_add_time_series() -> None:
    async with running() as backend:
        await _try_to_add_series(backend, "0")
        before = await _series(backend)
        for number in range(1, 20):
            await _try_to_add_series(backend, f"{number}{'x' * number}")
        assert await _series(backend) == before


async def _series(backend: Backend) -> set[str]:
    """Return every series, without its value."""
    lines = (await backend.http.get("/metrics")).text.splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


async def _try_to_add_series(backend: Backend, word: str) -> None:
    """Put a word wherever a client can."""
    http = backend.http
    for path in (f"/nothing/{word}?x={word}", f"/{word}", f"/detect/{word}", "/api/models"):
        await http.get(path, headers={"host": word, "origin": word, "x-request-id": word})
    await http.request(f"METHOD{word}", "/detect")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        await http.request(method, "/detect", headers={"x-number": word})
    picture = encoded(grey(200))
    await backend.detect(picture)
    await backend.detect(picture, model=f"model{word}")
    await backend.detect(picture, classes=word, format=word)
    await http.post("/detect", files={word: (word, picture, f"image/{word}")})
    await backend.detect(b"")
    async with backend.camera(query=f"fps=10&{word}={word}") as camera:
        await camera.detect(1)
        await camera.send(2, word.encode())
        await camera.recv()
        await camera.set(model=f"model{word}")
        await camera.set(classes=(word,))
        await camera.socket.send(word)
        await camera.recv()
    await until(lambda: len(backend.service.sessions) == 0)
