"""A server that is killed in the middle of a job: nothing of it runs on, and it can go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.cli.running import free_port, wait_for
from tests.conftest import ROOT
from tests.fakes import encoded, grey

STUBBORN = {"model": "sightline-webcam", "format": "onnx", "labels": ["stubborn at first"]}


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """Run a real server on a free port; it is killed at the end, as nobody expects it."""
    port = free_port()
    variables = {"SIGHTLINE_MODELS_DIR": str(folder), "SIGHTLINE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.backend.job_server"],
        cwd=ROOT,
        env={**os.environ, **variables},  # noqa: TID251
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
        try:
            wait_for(lambda: process.poll() is not None or answers(http))
            yield process, http
        finally:
            process.kill()
            process.wait()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def ask(http: httpx.Client, method: str, path: str, **more: Any) -> Any:
    answer = http.request(method, path, **more)
    assert answer.is_success, answer.text
    return answer.json()


def job_is(http: httpx.Client, condition: Callable[[dict[str, Any]], bool]) -> Callable[[], bool]:
    return lambda: condition(ask(http, "GET", "/api/jobs/1"))


def test_a_killed_server_leaves_no_process_and_its_job_can_go_on(tmp_path: Path) -> None:
    workspace = tmp_path / "jobs" / "1"
    with server(tmp_path) as (process, http):
        ask(http, "POST", "/api/convert", json=STUBBORN)
        wait_for(job_is(http, lambda job: job["doing"] == "deaf"))
        assert (workspace / "half-made").exists()
        family = psutil.Process(process.pid).children(recursive=True)
        assert sum("sightline-test" in one.cmdline() for one in family) == 2
        process.kill()
        process.wait()
        began = time.monotonic()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, f"after {time.monotonic() - began:.0f} s"
    with server(tmp_path) as (_, http):
        job = ask(http, "GET", "/api/jobs/1")
        assert job["state"] == "interrupted"
        assert "restart" in job["error"]["message"]
        assert not workspace.exists()
        ask(http, "POST", "/detect", files={"file": encoded(grey(200))})
        ask(http, "POST", "/api/jobs/1/restart")
        wait_for(job_is(http, lambda job: job["state"] not in {"queued", "running"}))
        job = ask(http, "GET", "/api/jobs/1")
        assert job["state"] == "done", job["error"]
        assert job["result"]["did"] == "stubborn at first"
        assert not workspace.exists()
