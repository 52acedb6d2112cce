"""Jobs over HTTP on the real server: what is refused, what is told, and what a stop does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from sightline_backend.cli.jobs import _watched_at
from sightline_backend.jobs import events
from sightline_backend.jobs.job import Job
from tests.backend.job_server import do_test_work
from tests.backend.running import Backend, running, until

MODEL = "sightline-webcam"
PASSWORD = "open sesame"  # noqa: S105


@pytest.fixture(autouse=True)
def tests_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have conversions do what their first label says."""
    do_test_work(monkeypatch)


def asking(what: str) -> dict[str, Any]:
    return {"model": MODEL, "format": "onnx", "labels": [what]}


async def started(backend: Backend, what: str) -> int:
    """Start a job and return its number."""
    answer = await backend.http.post("/api/convert", json=asking(what))
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


@asynccontextmanager
async def listening(backend: Backend, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Connect to a stream of events."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
        aconnect_sse(http, "GET", f"http://127.0.0.1:{backend.port}{path}") as source,
    ):
        assert source.response.headers["content-type"].startswith("text/event-stream")

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for event in source.aiter_sse():
                assert event.event == "job"
                yield event.json()

        yield events()


def watchers(backend: Backend) -> int:
    return len(backend.service.jobs._hub)


async def test_a_job_is_told_from_its_beginning_to_its_end() -> None:
    async with running() as backend:
        assert (await backend.http.get("/api/jobs")).json() == []
        job_id = await started(backend, "slow")
        async with listening(backend, f"/api/jobs/{job_id}/events") as events:
            told = [job async for job in events]
        assert told[-1]["state"] == "done"
        assert {job["result"] is None for job in told} == {True}
        assert told[-1]["progress"] == 1.0
        job = (await backend.http.get(f"/api/jobs/{job_id}")).json()
        assert job["result"]["did"] == "slow"
        assert job["title"] == f"Convert {MODEL} to ONNX FP32"
        assert "owner" not in job
        log = await backend.http.get(f"/api/jobs/{job_id}/log")
        assert log.headers["content-type"].startswith("text/plain")
        assert log.text.startswith("begun by ")
        listed = (await backend.http.get("/api/jobs?kind=convert")).json()
        assert [(job["id"], job["result"]) for job in listed] == [(1, None)]
        assert (await backend.http.get("/api/jobs?kind=benchmark")).json() == []
        assert (await backend.http.delete(f"/api/jobs/{job_id}")).status_code == 204
        assert (await backend.http.get(f"/api/jobs/{job_id}")).status_code == 404
        await until(lambda: watchers(backend) == 0)


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("convert", {}, 422, "model"),
    ("convert", {"model": MODEL, "format": "tflite"}, 422, "format"),
    ("convert", {"model": MODEL, "format": "onnx", "presicion": "int8"}, 422, "presicion"),
    ("convert", {"model": "no-such", "format": "onnx"}, 404, "no-such"),
    ("convert", {"model": MODEL, "version": 9, "format": "onnx"}, 404, "no version 9"),
    ("validate", {"artefact_id": 99, "dataset": "x"}, 404, "99"),
    ("convert", {"model": MODEL, "format": "onnx", "dataset": "cats"}, 404, "no data set 'cats'"),
    ("convert", {"model": MODEL, "format": "onnx", "dataset": "dir:a\0"}, 404, "none is set up"),
    ("benchmark", {"model": MODEL, "engines": [], "precisions": ["fp32"]}, 422, "engines"),
    ("pipeline", {"model": MODEL, "engines": ["cuda"], "precisions": ["fp32"]}, 422, "engines"),
]
ABSENT = [
    ("GET", "/api/jobs/{}"),
    ("GET", "/api/jobs/{}/log"),
    ("GET", "/api/jobs/{}/events"),
    ("POST", "/api/jobs/{}/cancel"),
    ("POST", "/api/jobs/{}/restart"),
    ("DELETE", "/api/jobs/{}"),
    ("GET", "/api/benchmark/export?job={}"),
]


async def test_what_can_not_work_is_refused_with_a_sentence() -> None:
    async with running() as backend:
        for path, body, status, said in REFUSED:
            answer = await backend.http.post(f"/api/{path}", json=body)
            assert answer.status_code == status, body
            assert said in answer.json()["error"]["message"]
        for (method, path), number in product(ABSENT, (7, 2**31, 2**63)):
            answer = await backend.http.request(method, path.format(number))
            assert answer.status_code == 404, path
            assert f"no job {number}" in answer.json()["error"]["message"]
        assert (await backend.http.get("/api/jobs")).json() == []


