"""The real programs, each as a process of its own on a port of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0


@dataclass(slots=True, eq=False)
class Program:
    """A server that can be started, killed and started again on the same port."""

    command: Sequence[str]
    environment: dict[str, str]
    ready_url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _log_file: IO[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        self._log_file = self.log.open("ab")
        self.process = subprocess.Popen(
            ["/usr/bin/env", *settings, *self.command],
            cwd=ROOT,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
        )
        end_s = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end_s:
                self.stop()
                raise RuntimeError(f"It didn't start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None

    def memory_mb(self) -> float:
        """Return what the process holds in memory."""
        assert self.process is not None
        return memory_mb(psutil.Process(self.process.pid))

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.ready_url, timeout=1, trust_env=False).status_code < 300
        return False


def memory_mb(process: psutil.Process) -> float:
    """Return what a process and its children hold in memory."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / 2**20


def backend(port: int, log: Path, **settings: str) -> Program:
    """Return the product's own server."""
    environment = {"SIGHTLINE_PORT": str(port)} | {
        f"SIGHTLINE_{name.upper()}": value for name, value in settings.items()
    }
    command = [sys.executable, "-m", "sightline_backend"]
    return Program(command, environment, f"http://127.0.0.1:{port}/health", log)


def odd_backend(port: int, log: Path, *options: str) -> Program:
    """Return the server of detector_server.py, whose detector does as told."""
    command = [sys.executable, "-m", "tests.browser.detector_server", str(port), *options]
    return Program(command, {}, f"http://127.0.0.1:{port}/health", log)


def pages(port: int, backend_port: int, log: Path, **settings: str) -> Program:
    """Return the product's own pages."""
    command = [
        sys.executable,
        *("-m", "streamlit", "run", "frontend/sightline_frontend/app.py"),
        *("--server.port", str(port), "--server.headless", "true"),
    ]
    environment = {"SIGHTLINE_BACKEND_URL": f"http://127.0.0.1:{backend_port}"} | {
        f"SIGHTLINE_{name.upper()}": value for name, value in settings.items()
    }
    return Program(command, environment, f"http://127.0.0.1:{port}/_stcore/health", log)
