"""The real server as a process, and what can be seen of it from outside."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving.cores import on_cores
from benchmarks.serving.plan import ROOT, BenchmarkError, Plan

START_S, STOP_S = 120.0, 40.0
WORKER = "sightline_backend.workers"


class Server:
    """Runs `python -m sightline_backend` on the server's cores while the block lasts."""

    def __init__(self, plan: Plan, deadline_ms: float) -> None:
        self._plan = plan
        self._port = _free_port()
        self._settings = {
            "SIGHTLINE_PORT": str(self._port),
            "SIGHTLINE_MODEL": plan.model,
            "SIGHTLINE_THREADS": str(plan.threads),
            "SIGHTLINE_DEADLINE_MS": f"{deadline_ms:.1f}",
            "SIGHTLINE_MAX_STREAMS": "1000",
        }
        self.http = f"http://127.0.0.1:{self._port}"
        self.url = f"ws://127.0.0.1:{self._port}/ws/detect"

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        # a benchmark has no settings of its own: the child has this process's variables
        environment = {**os.environ, **self._settings}  # noqa: TID251
        command = [sys.executable, "-m", "sightline_backend"]
        with on_cores(self._plan.cores.server):
            self._process = psutil.Popen(
                command, cwd=ROOT, env=environment, stdout=self._log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def processes(self) -> list[psutil.Process]:
        """Return the server's process and all below it."""
        return [self._process, *self._process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the processor time of all the server's processes, those that ended too."""
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            times = child.cpu_times()
            total += times.user + times.system
        return float(total)

    def memory_mb(self) -> float:
        """Return the memory of all the server's processes, shared pages counted once."""
        return sum(_memory(process) for process in self.processes()) / 2**20

    def kill_worker(self) -> float:
        """Kill the engine's process with SIGKILL; returns when, in monotonic seconds."""
        workers = [p for p in self._process.children(recursive=True) if WORKER in _command(p)]
        if not workers:
            raise BenchmarkError("The server has no engine process that could be killed.")
        os.kill(workers[0].pid, signal.SIGKILL)
        return time.monotonic()

    def streams(self) -> int:
        """Return how many streams are open."""
        return int(httpx.get(f"{self.http}/health", timeout=30, trust_env=False).json()["streams"])

    def loop_lag(self) -> dict[float, float]:
        """Return the event loop's lag so far: cumulative counts by upper bound, in seconds."""
        text = httpx.get(f"{self.http}/metrics", timeout=30, trust_env=False).text
        return {
            math.inf if sample.labels["le"] == "+Inf" else float(sample.labels["le"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sightline_event_loop_lag_seconds_bucket"
        }

    def _wait_until_ready(self) -> None:
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            if self._process.poll() is not None:
                raise BenchmarkError(f"The server ended at its start: {self._said()}")
            try:
                probe = httpx.get(f"{self.http}/health/ready", timeout=5, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if probe.status_code == 204:
                return
            time.sleep(0.1)
        raise BenchmarkError(f"The server was not ready in {START_S:g} s: {self._said()}")

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().strip()[-2000:]

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except psutil.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _memory(process: psutil.Process) -> float:
    try:
        full = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0.0
    return float(getattr(full, "pss", full.uss))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