async def test_a_password_that_is_set_is_asked_for() -> None:
    async with running(admin_token=PASSWORD) as backend:
        http = backend.http
        for path in ("/api/convert", "/api/validate", "/api/benchmark", "/api/pipeline"):
            assert (await http.post(path, json={})).status_code in {403, 422}
        assert (await http.post("/api/convert", json=asking("work"))).status_code == 403
        for path in ("/api/jobs/1/cancel", "/api/jobs/1/restart"):
            assert (await http.post(path)).status_code == 403
        assert (await http.delete("/api/jobs/1")).status_code == 403
        assert (await http.get("/api/jobs")).json() == []
        bearer = {"Authorization": f"Bearer {PASSWORD}"}
        answer = await http.post("/api/convert", json=asking("hang"), headers=bearer)
        assert answer.status_code == 202
        answer = await http.post("/api/jobs/1/cancel", headers=bearer)
        assert answer.json()["state"] == "cancelled"


async def test_the_command_watches_a_servers_job_to_its_end() -> None:
    async with running() as backend:
        job_id = await started(backend, "slow")
        told: list[Job] = []
        url = f"http://127.0.0.1:{backend.port}/"
        job = await asyncio.to_thread(_watched_at, url, job_id, told.append)
        assert replace(job, result=None) == told[-1]
        assert (job.state, (job.result or {})["did"]) == ("done", "slow")


async def test_more_watchers_than_there_are_places_are_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MOST_PLACES", 2)
    async with running() as backend:
        await started(backend, "hang")
        async with (
            listening(backend, "/api/jobs/1/events") as of_one,
            listening(backend, "/api/jobs/1/events") as of_it_too,
        ):
            await anext(of_one)
            await anext(of_it_too)
            for path in ("/api/jobs/events", "/api/jobs/1/events"):
                answer = await backend.http.get(path)
                assert answer.status_code == 503
                assert "2 clients follow jobs already" in answer.json()["error"]["message"]
                assert "retry-after" in answer.headers
        await until(lambda: backend.service.jobs._hub._places == 0)
        async with listening(backend, "/api/jobs/1/events") as again:
            assert (await anext(again))["id"] == 1


async def test_open_streams_do_not_hold_a_stop_up(tmp_path: Path) -> None:
    async with running(shutdown_timeout_s=20, models_dir=tmp_path) as backend:
        await started(backend, "hang")
        async with (
            listening(backend, "/api/jobs/events") as of_all,
            listening(backend, "/api/jobs/1/events") as of_one,
        ):
            await anext(of_all)
            await anext(of_one)
            backend.server.should_exit = True
            began = time.monotonic()
            async for _ in of_all:
                pass
            async for _ in of_one:
                pass
            assert time.monotonic() - began < 15, "the streams were cut, not ended"
    assert watchers(backend) == 0
    job = backend.service.jobs.records.job(1)
    assert job.state == "interrupted"


@asynccontextmanager
async def deaf_client(backend: Backend, path: str) -> AsyncIterator[None]:
    """Ask for a stream and never read it; leave without a word."""
    _, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def flooded(backend: Backend) -> None:
    """Tell of more changes of a job than a connection's buffers hold."""
    jobs = backend.service.jobs
    (job,) = jobs.records.jobs()
    for number in range(2000):
        jobs._hub.publish(replace(job, doing=f"{number} " + "x" * 4000))
        if number % 20 == 0:
            await asyncio.sleep(0)


async def test_a_client_that_never_reads_costs_one_state_and_holds_nobody_up() -> None:
    async with running() as backend:
        await started(backend, "work")
        async with deaf_client(backend, "/api/jobs/events"):
            await until(lambda: watchers(backend) == 1)
            await flooded(backend)
            (watcher,) = backend.service.jobs._hub._watchers
            assert len(watcher._waiting) <= 1
            async with listening(backend, "/api/jobs/1/events") as events:
                assert (await anext(events))["id"] == 1
        await until(lambda: watchers(backend) == 0)


async def test_a_client_that_never_reads_holds_a_stop_up_no_longer_than_is_set() -> None:
    async with running(shutdown_timeout_s=1) as backend:
        await started(backend, "work")
        async with deaf_client(backend, "/api/jobs/events"):
            await until(lambda: watchers(backend) == 1)
            await flooded(backend)
            backend.server.should_exit = True
            async with asyncio.timeout(15):
                await until(lambda: watchers(backend) == 0)


async def test_a_quiet_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.1)
    async with running() as backend:
        async with backend.http.stream("GET", "/api/jobs/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith(":"):
                    break
        await until(lambda: watchers(backend) == 0)


async def test_streams_are_served_where_the_store_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("no folder")
    async with running(models_dir=tmp_path) as backend:
        assert (await backend.http.get("/health")).status_code == 200
        answer = await backend.http.post("/api/convert", json=asking("work"))
        assert answer.status_code == 503
        said = json.loads(answer.text)["error"]["message"]
        assert "can't be used" in said
        (tmp_path / "jobs").unlink()
        assert (await backend.http.post("/api/convert", json=asking("work"))).status_code == 202
